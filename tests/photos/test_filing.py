import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest

from backlit.errors import PhotoError
from backlit.photos.class_names import UNSURE
from backlit.photos.classifier import Prediction, Stamp
from backlit.photos.filing import Filer, Promise

CLASSES = ("day", "night")


def prediction(path, label="night"):
    stamp = Stamp.of(os.stat(path)) if os.path.exists(path) else None
    return Prediction(str(path), label, 0.9, stamp=stamp)


def file(filer, *predictions):
    """Promise and place; return the targets, and what could not be placed."""
    promises = [filer.promise(one)[1] for one in predictions]
    failures = filer.place([one for one in promises if one is not None])
    return [one and Path(one.target) for one in promises], failures


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "from" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"picture")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def refusing(*codes):
    """Return a call that fails with one error after the other, the last for good."""
    left = list(codes)

    def call(*_, **__):
        code = left.pop(0) if len(left) > 1 else left[0]
        raise OSError(code, os.strerror(code))

    return call


#: what `os.link` says -> another disk, one without links, or nothing
LINKS = {"links": None, "no links": errno.EPERM, "another disk": errno.EXDEV}


@pytest.fixture(params=LINKS)
def links(request, monkeypatch):
    pretend_links(LINKS[request.param], monkeypatch)
    return request.param


def pretend_links(code, monkeypatch):
    """Have links work or not, or the folder "to" lie on another disk."""
    real_link, real_stat = os.link, os.stat

    def link(source, target, **settings):
        if code == errno.EPERM or not str(source).endswith(".tmp"):
            raise OSError(code, os.strerror(code))
        return real_link(source, target, **settings)

    def stat(path, **settings):
        found = real_stat(path, **settings)
        if "to" not in Path(os.fspath(path)).parts:
            return found
        values, more = found.__reduce__()[1]
        return os.stat_result((*values[:2], found.st_dev + 1, *values[3:]), more)

    if code is not None:
        monkeypatch.setattr(os, "link", link)
    if code == errno.EXDEV:
        monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("move", [False, True])
def test_files_by_label(tmp_path, picture, move, links):
    (target,), failures = file(Filer(tmp_path / "to", CLASSES, move=move), prediction(picture))
    assert failures == []
    assert target == tmp_path / "to" / "night" / "a.jpg"
    assert target.read_bytes() == b"picture"
    assert target.stat().st_mtime == 1_000_000_000
    assert picture.exists() is not move
    assert os.listdir(target.parent) == ["a.jpg"]


@pytest.mark.parametrize("move", [False, True])
def test_nothing_is_overwritten(tmp_path, picture, move, links):
    folder = tmp_path / "to" / "night"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"old")
    (folder / "a-2.jpg").symlink_to("nowhere")
    (target,), _ = file(Filer(tmp_path / "to", CLASSES, move=move), prediction(picture))
    assert target == folder / "a-3.jpg"
    assert target.read_bytes() == b"picture"
    assert (folder / "a.jpg").read_bytes() == b"old"
    assert picture.exists() is not move


@pytest.mark.parametrize("move", [False, True])
def test_what_takes_the_name_meanwhile_stays(tmp_path, picture, move, links):
    filer = Filer(tmp_path / "to", CLASSES, move=move)
    _, promise = filer.promise(prediction(picture))
    target = Path(promise.target)
    target.parent.mkdir()
    target.write_bytes(b"old")
    ((_, reason),) = filer.place([promise])
    assert "holds another file" in reason
    assert (target.read_bytes(), picture.read_bytes()) == (b"old", b"picture")
    assert os.listdir(target.parent) == ["a.jpg"]


def test_pictures_of_one_name_have_places_of_their_own(tmp_path):
    """Their rows are written before any of them is there."""
    paths = []
    for number in range(4):
        paths.append(tmp_path / str(number) / "a.jpg")
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(b"%d" % number)
    targets, failures = file(Filer(tmp_path / "to", CLASSES), *map(prediction, paths))
    assert [one.name for one in targets] == ["a.jpg", "a-2.jpg", "a-3.jpg", "a-4.jpg"]
    assert [one.read_bytes() for one in targets] == [b"0", b"1", b"2", b"3"]
    assert failures == []


