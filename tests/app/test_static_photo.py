"""The static page's photograph against the package: pixels, features, network and words."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from app.browsing import TOO_WIDE, settled
from backlit.app.photo import PhotoDesk, rendered_scene
from backlit.photos.features import SIDE, extract_features
from backlit.photos.reading import reduce_picture
from backlit.photos.scenes import render_scene
from photos.compiled.rounding import U, apart, bounds_of, log_odds_error
from report.browser import CONTRASTS

ADDRESS = "/some/where/see/index.html"


@pytest.fixture
def page(visit, static_address):
    page = visit(ADDRESS, base=static_address)
    page.set_default_timeout(60_000)  # a machine may have other work
    return page


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def squares(page, pictures):
    """What the page reduces picture files to."""
    found = page.evaluate(
        """async ([files, side]) => {
          const { squareOf } = await import("./static/local/photograph.js");
          const found = [];
          for (const file of files) {
            const bytes = Uint8Array.from(atob(file), (one) => one.charCodeAt(0));
            const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
            const bitmap = await createImageBitmap(new Blob([bytes]), options);
            found.push(Array.from(squareOf(bitmap, side)));
          }
          return found;
        }""",
        [pictures, SIDE],
    )
    return np.array(found, np.uint8).reshape(-1, SIDE, SIDE, 3)


def judged(page, pictures):
    found = page.evaluate(
        """async (squares) => {
          const { judge } = await import("./static/local/photograph.js");
          const found = [];
          for (const square of squares) {
            const { features, passed, probabilities } = await judge(Uint8Array.from(square));
            found.push([features, passed.Z.at(-1)[0][0], probabilities]);
          }
          return found;
        }""",
        [picture.ravel().tolist() for picture in pictures],
    )
    features, logits, probabilities = zip(*found, strict=True)
    return np.array(features), np.array(logits), np.array(probabilities)


def drawn_squares():
    generator = np.random.default_rng(5)
    rows, columns = np.indices((SIDE, SIDE))
    gradients = np.stack([rows, columns, rows ^ columns], axis=-1) * 4
    few = np.stack([rows // 16, columns // 32, rows // 32], axis=-1)
    flat = [np.full((SIDE, SIDE, 3), colour) for colour in (0, 1, 128, 255)]
    flat += [np.broadcast_to(colour, (SIDE, SIDE, 3)) for colour in ((200, 40, 40), (0, 0, 1))]
    scenes = [
        reduce_picture(render_scene(k % 2, np.random.default_rng(k), size=(125, 94)), SIDE)[0]
        for k in range(8)
    ]
    noise = generator.integers(0, 256, (2, SIDE, SIDE, 3))
    return np.stack([*scenes, gradients, 255 - gradients, few, *flat, *noise]).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(64, 64), (97, 131), (131, 97), (640, 480), (61, 1000), (2000, 700), (3, 5), (1, 1)]
)
def test_the_same_pixels_give_the_same_square_to_the_bit(page, size):
    width, height = size
    picture = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (found,) = squares(page, [encoded(picture)])
    expected = reduce_picture(picture, SIDE)[0]
    upright = 2 * width < height + SIDE
    if upright and int(Image.__version__.split(".")[0]) < 13:  # which always begins with the rows
        columns = Image.fromarray(picture).resize((width, SIDE), Image.Resampling.BOX)
        expected = np.asarray(columns.resize((SIDE, SIDE), Image.Resampling.BOX))
    np.testing.assert_array_equal(found, expected)


def test_a_turned_picture_is_upright_and_a_clear_one_on_white(page):
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[:64, :64] = (250, 0, 0)  # top left; turned right by a quarter it is top right
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = np.zeros((64, 64, 4), np.uint8)
    turned, white = squares(page, [encoded(picture, "JPEG", exif=exif), encoded(clear)])
    corners = turned[[4, 4, -4], [4, -4, 4], 0].astype(int)
    assert corners[1] > 230 > 20 > max(corners[0], corners[2])
    assert (white == 255).all()


def test_features_and_log_odds_are_the_package_s_within_a_derived_bound(page, shipped):
    pictures = drawn_squares()
    features, logits, probabilities = judged(page, pictures)
    expected = extract_features(pictures)
    rows = shipped.probabilities_of_features(expected)
    for place, picture in enumerate(pictures):
        errors, squared = bounds_of(picture)
        # The package's float32 may be off by `errors`; double precision by 2^-29 of that.
        assert (apart(features[place], expected[place], squared) <= errors * (1 + 2**-20)).all()
        p = float(rows[place, 1])
        off = log_odds_error(shipped, picture)
        # p (1 - p) <= 1/4 of the log-odds' error, and the rounding of the sigmoid
        assert abs(probabilities[place, 1] - p) <= off / 4 + 8 * U
        assert probabilities[place].sum() == pytest.approx(1, abs=1e-15)
        if U < p < 1 - 1e-3:
            assert abs(logits[place] - np.log(p / (1 - p))) <= off + 16 * U / (p * (1 - p))


@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_scene_is_shown_with_the_package_s_numbers(page, shipped, number):
    page.evaluate("() => { Math.random = () => 0; }")
    found = page.evaluate(
        """async (number) => {
          const { backend } = await import("./static/backend.js");
          return backend.photo(await backend.scene(number), null);
        }""",
        number,
    )
    expected = PhotoDesk(shipped).look_at(rendered_scene(number), None)
    assert found["predicted"] == found["label"] == expected["label"]
    # WebP's colours are decoded otherwise by the browser: how far that goes, docs/see.md says
    assert found["size"] == [640, 480]
    assert {one["group"] for one in found["reasons"]} == {
        one["group"] for one in expected["reasons"]
    }
    total = found["start"] + sum(one["push"] for one in found["reasons"])
    assert total == pytest.approx(found["log_odds"], abs=0.05)  # a sum over 128 points of the way
    assert found["start"] == pytest.approx(expected["start"], abs=1e-4)
    first, other = found["reasons"][0], expected["reasons"][0]
    assert (first["group"], first["words"]) == (other["group"], other["words"])
    assert [one["name"] for one in found["table"]["columns"]] == [
        one["name"] for one in expected["table"]["columns"]
    ]
    assert [len(one["A"]) for one in found["layers"]] == [
        len(one["A"]) for one in expected["layers"]
    ]


def test_network_reasons_and_words_from_the_same_square(page, shipped):
    """The whole answer, but for decoding: a lossless picture of SIDE pixels."""
    for picture in drawn_squares()[:4]:
        answer = page.evaluate(
            """async (file) => {
              const { backend } = await import("./static/backend.js");
              const bytes = Uint8Array.from(atob(file), (one) => one.charCodeAt(0));
              return [await backend.photo(new Blob([bytes]), "day"), await backend.model()];
            }""",
            encoded(picture),
        )
        found, model = answer
        assert model == PhotoDesk(shipped).description()
        expected = PhotoDesk(shipped).look_at(base64.b64decode(encoded(picture)), "day")
        off = log_odds_error(shipped, picture)
        assert found["log_odds"] == pytest.approx(expected["log_odds"], abs=off + 16 * U)
        pushes = {one["group"]: one for one in expected["reasons"]}
        for one in found["reasons"]:
            other = pushes[one["group"]]
            # a group's part of the log-odds: its inputs' errors, and which units are on
            assert one["push"] == pytest.approx(other["push"], abs=10 * off + 1e-3)
        assert [one["words"] for one in found["reasons"][:3]] == [
            one["words"] for one in expected["reasons"][:3]
        ]
        assert [one["name"] for one in found["features"][:5]] == [
            one["name"] for one in expected["features"][:5]
        ]
        for mine, other in zip(found["layers"], expected["layers"], strict=True):
            for name in ("Z", "A", "dA", "dZ"):
                scale = max(np.abs(np.array(other[name], float)).max(), 1)
                np.testing.assert_allclose(mine[name], other[name], atol=scale * (off + 1e-4))
        assert found["cost"] == pytest.approx(expected["cost"], abs=off + 16 * U)


def test_the_page_shows_a_scene_and_a_file_and_says_what_is_none(page, tmp_path):
    assert page.text_content("#question") == "Day or night?"
    page.click("#scene")
    page.locator("#result").wait_for()
    assert page.text_content("#label") in ("day", "night")
    assert page.locator("#overlay").is_hidden()
    assert page.locator(".slider").is_hidden()
    assert page.locator("#reasons li").count() >= 3
    page.locator("[name=label][value=day]").check(force=True)
    settled(page)
    page.locator("#layers summary").first.click()
    page.locator("#layers td").last.wait_for()  # the table is made when it is opened
    assert page.locator("#layers td").count() == 4 * 320
    path = tmp_path / "none.jpg"
    path.write_bytes(b"no picture")
    page.set_input_files("#file", path)
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error") == "none.jpg: This browser cannot decode it as a picture."
    assert page.locator("#result").is_hidden()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_it_fits_and_can_be_read(visit, static_address, width, height):
    page = visit(ADDRESS, width, height, base=static_address, color_scheme="light")
    page.set_default_timeout(60_000)
    page.click("#scene")
    page.locator("#result").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE, width) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_timeout(200)
        assert [one for one in page.evaluate(CONTRASTS) if one[2] < 4.5] == []
