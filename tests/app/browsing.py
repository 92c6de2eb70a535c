"""What the tests in a browser share."""

TOO_WIDE = """(width) => [...document.body.querySelectorAll("*")]
  .filter((one) => !one.closest(".scroll") && one.getBoundingClientRect().right > width + 0.5)
  .map((one) => one.outerHTML.slice(0, 80))"""
"""What sticks out to the right, unless it lies in something that scrolls."""


def settled(page):
    """Wait until nothing is asked for any more, and what came is shown."""
    page.locator("main[aria-busy=false]").wait_for()


def shown_number(text):
    """What a number on a page says, and by how much it may be rounded."""
    text = text.replace("−", "-")
    mantissa, _, power = text.partition("e")
    digits = len(mantissa.partition(".")[2])
    return float(text), 0.5001 * 10.0 ** (int(power or 0) - digits)
