import os

import numpy as np
import pytest
from PIL import Image

from backlit.photos import Recipe, train
from backlit.photos.saliency import maps
from backlit.report.findings import findings_of_training
from backlit.report.page import write_report
from backlit.report.pictures import PhotoFiles
from report import odd_names
from report.browser import launched
from sample_pictures import day_picture, night_picture, save_class


def dusk_picture(generator, height=60, width=80):
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = np.array([200, 90, 60]) * (1 - 0.7 * rows) * np.ones((height, width, 1))
    return np.clip(picture + generator.normal(0, 25, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session", autouse=True)
def few_variants():
    """Maps of fewer pictures, to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "VARIANTS", 3)
        yield


@pytest.fixture(scope="module")  # while it is open, no other test may use Playwright
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three classes and odd names; mislabelled, duplicate and broken pictures."""
    root = tmp_path_factory.mktemp("report") / "photos"
    for split, count, seed in (("train", 14, 0), ("test", 6, 300)):
        save_class(root / split / odd_names.CLASS, day_picture, count, seed)
        save_class(root / split / "night", night_picture, count, seed + 10)
        save_class(root / split / "a dusk of many words", dusk_picture, count, seed + 20)
    generator = np.random.default_rng(7)
    night = root / "test" / "night"
    for number in range(14):
        Image.fromarray(day_picture(generator)).save(night / f"wrong {number:02d}.jpg")
    os.rename(night / "wrong 00.jpg", night / odd_names.FILE)
    os.rename(night / "wrong 01.jpg", os.fsencode(night) + b"/" + odd_names.BYTES)
    (night / "empty.jpg").write_bytes(b"")
    for number in range(8):
        original = root / "train" / "night" / f"00{number}.jpg"
        (night / f"copy {number}.jpg").write_bytes(original.read_bytes())
    return root


@pytest.fixture(scope="session")
def trained(folder):
    return train(folder, Recipe(members=2, epochs=8, copies=1), warn=lambda text: None)


@pytest.fixture(scope="session")
def page(folder, trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, findings_of_training(trained), PhotoFiles(str(folder)))
    return path