@pytest.mark.parametrize("move", [False, True])
def test_a_picture_that_is_named_twice_is_filed_once(tmp_path, picture, move, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [str(picture), "from/a.jpg", "./from/../from/a.jpg"]
    filer = Filer(tmp_path / "to", CLASSES, move=move, given=given)
    targets, failures = file(filer, *map(prediction, given))
    assert failures == []
    assert len(set(targets)) == 1
    assert os.listdir(tmp_path / "to" / "night") == ["a.jpg"]


@pytest.mark.parametrize("move", [False, True])
def test_hard_links_are_pictures_of_their_own(tmp_path, picture, move):
    twin = picture.with_name("b.jpg")
    twin.hardlink_to(picture)
    targets, failures = file(
        Filer(tmp_path / "to", CLASSES, move=move), prediction(picture), prediction(twin)
    )
    assert failures == []
    assert [one.read_bytes() for one in targets] == [b"picture"] * 2
    assert picture.exists() is twin.exists() is not move


@pytest.mark.parametrize("move", [False, True])
def test_a_symbolic_link_leaves_the_picture_it_shows(tmp_path, picture, move):
    link = tmp_path / "link.jpg"
    link.symlink_to(picture)
    (target,), _ = file(Filer(tmp_path / "to", CLASSES, move=move), prediction(link))
    assert target.read_bytes() == picture.read_bytes()
    assert not target.is_symlink()
    assert link.is_symlink() is not move


def test_a_link_and_its_picture_are_moved_together(tmp_path, picture):
    link = picture.with_name("b.jpg")
    link.symlink_to("a.jpg")
    filer = Filer(tmp_path / "to", CLASSES, move=True)
    targets, failures = file(filer, prediction(picture), prediction(link))
    assert failures == []
    assert [one.read_bytes() for one in targets] == [b"picture"] * 2
    assert os.listdir(picture.parent) == []


def test_a_picture_in_its_place_stays_there(tmp_path):
    path = tmp_path / "to" / "night" / "a.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"picture")
    path.with_name("b.jpg").hardlink_to(path)
    for move in (False, True):
        (target,), failures = file(Filer(tmp_path / "to", CLASSES, move=move), prediction(path))
        assert (target, failures) == (path, [])
        assert sorted(os.listdir(path.parent)) == ["a.jpg", "b.jpg"]


def test_names_as_long_as_they_can_be(tmp_path):
    """A number needs room, and so does the temporary name."""
    names = ["ä" * 125 + "x.jpg", "a" * 251 + ".jpg"]
    paths = []
    for number in range(3):
        for name in names:
            path = tmp_path / str(number) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"%d" % number)
            paths.append(path)
    targets, failures = file(Filer(tmp_path / "to", CLASSES), *map(prediction, paths))
    assert failures == []
    assert len(os.listdir(tmp_path / "to" / "night")) == 6
    assert [one.read_bytes() for one in targets] == [b"0", b"0", b"1", b"1", b"2", b"2"]
    assert all(one.suffix == ".jpg" for one in targets)


def test_a_dry_run_does_nothing_and_promises_each_place_once(tmp_path, picture):
    filer = Filer(tmp_path / "to", CLASSES, move=True, dry_run=True)
    places = [filer.promise(prediction(picture))[1].target for _ in range(3)]
    assert [os.path.basename(place) for place in places] == ["a.jpg", "a-2.jpg", "a-3.jpg"]
    assert not (tmp_path / "to").exists()
    assert picture.exists()


def test_errors_stay_where_they_are(tmp_path, picture):
    filer = Filer(tmp_path / "to", CLASSES, move=True)
    broken = Prediction(str(picture), "", None, error="broken")
    assert filer.promise(broken) == (broken, None)
    assert picture.exists()


LABELS = ("../../out", "..", "a/b", "a_b", "A_B", "", "\x1b[2J", "\u202egpj", "x" * 300, "unsure")


def test_labels_lead_nowhere_else_and_have_folders_of_their_own(tmp_path, picture):
    filer = Filer(tmp_path / "to", LABELS)
    targets, failures = file(
        filer, *(prediction(picture, label or "") for label in LABELS if label)
    )
    assert failures == []
    assert {one.parent.parent for one in targets} == {tmp_path / "to"}
    assert len({one.parent.name.casefold() for one in targets}) == len(LABELS) - 1
    assert all(one.parent.name.isprintable() for one in targets)
    assert file(filer, prediction(picture, UNSURE))[0][0].parent.name == "unsure"


