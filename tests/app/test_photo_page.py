"""The first page in a browser; `visit` fails where anything is asked for elsewhere."""

import numpy as np
import pytest
from PIL import Image

from app.browsing import TOO_WIDE, settled, shown_number
from backlit.photos.saliency.explaining import explain
from report.browser import CONTRASTS
from sample_pictures import night_picture

SIZES = [(390, 844), (1280, 900)]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "a <night>.png"
    Image.fromarray(night_picture(np.random.default_rng(0))).save(path)
    return path


def look_at(page, path):
    page.set_input_files("#file", path)
    settled(page)
    page.wait_for_selector("#result:not([hidden])")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_photograph(visit, shipped, picture, width, height):
    page = visit("/", width, height, color_scheme="light")
    assert page.text_content("h1") == "Day or night?"
    look_at(page, picture)
    expected = explain(picture, shipped)
    assert page.text_content("#label") == expected.label == "night"
    sure = float(page.text_content("#sure").removesuffix(" % sure"))
    assert sure == pytest.approx(100 * expected.probability, abs=0.0501)
    values = page.eval_on_selector_all(
        "#probabilities .number", "all => all.map((one) => Number(one.dataset.value))"
    )
    assert values == list(expected.probabilities)
    pushes = page.eval_on_selector_all("#reasons .push", "all => all.map((one) => one.textContent)")
    for text, one in zip(pushes, expected.reasons, strict=False):
        assert float(text.replace("−", "-")) == pytest.approx(one.push, abs=0.00501)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE, width) == []
    assert page.evaluate("[...document.images].every((one) => one.naturalWidth && one.alt)")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_timeout(200)
        assert [one for one in page.evaluate(CONTRASTS) if one[2] < 4.5] == []
    assert page.text_content("#status").startswith("a <night>.png: night, ")


def test_every_number_of_every_layer(visit, client, picture):
    answer = client.post(
        "/api/photo",
        content=picture.read_bytes(),
        headers={"content-type": "application/octet-stream"},
    )
    layers = answer.json()["layers"]
    page = visit("/")
    look_at(page, picture)
    for details in page.locator("#layers summary").all():
        details.click()
    page.locator("#layers table").nth(len(layers) - 1).wait_for()
    cells = page.eval_on_selector_all(
        "#layers td.number", "all => all.map((one) => [one.dataset.name, one.title, one.innerText])"
    )
    names = ("Z", "A", "dA", "dZ")
    expected = [
        (f"{name}{layer['number']}", layer[name][k])
        for layer in layers
        for k in range(len(layer["A"]))
        for name in names
    ]
    assert len(cells) == len(expected) > 1000
    for (name, exact, text), (own, value) in zip(cells, expected, strict=True):
        assert (name, float(exact)) == (own, value)
        shown, rounding = shown_number(text)
        assert abs(shown - value) <= rounding


def test_another_label_gives_its_own_gradient(visit, client, picture):
    page = visit("/")
    look_at(page, picture)
    page.focus("#as-1")
    page.keyboard.press("ArrowLeft")  # radio buttons by keyboard
    page.locator("#asked ~ h3 [data-label]", has_text="day").wait_for()
    settled(page)
    assert page.text_content("#label") == "night"  # what it shows stays
    answer = client.post(
        "/api/photo?label=day",
        content=picture.read_bytes(),
        headers={"content-type": "application/octet-stream"},
    ).json()
    rows = page.eval_on_selector_all(
        "#table tbody tr",
        "all => all.map((row) => [...row.cells].map((one) => one.innerText.trim()))",
    )
    assert rows == [row["cells"] for row in answer["table"]["rows"]]
    assert page.evaluate("document.activeElement.id") == "as-0"


def test_a_broken_file_says_why_and_the_next_one_works(visit, picture, tmp_path):
    page = visit("/")
    broken = tmp_path / "broken <b>.jpg"
    broken.write_bytes(b"this is no picture")
    page.set_input_files("#file", broken)
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error") == "broken <b>.jpg: not a picture"
    assert page.is_hidden("#result")
    look_at(page, picture)
    assert page.is_hidden("#error")


def test_a_photograph_can_be_dropped(visit, picture):
    page = visit("/")
    data = list(picture.read_bytes())
    transfer = page.evaluate_handle(
        """(data) => {
          const transfer = new DataTransfer();
          const kind = { type: "image/png" };
          transfer.items.add(new File([new Uint8Array(data)], "dropped.png", kind));
          return transfer;
        }""",
        data,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#result:not([hidden])")
    assert page.text_content("#status").startswith("dropped.png: night")


def test_the_keyboard_reaches_everything(visit, picture):
    page = visit("/")
    look_at(page, picture)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => {
                  const one = document.activeElement;
                  return one.id || `${one.tagName} ${one.ariaLabel || one.innerText}`;
                }"""
            )
        )
    for wanted in ("A Skip to the page", "A Step by step", "file", "opacity", "as-1"):
        assert wanted in reached
    assert reached.count("SUMMARY Every number") >= 4


def test_without_a_photograph_there_are_scenes(visit):
    page = visit("/")
    page.click("#scene")
    page.wait_for_selector("#result:not([hidden])")
    assert page.text_content("#status").startswith("scene ")


def test_a_model_of_one_s_own(visit, address_of_three, picture):
    page = visit("/", 390, 844, base=address_of_three)
    assert page.text_content("h1") == "Day & <b>noon, dusk or night?"
    look_at(page, picture)
    assert page.locator("#probabilities li").count() == 3
    labels = page.eval_on_selector_all(
        "#label-choice span", "all => all.map((one) => one.innerText)"
    )
    assert labels == ["day & <b>noon", "dusk", "night"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
