import os

import pytest

from backlit.errors import PhotoError
from backlit.photos.classifier import Prediction
from backlit.photos.filing import Filer


def prediction(path, label="night"):
    return Prediction(str(path), label, 0.9)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "from" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"picture")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


@pytest.mark.parametrize("move", [False, True])
def test_files_by_label(tmp_path, picture, move):
    target = Filer(tmp_path / "to", move=move).file(prediction(picture))
    assert target == tmp_path / "to" / "night" / "a.jpg"
    assert target.read_bytes() == b"picture"
    assert target.stat().st_mtime == 1_000_000_000
    assert picture.exists() is not move


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("links", [False, True])
def test_nothing_is_overwritten(tmp_path, picture, move, links, monkeypatch):
    if not links:

        def no_link(*_):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(os, "link", no_link)
    folder = tmp_path / "to" / "night"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"old")
    (folder / "a-2.jpg").symlink_to("nowhere")
    target = Filer(tmp_path / "to", move=move).file(prediction(picture))
    assert target == folder / "a-3.jpg"
    assert target.read_bytes() == b"picture"
    assert (folder / "a.jpg").read_bytes() == b"old"
    assert picture.exists() is not move


def test_a_dry_run_does_nothing_and_promises_each_place_once(tmp_path, picture):
    filer = Filer(tmp_path / "to", move=True, dry_run=True)
    places = [filer.file(prediction(picture)) for _ in range(3)]
    assert [place.name for place in places] == ["a.jpg", "a-2.jpg", "a-3.jpg"]
    assert not (tmp_path / "to").exists()
    assert picture.exists()


def test_errors_stay_where_they_are(tmp_path, picture):
    filer = Filer(tmp_path / "to", move=True)
    assert filer.file(Prediction(str(picture), "", None, error="broken")) is None
    assert picture.exists()


@pytest.mark.parametrize("label", ["../../out", "..", "a/b", ""])
def test_labels_lead_nowhere_else(tmp_path, picture, label):
    target = Filer(tmp_path / "to").file(prediction(picture, label or "."))
    assert target.parent.parent == tmp_path / "to"
    assert target.resolve().is_relative_to(tmp_path / "to")


def test_a_source_that_is_gone(tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.jpg: cannot be filed"):
        Filer(tmp_path / "to").file(prediction(tmp_path / "gone.jpg"))
    assert list((tmp_path / "to" / "night").iterdir()) == []