@pytest.mark.parametrize("move", [False, True])
def test_a_picture_that_vanishes_or_changes_has_an_error_for_a_row(tmp_path, picture, move):
    read = prediction(picture)
    filer = Filer(tmp_path / "to", CLASSES, move=move)
    picture.write_bytes(b"another")
    found, promise = filer.promise(read)
    assert promise is None
    assert "changed after it was read" in found.error
    assert found.label == ""
    picture.unlink()
    found, promise = filer.promise(read)
    assert promise is None
    assert "No such file" in found.error
    assert filer.promise(prediction(tmp_path / "gone.jpg"))[1] is None


@pytest.mark.parametrize("move", [False, True])
def test_a_picture_that_vanishes_or_changes_after_its_row_is_told(tmp_path, picture, move, links):
    filer = Filer(tmp_path / "to", CLASSES, move=move)
    _, promise = filer.promise(prediction(picture))
    picture.write_bytes(b"another picture")
    ((_, reason),) = filer.place([promise])
    assert "changed" in reason
    assert picture.read_bytes() == b"another picture"
    picture.unlink()
    ((_, reason),) = filer.place([promise])
    assert "neither there nor at" in reason
    assert not os.path.lexists(promise.target)


def test_a_picture_that_grows_while_it_is_copied(tmp_path, picture, monkeypatch):
    filer = Filer(tmp_path / "to", CLASSES)
    _, promise = filer.promise(prediction(picture))
    real = open

    def open_and_grow(path, mode, **settings):
        if mode == "xb":
            with real(picture, "ab") as stream:
                stream.write(b", and more")
        return real(path, mode, **settings)

    monkeypatch.setattr("builtins.open", open_and_grow)
    ((_, reason),) = filer.place([promise])
    assert "changed" in reason
    assert os.listdir(tmp_path / "to" / "night") == []


# ---------------------------------------------------------------------------------- going on


