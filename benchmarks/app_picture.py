"""The documentation's picture of the app's pages, made from a rendered scene.

``python -m benchmarks.app_picture`` serves the app, photographs both pages in Chromium (light
colours, wide), and writes them side by side to ``docs/images/app.png``.
"""

import argparse
import tempfile
import threading
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from backlit.app.photo import rendered_scene
from backlit.app.server import create_app
from backlit.app.serving import open_socket
from backlit.photos.classifier import PhotoClassifier
from benchmarks.report_picture import IMAGES, side_by_side

SCENE = 9
SIZE = {"width": 1060, "height": 1180}


def photographs(address: str, chromium: Path) -> tuple[Image.Image, Image.Image]:
    """Take the first page with a scene, and the second one after 200 steps."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        scene = Path(folder) / "scene.webp"
        scene.write_bytes(rendered_scene(SCENE))
        browser = playwright.chromium.launch(
            executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.set_input_files("#file", scene)
        page.wait_for_selector("#result:not([hidden])")
        page.screenshot(path=Path(folder) / "photo.png")
        page.goto(f"{address}/steps")
        page.locator("#matrices table").first.wait_for()
        page.fill("#rate", "1")
        page.press("#rate", "Enter")
        page.select_option("#many", "1000")
        page.click("#train-many")
        expect(page.locator("#taken")).to_have_text("1,000")
        page.locator("main[aria-busy=false]").wait_for()
        page.locator("#steps button").nth(9).click()
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=Path(folder) / "steps.png")
        browser.close()
        first, second = (
            Image.open(Path(folder) / name).convert("RGB") for name in ("photo.png", "steps.png")
        )
    return first, second


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", type=Path, default=Path("/usr/bin/chromium"))
    arguments = parser.parse_args()
    listening = open_socket("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(PhotoClassifier.load()), log_level="critical", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    sheet = side_by_side(photographs(address, arguments.chromium))
    sheet.quantize(128).save(IMAGES / "app.png", optimize=True)


if __name__ == "__main__":
    main()
