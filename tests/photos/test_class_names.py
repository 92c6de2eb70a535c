import pytest

from backlit.errors import PhotoFolderError, SettingError
from backlit.photos import PhotoClassifier, Recipe, train
from backlit.photos.class_names import check_class_names, folder_names
from backlit.photos.learning import learn
from sample_pictures import day_picture, night_picture, save_class

REFUSED = {
    (".", "day"): "stands for another folder",
    ("..", "day"): "stands for another folder",
    ("", "day"): "that can be seen",
    (" ", "day"): "that can be seen",
    ("a/b", "a_b"): "no folder's name can hold",
    ("a\\b", "a_b"): "no folder's name can hold",
    ("a\0", "b"): "no folder's name can hold",
    ("unsure", "day"): "below --unsure",
    ("Unsure", "day"): "below --unsure",
    ("a\x1b[2J", "b"): "a control character",
    ("a\nb", "b"): "a control character",
    ("a\x9b", "b"): "a control character",
    ("a\x7f", "b"): "a control character",
    ("a\u202eb", "b"): "turns the direction of text",
    ("a\u2066b", "b"): "turns the direction of text",
    ("a\u200bb", "b"): "not seen",
    ("a\u2028b", "b"): "a line break",
    ("a\udcff", "b"): "not UTF-8",
    ("x" * 256, "b"): "at most 255",
    ("day", "day"): "the same name",
    ("day", "Day"): "some disks take for one",
    ("\u00e9", "e\u0301"): "some disks take for one",
    (3, "day"): "found int, expected text",
}
TAKEN = (
    *("day", "a b", "a_b", "Nacht, spät", "夜", "نهار", "a.b", "unsure-2", "x" * 255),
    *("می\u200cخواهم", "👩\u200d🌾"),  # joined
)


@pytest.mark.parametrize("names", REFUSED)
def test_names_that_cannot_be_told_apart_are_refused(names):
    with pytest.raises(PhotoFolderError, match=REFUSED[names]) as caught:
        check_class_names(names)
    assert str(caught.value).isprintable()
    with pytest.raises(PhotoFolderError, match=REFUSED[names]):
        learn(names, {"train": []}, Recipe())


def test_other_names_are_taken_and_are_their_own_folders():
    check_class_names(TAKEN)
    assert folder_names(TAKEN) == {name: name for name in (*TAKEN, "unsure")}


@pytest.mark.parametrize("name", ["unsure", "a\x1bb", "a\u202eb", "a\\b"])
def test_folders_are_refused_before_a_picture_is_read(tmp_path, name, monkeypatch):
    save_class(tmp_path / "day", day_picture, 2)
    save_class(tmp_path / name, night_picture, 2)
    monkeypatch.setattr("backlit.photos.fitting.read_pieces", None)
    with pytest.raises(PhotoFolderError, match="A class is called"):
        train(tmp_path)


def test_folders_of_any_names_are_kept_apart():
    names = ("a/b", "a_b", "A_B", "..", ".", "_", "", "\x1b", "unsure", "x" * 300, "x" * 301)
    found = folder_names(names)
    assert found["unsure"] == "unsure"
    assert found["a_b"] == "a_b"
    assert len({folder.casefold() for folder in found.values()}) == len(names)
    for folder in found.values():
        assert folder not in ("", ".", "..")
        assert folder.isprintable()
        assert "/" not in folder
        assert len(folder.encode()) <= 255


def test_a_class_called_unsure_is_not_mixed_with_unsure_pictures():
    shipped = PhotoClassifier.load()
    odd = PhotoClassifier(("unsure", "day"), shipped.parameters, shipped.mean, shipped.scale)
    with pytest.raises(SettingError, match="could not be told apart"):
        next(odd.predict([], unsure=0.5), None)
    assert list(odd.predict([])) == []