def stopped(monkeypatch, name, number, after):
    """Have the n-th call of a function of `os` stop everything, before or after it is done."""

    class Stopped(BaseException):
        pass

    real, calls = getattr(os, name), []

    def call(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == number and not after:
            raise Stopped
        found = real(*arguments, **settings)
        if len(calls) == number:
            raise Stopped
        return found

    monkeypatch.setattr(os, name, call)
    return Stopped


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("name", ["link", "fsync", "unlink", "open", "stat"])
@pytest.mark.parametrize("after", [False, True])
def test_wherever_it_stops_it_goes_on(tmp_path, picture, move, name, after, monkeypatch, links):
    others = [picture.with_name(one) for one in ("b.jpg", "c.jpg")]
    for one in others:
        shutil.copy2(picture, one)
        one.write_bytes(one.name.encode() * 7)
    paths = [picture, *others]
    contents = [one.read_bytes() for one in paths]
    for number in range(1, 12):
        filer = Filer(tmp_path / "to", CLASSES, move=move, run="x")
        promises = [filer.promise(prediction(one))[1] for one in paths]
        with monkeypatch.context() as patch:
            error = stopped(patch, name, number, after)
            with contextlib.suppress(error):
                assert filer.place(promises) == []
        for one, promise, content in zip(paths, promises, contents, strict=True):
            places = [place for place in (one, Path(promise.target)) if place.exists()]
            assert places
            assert all(place.read_bytes() == content for place in places)
        again = Filer(tmp_path / "to", CLASSES, move=move, run="x")
        assert again.go_on(promises) == []
        assert again.go_on(promises) == []
        assert sorted(os.listdir(tmp_path / "to" / "night")) == ["a.jpg", "b.jpg", "c.jpg"]
        for one, promise, content in zip(paths, promises, contents, strict=True):
            assert Path(promise.target).read_bytes() == content
            assert one.exists() is not move
            if move:
                shutil.copy2(promise.target, one)
        shutil.rmtree(tmp_path / "to")


def test_another_picture_under_the_name_of_one_that_was_moved(tmp_path, picture):
    """Its row is the other one's: a camera begins anew with the same names."""
    filer = Filer(tmp_path / "to", CLASSES, move=True, run="x")
    _, promise = filer.promise(prediction(picture))
    assert filer.place([promise]) == []
    os.unlink(promise.target)  # carried off
    picture.write_bytes(b"a new one")
    ((_, reason),) = Filer(tmp_path / "to", CLASSES, move=True, run="x").go_on([promise])
    assert "changed after it was read" in reason
    assert picture.read_bytes() == b"a new one"


@pytest.mark.parametrize(
    "target", ["../a.jpg", "a.jpg", "night/../../a.jpg", "dusk/a.jpg", "/a.jpg", "night/.."]
)
def test_a_forged_row_leads_nowhere_else(tmp_path, picture, target):
    promise = Promise(str(picture), os.path.join(tmp_path / "to", target), Stamp(7, 10**18))
    ((_, reason),) = Filer(tmp_path / "to", CLASSES, move=True, run="x").go_on([promise])
    assert "is no place in" in reason
    assert picture.exists()
    assert list((tmp_path / "to").iterdir()) == []


def test_a_promised_place_is_nobody_elses(tmp_path, picture):
    filer = Filer(tmp_path / "to", CLASSES, run="x")
    _, promise = filer.promise(prediction(picture))
    picture.unlink()
    again = Filer(tmp_path / "to", CLASSES, run="x")
    assert len(again.go_on([promise])) == 1
    picture.write_bytes(b"another")
    assert again.promise(prediction(picture))[1].target.endswith("a-2.jpg")


def test_where_case_does_not_count_two_names_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.setattr("backlit.photos.filing._folds_case", lambda folder: True)
    filer = Filer(tmp_path / "to", CLASSES)
    names = []
    for name in ("a.jpg", "A.JPG"):
        (tmp_path / name).write_bytes(b"x")
        names.append(os.path.basename(filer.promise(prediction(tmp_path / name))[1].target))
    assert names == ["a.jpg", "A-2.JPG"]


# ---------------------------------------------------------------------------------- full disks


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("call", ["open", "fsync", "link"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_stops_it_with_nothing_torn(tmp_path, move, call, code, monkeypatch):
    pretend_links(errno.EXDEV, monkeypatch)
    paths = []
    for number in range(3):
        paths.append(tmp_path / "from" / f"{number}.jpg")
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_bytes(b"%d" % number * 100)
    night = tmp_path / "to" / "night"
    night.mkdir(parents=True)
    filer = Filer(tmp_path / "to", CLASSES, move=move)
    promises = [filer.promise(prediction(one))[1] for one in paths]
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open" if call == "open" else f"os.{call}", refusing(code))
        patch.setattr(os, "rename", refusing(code))  # in place of a link that fails
        with pytest.raises(PhotoError, match="nothing more can be") as caught:
            filer.place(promises)
    assert os.strerror(code) in str(caught.value)
    assert [one.read_bytes() for one in paths] == [b"%d" % number * 100 for number in range(3)]
    assert os.listdir(night) == []
    assert Filer(tmp_path / "to", CLASSES, move=move).go_on(promises) == []
    assert len(os.listdir(night)) == 3


def test_a_file_in_the_place_of_the_folder(tmp_path, picture):
    (tmp_path / "to").write_bytes(b"")
    with pytest.raises(PhotoError, match="is a file"):
        Filer(tmp_path / "to", CLASSES)
    (tmp_path / "to").unlink()
    filer = Filer(tmp_path / "to", CLASSES)
    (tmp_path / "to" / "night").write_bytes(b"")
    with pytest.raises(PhotoError, match="is a file"):
        file(filer, prediction(picture))
    assert picture.exists()


def test_what_an_earlier_run_copied_is_not_copied_again(tmp_path, picture):
    other = tmp_path / "other" / "a.jpg"
    other.parent.mkdir()
    other.write_bytes(b"another one")
    folder = tmp_path / "to"
    first, _ = file(Filer(folder, CLASSES), prediction(picture), prediction(other))
    filer = Filer(folder, CLASSES)
    again, failures = file(filer, prediction(other), prediction(picture))
    assert (again, failures, filer.filed) == (first[::-1], [], 0)
    assert len(list((folder / "night").iterdir())) == 2
    twin = tmp_path / "twin" / "a.jpg"
    twin.parent.mkdir()
    twin.write_bytes(b"picture")  # of the same name and content: it has a file of its own
    both, _ = file(Filer(folder, CLASSES), prediction(picture), prediction(twin))
    assert both[0] == first[0]
    assert both[1] not in first
