"""The second page in a browser; `visit` fails where anything is asked for elsewhere.

With `visit_steps` a test runs on the static page, too, which computes in the browser.
"""

import numpy as np
import pytest

import backlit
from app.browsing import TOO_WIDE, settled, shown_number
from backlit.app.plane.datasets import dataset
from backlit.app.plane.exporting import KIND
from backlit.formats.models import load_network
from backlit.losses import FUNCTIONS_OF_LOGITS
from report.browser import CONTRASTS

SIZES = [(390, 844), (1280, 900)]
CELLS = """all => all.map((one) => {
  const input = one.tagName === "INPUT";
  const { name, row, column, value } = one.dataset;
  return [name, Number(row), Number(column), Number(value), input ? one.value : one.innerText];
})"""


class Truth:
    """The page's first network and points, through the open functions."""

    def __init__(self, hidden=(4, 3), activation="tanh", seed=1, rate=0.3, name="moons"):
        self.activations = (activation,) * len(hidden) + ("sigmoid",)
        self.parameters = backlit.initialize_parameters(
            (2, *hidden, 1), seed, activations=self.activations
        )
        points = dataset(name, 100, 0.05, 0)
        self.X, self.Y, self.rate = np.array(points["X"]), np.array([points["Y"]]), rate

    def arrays(self):
        """Every array by the name that the page gives it."""
        AL, caches = backlit.model_forward(self.X, self.parameters, activations=self.activations)
        grads = backlit.model_backward(AL, self.Y, caches, activations=self.activations)
        found = {"Y": self.Y, "cost": np.array([[backlit.compute_cost(AL, self.Y)]])}
        dZ, last = AL - self.Y, len(caches)
        found[f"A{last}"], found[f"dA{last}"] = AL, (1 - self.Y) / (1 - AL) - self.Y / AL
        for l in range(last, 0, -1):
            (A_prev, W, b), Z = caches[l - 1]
            if l < last:
                dZ = backlit.activations.activation_backward(
                    grads[f"dA{l}"], Z, self.activations[l - 1]
                )
            found |= {f"Z{l}": Z, f"A{l - 1}": A_prev, f"W{l}": W, f"b{l}": b, f"dZ{l}": dZ}
        found["losses"] = FUNCTIONS_OF_LOGITS["binary_cross_entropy"].value(
            caches[-1].activation_cache, self.Y, 0.0
        )
        updated = backlit.update_parameters(self.parameters, grads, self.rate)
        return {**found, **grads, **{f"new {name}": array for name, array in updated.items()}}

    def step(self):
        AL, caches = backlit.model_forward(self.X, self.parameters, activations=self.activations)
        grads = backlit.model_backward(AL, self.Y, caches, activations=self.activations)
        self.parameters = backlit.update_parameters(self.parameters, grads, self.rate)
        return self


def ready(page):
    page.locator("#matrices table").first.wait_for()
    settled(page)
    return page


def check_numbers(page, truth):
    """Hold each number that is shown against the truth; returns the arrays that were seen."""
    expected = truth.arrays()
    cells = page.eval_on_selector_all("#matrices [data-name]", CELLS)
    assert cells
    for name, row, column, exact, text in cells:
        value = expected[name][row][column]
        assert exact == pytest.approx(value, rel=1e-11, abs=1e-15), name
        shown, rounding = shown_number(text)
        if text == str(float(f"{value:.4g}")):  # in a field there are no zeros at the end
            continue
        # a rounded number is as far from the value as its last digit says
        limit = max(rounding, 0.5001 * 10.0 ** (np.floor(np.log10(abs(value) or 1)) - 3))
        assert abs(shown - value) <= limit * (1 + 1e-9), (name, text, value)
    return {cell[0] for cell in cells}


