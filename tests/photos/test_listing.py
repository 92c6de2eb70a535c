import os

import pytest

from backlit.errors import PhotoFolderError
from backlit.photos.listing import is_photo_name, scan_folder, walk_photos


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(found, root):
    return [os.path.relpath(one.path, root) for one in found]


def test_endings_in_either_case_and_nothing_hidden(tmp_path):
    make(
        tmp_path,
        *("b.JPG", "a.jpeg", "c.Png", "d.webp", "e.bmp", "f.gif", "g.TIFF", "h.tif", "i.HEIC"),
        *("notes.txt", ".DS_Store", "Thumbs.db", "._b.JPG", ".hidden.jpg", "model.safetensors"),
        *(".ipynb_checkpoints/b.jpg", "__MACOSX/b.jpg", "@eaDir/b.jpg", "noending", "jpg"),
    )
    found = names(walk_photos([tmp_path]), tmp_path)
    assert found == [
        *("a.jpeg", "b.JPG", "c.Png", "d.webp", "e.bmp", "f.gif", "g.TIFF", "h.tif", "i.HEIC")
    ]


def test_order_is_by_name_depth_first(tmp_path):
    make(tmp_path, "z.jpg", "b/c/1.jpg", "b/2.jpg", "a.jpg", "b/c.jpg")
    found = names(walk_photos([tmp_path]), tmp_path)
    assert found == ["a.jpg", "b/2.jpg", "b/c/1.jpg", "b/c.jpg", "z.jpg"]


def test_files_are_taken_as_named_and_missing_ones_reported(tmp_path):
    make(tmp_path, "notes.txt", "a.jpg")
    found = list(walk_photos([tmp_path / "notes.txt", tmp_path / "gone.jpg", tmp_path / "a.jpg"]))
    assert names(found, tmp_path) == ["notes.txt", "gone.jpg", "a.jpg"]
    assert [one.error for one in found] == ["", "no such file or folder", ""]


def test_link_loops_end_and_each_folder_comes_once(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "sideways").symlink_to(tmp_path / "a")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    found = list(walk_photos([tmp_path]))
    assert sorted(names(found, tmp_path)) == ["a/1.jpg", "b/2.jpg", "self.jpg"]


def test_walking_is_lazy(tmp_path):
    make(tmp_path, "a/1.jpg", "b/1.jpg")
    walk = walk_photos([tmp_path])
    assert next(walk).path.endswith("1.jpg")
    make(tmp_path, "b/2.jpg")
    assert len(list(walk)) == 2


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\udcff.jpg", "ä ö.jpg", 'a,b".jpg'])
def test_odd_names(tmp_path, name):
    make(tmp_path, name)
    assert names(walk_photos([tmp_path]), tmp_path) == [name]


def test_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    make(tmp_path, "a/1.jpg", "b/1.jpg")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = list(walk_photos([tmp_path]))
    assert names(found, tmp_path) == ["a", "b/1.jpg"]
    assert found[0].error == "no permission to list this folder"


def test_is_photo_name():
    assert is_photo_name("A.JPG")
    assert not is_photo_name(".A.JPG")
    assert not is_photo_name("A.JPG.txt")


def test_plain_layout(tmp_path):
    make(tmp_path, "night/1.jpg", "day/2.jpg", "day/sub/1.jpg", "dusk/1.png", ".git/x.jpg")
    folder = scan_folder(tmp_path)
    assert folder.classes == ("day", "dusk", "night")
    assert not folder.has_splits
    assert list(folder.splits) == ["train"]
    split = folder.splits["train"]
    assert [os.path.relpath(path, tmp_path) for path in split.paths] == [
        *("day/2.jpg", "day/sub/1.jpg", "dusk/1.png", "night/1.jpg")
    ]
    assert split.labels == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("train", "validation"), [("train", "val"), ("training", "validation"), ("Train", "VAL")]
)
def test_split_layout(tmp_path, train, validation):
    for split in (train, validation, "test"):
        make(tmp_path, f"{split}/day/{split}.jpg", f"{split}/night/{split}.jpg")
    make(tmp_path, "test/night/more.jpg", "readme.jpg")
    folder = scan_folder(tmp_path)
    assert folder.has_splits
    assert {name: len(split) for name, split in folder.splits.items()} == {
        "train": 2, "validation": 2, "test": 3,
    }  # fmt: skip
    assert folder.splits["test"].labels == [0, 1, 1]


