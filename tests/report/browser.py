"""A page in Debian's Chromium, for the tests that look at it as people do."""

from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")

# The text elements of a page with the contrast of each against what is behind it (WCAG 2.2).
CONTRASTS = """
() => {
  const parse = (text) => {
    const numbers = text.match(/[\\d.]+(e-?\\d+)?/g).map(Number);
    const [r, g, b, a] = text.startsWith("color(srgb")
      ? [numbers[0] * 255, numbers[1] * 255, numbers[2] * 255, numbers[3] ?? 1]
      : [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
    return { rgb: [r, g, b], a };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let own = element; own; own = own.parentElement) {
      const colour = parse(getComputedStyle(own).backgroundColor);
      if (colour.a === 1) return colour.rgb;
      if (colour.a > 0) throw new Error("half transparent: " + own.outerHTML.slice(0, 80));
    }
    throw new Error("no background");
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.data.trim())
      .join("");
    if (!text || ["STYLE", "title"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const ink = parse(element.namespaceURI.endsWith("svg") ? style.fill : style.color).rgb;
    const [low, high] = [luminance(ink), luminance(behind(element))].sort((a, b) => a - b);
    found.push([text.slice(0, 40), element.tagName, (high + 0.05) / (low + 0.05)]);
  }
  return found;
}
"""


@contextmanager
def launched():
    """Start the browser. While it is open, nothing else in the process may start one."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser, path, width=1280, height=900, **context):
    """Open a page; gives it and the addresses that it asked for, its own apart."""
    page = browser.new_page(viewport={"width": width, "height": height}, **context)
    try:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        assert complaints == []
        yield page, [one for one in asked if not one.startswith(("data:", path.as_uri()))]
    finally:
        page.close()