@pytest.mark.parametrize("size", ["linear", "layer", "model"])
def test_every_number_of_every_step(visit_steps, size):
    page = ready(visit_steps())
    page.locator(f"[name=size][value={size}]").check(force=True)
    truth, seen = Truth(), set()
    total = page.locator("#steps button").count()
    assert total == {"linear": 15, "layer": 9, "model": 4}[size]
    for k in range(total):
        assert page.locator("#steps [aria-current=step]").count() == 1
        assert f"step {k + 1} of {total}" in page.text_content("#step")
        assert page.locator("#step code").inner_text()
        seen |= check_numbers(page, truth)
        if k < total - 1:
            page.click("#next")
    assert page.is_disabled("#next")
    wanted = {f"{kind}{l}" for l in (1, 2, 3) for kind in ("Z", "A", "dA", "dZ", "dW", "db")}
    wanted |= {f"new {kind}{l}" for l in (1, 2, 3) for kind in "Wb"}
    assert wanted | {"A0", "dA0", "Y", "losses", "cost"} <= seen


def test_all_points_can_be_paged_through(visit):
    page = ready(visit("/steps"))
    truth, columns = Truth(), set()
    for _ in range(15):
        cells = page.eval_on_selector_all("#matrices [data-name=Z1]", CELLS)
        columns |= {column for _, _, column, _, _ in cells}
        check_numbers(page, truth)
        if page.is_disabled("#later"):
            break
        page.click("#later")
    assert columns == set(range(100))


def test_a_weight_changed_by_hand_changes_everything(visit_steps):
    page = ready(visit_steps())
    truth = Truth()
    before = page.text_content("#cost")
    field = page.get_by_label("W1, unit 2, from y", exact=True)
    field.fill("-1.25")
    field.press("Enter")
    page.locator("#status", has_text="W1 changed").wait_for()
    truth.parameters["W1"][1, 1] = -1.25
    assert page.text_content("#cost") != before
    shown, rounding = shown_number(page.text_content("#cost"))
    assert abs(shown - truth.arrays()["cost"].item()) <= rounding
    for _ in range(15):
        check_numbers(page, truth)
        if page.is_disabled("#next"):
            break
        page.click("#next")
    # the field keeps the keyboard
    page.locator("#steps button").first.click()
    field = page.get_by_label("b1, unit 1", exact=True)
    field.fill("0.5")
    field.press("Enter")
    page.locator("#status", has_text="b1 changed").wait_for()
    assert page.evaluate("document.activeElement.ariaLabel") == "b1, unit 1"


def test_steps_are_taken_and_the_boundary_moves(visit_steps):
    page = ready(visit_steps())
    truth = Truth()
    path = page.get_attribute("#points .boundary", "d")
    page.locator("#steps button").last.click()
    page.click("#take")
    page.locator("#taken", has_text="1").wait_for()
    settled(page)
    check_numbers(page, truth.step())
    page.select_option("#many", "10")
    page.click("#train-many")
    page.locator("#status", has_text="11 steps taken").wait_for()
    for _ in range(10):
        truth.step()
    check_numbers(page, truth)
    shown, rounding = shown_number(page.text_content("#cost"))
    assert abs(shown - truth.arrays()["cost"].item()) <= rounding
    assert page.get_attribute("#points .boundary", "d") != path
    right = np.mean((truth.arrays()["A3"] > 0.5) == truth.Y)
    assert page.text_content("#right") == f"{100 * right:.1f} %"
    points = page.get_attribute("#curve polyline", "points").split()
    assert len(points) == 12


def test_run_and_pause(visit):
    page = ready(visit("/steps"))
    page.click("#run")
    page.locator("#run", has_text="Pause").wait_for()
    page.wait_for_timeout(400)
    page.click("#run")
    page.locator("#run", has_text="Run").wait_for()
    settled(page)
    taken = int(page.text_content("#taken").replace(",", ""))
    assert taken > 5
    truth = Truth()
    for _ in range(taken):
        truth.step()
    check_numbers(page, truth)
    page.wait_for_timeout(150)
    assert int(page.text_content("#taken").replace(",", "")) == taken


