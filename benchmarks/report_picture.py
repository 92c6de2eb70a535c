"""The README's pictures of a report and of an explanation, made from rendered scenes.

``python -m benchmarks.report_picture`` trains on rendered scenes, writes the report, photographs it
in Chromium (a wide window in light colours, a telephone in dark ones), explains one scene with the
model that is part of the package, and writes both pictures to ``docs/images``.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from backlit.photos import Recipe, explain, train
from backlit.photos.saliency.drawing import explanation_picture
from backlit.photos.scenes import render_scene
from backlit.report.findings import findings_of_training
from backlit.report.page import write_report
from backlit.report.pictures import RenderedScenes

IMAGES = Path(__file__).parents[1] / "docs" / "images"
GROUND = (231, 229, 224)
GAP = 24


def photographs(page: Path, chromium: Path) -> tuple[Image.Image, Image.Image]:
    """Take the top of the page in a wide window, and its explanations on a telephone."""
    from playwright.sync_api import sync_playwright

    taken = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, size, scheme, place in (
            ("wide", (1000, 844), "light", "body"),
            ("telephone", (390, 844), "dark", "article:nth-of-type(2)"),
        ):
            shown = browser.new_page(
                viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
            )
            shown.goto(page.as_uri())
            shown.evaluate(f"document.querySelector('{place}').scrollIntoView()")
            if place != "body":
                shown.evaluate("scrollBy(0, -20)")
            path = Path(folder) / f"{name}.png"
            shown.screenshot(path=path)
            with Image.open(path) as picture:
                taken.append(picture.convert("RGB"))
        browser.close()
    return taken[0], taken[1]


def side_by_side(pictures: tuple[Image.Image, Image.Image]) -> Image.Image:
    """Lay both on one ground, with rounded corners."""
    width = sum(one.width for one in pictures) + 3 * GAP
    sheet = Image.new("RGB", (width, pictures[0].height + 2 * GAP), GROUND)
    left = GAP
    for one in pictures:
        mask = Image.new("L", one.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, one.width - 1, one.height - 1), 18, fill=255)
        sheet.paste(one, (left, GAP), mask)
        left += one.width + GAP
    return sheet


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG of 256 colours, which the page's and the map's own are among."""
    palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size:,} bytes")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    parser.add_argument("--members", type=int, default=10)
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    night = render_scene(1, np.random.default_rng(1), size=(480, 320), place="skyline")
    drawn = explanation_picture(explain(night))
    drawn = drawn.resize((1000, round(1000 * drawn.height / drawn.width)), Image.Resampling.LANCZOS)
    save(drawn, IMAGES / "explained.png")
    recipe = Recipe(members=arguments.members)
    trained = train(None, recipe)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_report(page, findings_of_training(trained), RenderedScenes(recipe.seed))
        save(side_by_side(photographs(page, arguments.chromium)), IMAGES / "report.png")


if __name__ == "__main__":
    main()
