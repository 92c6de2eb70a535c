"""A folder sorted by keys alone, in Chromium."""

import csv
import shutil

import pytest

from app.browsing import TOO_WIDE, settled
from app.conftest import Served
from backlit.app.sorting import SortingDesk
from backlit.errors import UnknownNameError
from backlit.photos.relabelling import JOURNAL
from report.browser import CONTRASTS
from sample_pictures import day_picture, night_picture, save_class


@pytest.fixture(scope="module")
def sorted_once(tmp_path_factory):
    """Twenty pictures of each class, three of them in the wrong folder."""
    root = tmp_path_factory.mktemp("sort") / "p"
    save_class(root / "day", day_picture, 20, 0)
    save_class(root / "night", night_picture, 20, 1)
    for number in range(3):
        shutil.move(root / "night" / f"{number:03}.jpg", root / "day" / f"wrong{number}.jpg")
    return root


@pytest.fixture
def folder(sorted_once, tmp_path):
    return shutil.copytree(sorted_once, tmp_path / "p")


@pytest.fixture
def desk(folder):
    desk = SortingDesk(folder)
    desk._run(desk._read)  # in this thread
    return desk


def place_of(desk, name):
    return next(k for k, path in enumerate(desk._paths) if path.endswith(name))


def test_what_looks_mislabelled_comes_first(desk, folder):
    first = desk.sheet("mislabelled", 10)["pictures"]
    assert {one["name"] for one in first[:3]} == {f"day/wrong{k}.jpg" for k in range(3)}
    assert all(one["likely"] == "night" for one in first[:3])
    before = desk.state()["history"][-1]
    for one in first[:3]:
        desk.label([one["id"]], "night")
    assert desk.state()["changed"] == 3
    assert not {one["id"] for one in first[:3]} & {
        one["id"] for one in desk.sheet("unsure", 100)["pictures"]
    }
    desk._run(desk._learn)
    assert desk.state()["history"][-1]["right"] > before["right"]
    assert desk.move()["count"] == 3
    assert (folder / "night" / "wrong1.jpg").exists()
    assert desk.state()["changed"] == 0
    assert desk.move_back()["count"] == 3
    assert (folder / "day" / "wrong1.jpg").exists()
    assert desk._labels.now[place_of(desk, "wrong1.jpg")] == 0
    assert desk.picture(0)[:4] == b"RIFF"
    with pytest.raises(UnknownNameError):
        desk.label([0], "dusk")


@pytest.fixture
def sorting_page(visit, desk, shipped):
    served = Served(shipped, desk)
    page = visit("/sort", base=served.address, color_scheme="light")
    settled(page)
    page.wait_for_selector(".tile")
    yield page
    served.end()


def test_a_folder_is_sorted_by_keys_alone(sorting_page, desk, folder):
    page = sorting_page

    def told(place, words):
        page.locator(f"#{place}", has_text=words).wait_for()

    before = page.text_content("#accuracy")
    page.keyboard.press("w")
    settled(page)
    page.wait_for_selector(".tile .other")
    names = []
    for _ in range(3):
        focused = page.locator(".tile:focus")
        names.append(focused.locator("img").get_attribute("alt"))
        page.keyboard.press("2" if len(names) % 2 else "Enter")  # night, or what it looks like
        told("counts", f"{len(names)} labels changed")
    assert sorted(names) == [f"day/wrong{k}.jpg" for k in range(3)]
    page.keyboard.press("u")
    told("counts", "2 labels")
    assert page.locator(".tile:focus img").get_attribute("alt") == names[-1]
    page.keyboard.press("2")
    told("counts", "3 labels")
    page.keyboard.press("t")
    told("moved-by", "points")
    settled(page)
    page.wait_for_selector("#train[aria-disabled=false]")
    assert float(page.text_content("#accuracy")[:-2]) > float(before[:-2])
    page.keyboard.press("s")
    told("status", "Written")
    with open(folder / "labels.csv", newline="") as file:
        rows = {row["path"]: row["label"] for row in csv.DictReader(file)}
    assert len(rows) == 40
    assert rows["day/wrong0.jpg"] == "night"
    page.keyboard.press("m")
    told("status", "3 files")
    assert len(list((folder / "night").iterdir())) == 20
    assert (folder / JOURNAL).exists()
    page.keyboard.press("b")
    told("counts", "0 files")
    assert len(list((folder / "night").iterdir())) == 17
    page.keyboard.press("q")
    page.wait_for_selector(".tile:focus")
    first = page.locator(".tile:focus").get_attribute("data-id")
    page.keyboard.press("ArrowRight")
    assert page.locator(".tile:focus").get_attribute("data-id") != first
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.locator(".tile:focus").get_attribute("data-id") == first
    assert page.evaluate(TOO_WIDE, 1280) == []
    assert [one for one in page.evaluate(CONTRASTS) if one[2] < 4.5] == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(TOO_WIDE, 390) == []