@pytest.mark.parametrize(
    ("choose", "truth"),
    [
        (lambda page: page.select_option("#depth", "0"), {"hidden": ()}),
        (lambda page: page.select_option("#depth", "4"), {"hidden": (4, 3, 4, 4)}),
        (lambda page: page.get_by_label("Units of layer 1").select_option("8"), {"hidden": (8, 3)}),
        (lambda page: page.select_option("#activation", "gelu"), {"activation": "gelu"}),
        (lambda page: page.fill("#seed", "7") or page.press("#seed", "Enter"), {"seed": 7}),
        (lambda page: page.click("#redraw"), {"seed": 2}),
        (lambda page: page.fill("#rate", "2.5") or page.press("#rate", "Enter"), {"rate": 2.5}),
        (lambda page: page.select_option("#dataset", "spiral"), {"name": "spiral"}),
    ],
    ids=["no hidden layer", "four", "units", "activation", "seed", "again", "rate", "points"],
)
def test_what_can_be_chosen(visit, choose, truth):
    page = ready(visit("/steps"))
    choose(page)
    settled(page)
    own = Truth(**truth)
    check_numbers(page, own)
    page.locator("#steps button").last.click()
    check_numbers(page, own)
    lines = page.locator("#diagram .edge").count()
    assert lines == sum(W.size for name, W in own.parameters.items() if name[0] == "W")


def test_points_are_drawn_with_the_pointer_and_with_the_keyboard(visit):
    page = ready(visit("/steps"))
    page.click("#clear")
    page.locator("#step", has_text="Draw points").wait_for()
    assert page.locator("#points .point").count() == 0
    box = page.locator("#points").bounding_box()
    page.locator("#points").click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.25})
    page.locator("#status", has_text="A point of class 1").wait_for()
    page.locator("#points .point").first.wait_for()
    page.focus("#points")
    page.keyboard.press("0")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="A point of class 0").wait_for()
    page.locator("#points .point").nth(1).wait_for()
    settled(page)
    X = page.eval_on_selector_all("#matrices [data-name=A0]", CELLS)
    shown = np.array([cell[3] for cell in X]).reshape(2, 2)
    np.testing.assert_allclose(shown, [[0.65, -0.26], [0.65, -0.065]], atol=0.01)
    page.focus("#points")
    page.keyboard.press("Delete")
    page.locator("#status", has_text="removed").wait_for()
    settled(page)
    assert page.locator("#points .point").count() == 1
    page.click("#undo")
    page.locator("#points .point").nth(1).wait_for()


def test_a_table_is_uploaded(visit_steps, tmp_path):
    page = ready(visit_steps())
    path = tmp_path / "mine.csv"
    path.write_text("height,weight,kind\n10,100,<i>cat\n20,300,dog\n30,100,dog\n")
    page.set_input_files("#csv", path)
    page.locator("#status", has_text="3 points of <i>cat and dog").wait_for()
    assert "class <i>cat" in page.text_content("#tools")
    settled(page)
    cells = page.eval_on_selector_all("#matrices [data-name=A0]", CELLS)
    first = [cell[3] for cell in cells if cell[1] == 0]
    np.testing.assert_allclose(first, np.array([-1, 0, 1]) * np.sqrt(1.5), rtol=1e-12)
    with page.expect_download() as download:
        page.click("#points-csv")
    rows = [row.split(",") for row in download.value.path().read_text().splitlines()]
    assert rows[0] == ["x", "y", "label"]
    np.testing.assert_allclose([float(row[0]) for row in rows[1:]], [10, 20, 30])
    assert [row[2] for row in rows[1:]] == ["<i>cat", "dog", "dog"]
    path.write_text("1,2\n")
    page.set_input_files("#csv", path)
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error").startswith("mine.csv: row 1: 2 columns, expected x, y")
    assert page.locator("#points .point").count() == 3  # the others stay