def test_a_test_split_may_lack_a_class(tmp_path):
    make(tmp_path, "train/day/1.jpg", "train/night/1.jpg", "test/night/1.jpg")
    assert scan_folder(tmp_path).splits["test"].labels == [1]


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        ([], [], "neither pictures nor subfolders"),
        (["a.jpg"], [], "pictures but no subfolders"),
        (["day/1.jpg"], [], "single class, 'day'; expected at least two"),
        (["day/1.jpg"], ["night"], "night holds no picture"),
        (["day/1.txt", "night/1.txt"], [], "holds no picture at all"),
        ([], ["day", "night"], "holds no picture at all"),
        (["train/day/1.jpg", "train/night/1.jpg", "test/dusk/1.jpg"], [], "class 'dusk' that"),
        (["train/day/1.jpg", "training/day/1.jpg"], [], "two folders for one split"),
        (["test/day/1.jpg", "val/night/1.jpg"], [], "no folder train or training"),
    ],
)
def test_what_cannot_be_learnt_from(tmp_path, files, folders, message):
    make(tmp_path, *files)
    for folder in folders:
        (tmp_path / folder).mkdir()
    with pytest.raises(PhotoFolderError, match=message):
        scan_folder(tmp_path)


def test_no_such_folder(tmp_path):
    with pytest.raises(PhotoFolderError, match="no such folder"):
        scan_folder(tmp_path / "gone")
    make(tmp_path, "file")
    with pytest.raises(PhotoFolderError, match="is not a folder"):
        scan_folder(tmp_path / "file")


def test_a_link_to_another_class_does_not_mix_them(tmp_path):
    """Pictures of night would be learnt, and judged, as day."""
    for split in ("train", "test"):
        for name in ("day", "night"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / f"{name}.jpg").touch()
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    outside.mkdir()
    (outside / "more.jpg").touch()
    day = tmp_path / "train" / "day"
    targets = (tmp_path, tmp_path / "train", tmp_path / "test" / "day", day, day.parent / "night")
    for number, target in enumerate((*targets, outside)):
        (day / f"link-{number}").symlink_to(target)
    found = scan_folder(tmp_path)
    assert found.splits["train"].paths == [
        str(day / "day.jpg"),
        str(day / "link-5" / "more.jpg"),
        str(day.parent / "night" / "night.jpg"),
    ]
    assert found.splits["train"].labels == [0, 0, 1]
    assert len(found.splits["test"]) == 2
    assert found.problems == []


def test_folders_without_pictures_are_passed_over(tmp_path):
    make(tmp_path, "day/1.jpg", "night/1.jpg", "notes/readme.txt", "new/.hidden.jpg")
    folder = scan_folder(tmp_path)
    assert folder.classes == ("day", "night")
    assert folder.empty == [str(tmp_path / "new"), str(tmp_path / "notes")]
    splits = tmp_path / "splits"
    make(splits, "train/day/1.jpg", "train/night/1.jpg", "train/new/a.txt", "test/night/1.jpg")
    make(splits, "test/day/b.txt", "val/day/c.txt")
    folder = scan_folder(splits)
    assert folder.classes == ("day", "night")
    assert {name: split.labels for name, split in folder.splits.items()} == {
        "train": [0, 1], "test": [1],
    }  # fmt: skip
    assert len(folder.empty) == 3


def test_a_class_that_cannot_be_looked_into_is_not_passed_over(tmp_path, monkeypatch):
    make(tmp_path, "day/1.jpg", "dusk/1.jpg", "night/1.jpg")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("dusk"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PhotoFolderError, match="dusk holds no picture that can be read: no perm"):
        scan_folder(tmp_path)


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_links_to_the_folder_itself_and_above_are_no_class(tmp_path, target):
    root = tmp_path / "all" / "photos"
    make(root, "day/1.jpg", "night/1.jpg")
    make(tmp_path, "elsewhere/dusk/1.jpg")
    (root / "again").symlink_to((root / target).resolve())
    (root / "dusk").symlink_to(tmp_path / "elsewhere" / "dusk")  # that is one
    folder = scan_folder(root)
    assert folder.classes == ("day", "dusk", "night")
    assert folder.empty == []
    assert folder.splits["train"].labels == [0, 1, 2]
