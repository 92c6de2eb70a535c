"""How far the static page's labels are from those of ``backlit predict``.

``python -m benchmarks.static_page [FOLDER ...] [--scenes 200] [--record]`` opens the page in
Chromium (``/usr/bin/chromium``), hands it rendered scenes, PNG and JPEG, and all pictures below the
folders, and compares the probability of night with that of the package. The page decodes with the
browser and reduces all pixels; the package has libjpeg decode a large JPEG at an eighth, a quarter
or half of its size first.
"""

import argparse
import functools
import http.server
import importlib.util
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks import _harness

ROOT = Path(__file__).parents[1]
CHROMIUM = "/usr/bin/chromium"
TOGETHER = 16
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"}
JUDGE = """async ([addresses, side]) => {
  const { judge, squareOf } = await import("./static/local/photograph.js");
  const found = [];
  for (const address of addresses) {
    try {
      const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
      const bitmap = await createImageBitmap(await (await fetch(address)).blob(), options);
      found.push((await judge(squareOf(bitmap, side))).probabilities[1]);
      bitmap.close();
    } catch { found.push(null); }
  }
  return found;
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def _write_page(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("see_page", ROOT / "docs" / "see_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_see(folder)


def _write_scenes(folder: Path, count: int) -> None:
    from PIL import Image

    from backlit.photos.scenes import render_scene

    for kind in ("png", "jpg"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        scene = render_scene(number % 2, np.random.default_rng(number), size=(1280, 960))
        image = Image.fromarray(scene)
        image.save(folder / "png" / f"{number}.png", compress_level=1)
        image.save(folder / "jpg" / f"{number}.jpg", quality=90)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def _on_the_page(page: Any, address: str, paths: list[Path], root: Path) -> list[float | None]:
    from backlit.photos.features import SIDE

    found: list[float | None] = []
    for start in range(0, len(paths), TOGETHER):
        some = paths[start : start + TOGETHER]
        asked = [f"{address}/{quote(str(path.relative_to(root)))}" for path in some]
        found += page.evaluate(JUDGE, [asked, SIDE])
    return found


def _row(name: str, mine: list[float | None], theirs: list[float | None]) -> list[str]:
    pairs = [(a, b) for a, b in zip(mine, theirs, strict=True) if a is not None and b is not None]
    one, other = np.array(pairs).T
    apart = np.abs(one - other)
    changed = int(((one > 0.5) != (other > 0.5)).sum())
    low = [f"{np.quantile(apart, q):.1e}" for q in (0.5, 0.99)]
    return [name, f"{len(pairs):,}", str(changed), *low, f"{apart.max():.3f}"]


def main() -> None:
    """Compare, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--record", action="store_true", help="write docs/data/static_page.json")
    options = parser.parse_args()

    from playwright.sync_api import sync_playwright

    from backlit.photos.classifier import PhotoClassifier

    classifier, rows = PhotoClassifier.load(), []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _write_page(root)
        _write_scenes(root / "scenes", options.scenes)
        for place, folder in enumerate(options.folders):
            (root / f"folder{place}").symlink_to(folder.resolve())
        handler = functools.partial(_Quiet, directory=root)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        sets = [("rendered scenes, PNG", "scenes/png"), ("rendered scenes, JPEG", "scenes/jpg")]
        sets += [(one.name, f"folder{place}") for place, one in enumerate(options.folders)]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"{address}/see/index.html")
            for title, below in sets:
                paths = _pictures(root / below)
                theirs = [one.probabilities[1] for one in classifier.predict(paths)]
                rows.append(_row(title, _on_the_page(page, address, paths, root), theirs))
                print(*rows[-1], sep="\t", flush=True)
            browser.close()
        server.shutdown()
    columns = ["pictures", "number", "other labels", "p apart: median", "99 %", "largest"]
    if options.record:
        _harness.record("static_page", "python -m benchmarks.static_page", columns, rows)


if __name__ == "__main__":
    main()