def test_what_goes_wrong_is_said(visit_steps):
    page = ready(visit_steps())
    page.fill("#rate", "-1")
    page.press("#rate", "Enter")
    page.locator("#error", has_text="learning_rate is -1, expected").wait_for()
    page.fill("#rate", "0.3")
    page.press("#rate", "Enter")
    page.locator("#error").wait_for(state="hidden")
    page.get_by_label("W1, unit 1, from x", exact=True).fill("")
    page.keyboard.press("Enter")
    page.locator("#error", has_text="W1 needs a number").wait_for()


def test_export(visit_steps, tmp_path):
    page = ready(visit_steps())
    truth = Truth()
    with page.expect_download() as download:
        page.click("#code")
    assert download.value.suggested_filename == "network.py"
    script = {"__name__": "network"}
    exec(download.value.path().read_text(), script)
    AL, _ = backlit.model_forward(truth.X, truth.parameters, activations=truth.activations)
    np.testing.assert_allclose(script["predict_proba"](truth.X.T)[:, 1], AL[0], rtol=1e-12)
    with page.expect_download() as download:
        page.click("#safetensors")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    read = load_network(path, KIND)
    for name, array in truth.parameters.items():  # the page's own draw its weights to 1e-13
        np.testing.assert_allclose(read.parameters[name], array, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fits_and_can_be_read(visit_steps, width, height):
    page = ready(visit_steps(width, height, color_scheme="light"))
    for place in (0, 6, 9, 14):
        page.locator("#steps button").nth(place).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(TOO_WIDE, width) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_timeout(200)  # the tints follow an event
        low = [one for one in page.evaluate(CONTRASTS) if one[2] < 4.5]
        assert low == []
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select")]
        .filter((one) => !(one.ariaLabel || one.innerText?.trim() || one.labels?.length))
        .map((one) => one.outerHTML)"""
    )
    assert unnamed == []


def test_a_line_leads_to_its_weight(visit):
    page = ready(visit("/steps"))
    page.locator("#diagram .edge").nth(9).dispatch_event("click")
    assert page.evaluate("document.activeElement.ariaLabel") == "W2, unit 1, from unit 2"
    title = page.locator("#diagram .edge title").nth(9).text_content()
    W2 = Truth().parameters["W2"]
    assert title == f"W2, unit 1 from 2: {W2[0, 1]:#.4g}".replace("-", "−")


@pytest.mark.parametrize(("button", "until"), [("next", "back"), ("back", "next")])
def test_the_keyboard_s_focus_stays_where_a_walk_ends(visit, button, until):
    page = ready(visit("/steps"))
    page.locator("[name=size][value=model]").check(force=True)
    last = page.locator("#steps button").count() - 1
    if button == "back":
        page.locator("#steps button").nth(last).click()
    page.focus(f"#{button}")
    for _ in range(last + 2):  # and further: nothing happens then
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == button
    assert page.locator(f"#{button}").get_attribute("aria-disabled") == "true"
    assert page.locator(f"#{until}").get_attribute("aria-disabled") == "false"
    at = last + 1 if button == "next" else 1
    assert f"step {at} of {last + 1}" in page.text_content("#step")
    assert page.locator("#error").is_hidden()
    assert page.text_content("#taken") == "0"


def test_the_keyboard_s_focus_stays_on_the_pages_of_points_and_on_undo(visit_steps):
    page = ready(visit_steps())
    for button in ("later", "earlier"):
        page.focus(f"#{button}")
        for _ in range(60):
            if page.locator(f"#{button}").get_attribute("aria-disabled") == "true":
                break
            page.keyboard.press("Enter")
        assert page.locator(f"#{button}").get_attribute("aria-disabled") == "true"
        assert page.evaluate("document.activeElement.id") == button
    for button in ("clear", "undo"):
        page.focus(f"#{button}")
        page.keyboard.press("Enter")
        settled(page)
        assert page.locator(f"#{button}").get_attribute("aria-disabled") == "true"
        assert page.evaluate("document.activeElement.id") == button
