import os
import threading

import pytest

from backlit.photos import listed
from backlit.photos.listed import Listing
from backlit.photos.listing import walk_photos


@pytest.fixture
def folder(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        for number in range(300):
            (tmp_path / name / f"{number:03d}.jpg").touch()
    return tmp_path


def test_it_is_the_walk_in_order(folder):
    paths = [folder, folder / "missing.jpg", folder / "a" / "000.jpg"]
    with Listing(paths) as listing:
        assert list(listing) == list(walk_photos(paths))
        assert listing.total() == 602


def test_what_is_skipped_counts_towards_how_many_there_are(folder):
    skip = {str(folder / "a" / f"{number:03d}.jpg") for number in range(300)}
    with Listing([folder], skip=skip, leave_out=folder / "nothing") as listing:
        assert listing.reaches(600)
        assert not listing.reaches(601)
        assert listing.total() == 300
        assert [one.path for one in listing] == [
            str(folder / "b" / f"{number:03d}.jpg") for number in range(300)
        ]


def test_how_many_is_known_before_all_are_listed(folder):
    more = threading.Event()

    def paths():
        yield folder
        more.wait(60)
        yield folder / "missing.jpg"

    with Listing(paths()) as listing:
        assert listing.reaches(500)
        more.set()
        assert listing.total() == 601


def test_names_that_wait_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(listed, "MOST_AHEAD", 100)
    with Listing([folder]) as listing:
        assert listing.reaches(256)
        assert not listing._ended
        assert len(list(listing)) == 600


def test_a_failure_of_the_paths_is_raised_after_what_was_found(folder):
    def paths():
        yield folder
        raise ValueError("no more")

    with Listing(paths()) as listing, pytest.raises(ValueError, match="no more"):
        for _ in listing:
            pass
    found = []
    with Listing(paths()) as listing, pytest.raises(ValueError, match="no more"):
        found.extend(listing)
    assert not listing.reaches(10_000)


def test_one_that_is_closed_ends_its_thread(folder, monkeypatch):
    monkeypatch.setattr(listed, "MOST_AHEAD", 1)
    before = set(threading.enumerate())
    with Listing([folder]) as listing:
        assert listing.reaches(1)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()
    assert list(listing) == []


def test_each_folder_is_listed_once(folder, monkeypatch):
    seen = []
    scandir = os.scandir

    def counted(path):
        seen.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    with Listing([folder]) as listing:
        listing.reaches(10_000)
        listing.total()
        list(listing)
    assert len(seen) == 3
