"""Old compiled code goes, and nothing else does."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backlit.photos.compiled.program import PROGRAM as FEATURES
from backlit.training import stale_code
from backlit.training.engine.units import PROGRAM
from backlit.training.machine_code import caching, levels, loading
from backlit.training.stale_code import keep_tidy

DAY = 86_400
PRESENT = "engine-1.0.0-0123456789abcdef"
OTHER = "engine-0.9.1-fedcba9876543210"


def make(root, name, age_in_days, read_days_ago=None):
    """Lay out a folder as the engine does, last used some days ago."""
    folder = root / name
    then = time.time() - age_in_days * DAY
    read = then if read_days_ago is None else time.time() - read_days_ago * DAY
    for part in ("float32", "float64", "features-00ff00ff00ff00ff"):
        (folder / part).mkdir(parents=True)
        for file in ("steps.run-1.py311.nbi", "steps.run-1.py311.1.nbc", "x.nbc.tmp.ab12"):
            (folder / part / file).write_bytes(b"code")
    age(folder, then, read)
    return folder


def age(folder, then, read=None):
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            os.utime(path, (then if read is None else read, then))


def everything(root):
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_only_folders_out_of_use_for_a_month_are_removed(tmp_path):
    here = make(tmp_path, PRESENT, 400)
    for days in (0, 1, 29, 31, 400):
        make(tmp_path, f"engine-0.{days}.0-fedcba9876543210", days)
    kept = everything(here)
    keep_tidy(here)
    assert sorted(os.listdir(tmp_path)) == [
        "engine-0.0.0-fedcba9876543210",
        "engine-0.1.0-fedcba9876543210",
        "engine-0.29.0-fedcba9876543210",
        PRESENT,
    ]
    assert everything(here) == kept


def test_use_marks_the_folder_so_that_others_keep_it(tmp_path):
    here, other = make(tmp_path, PRESENT, 40), make(tmp_path, OTHER, 40)
    keep_tidy(here)
    assert here.stat().st_mtime > time.time() - 60
    assert not other.exists()
    other.mkdir()
    keep_tidy(other)
    assert here.exists()


def test_a_folder_that_is_marked_today_is_not_written_to(tmp_path):
    here = make(tmp_path, PRESENT, 0.5)
    before = here.stat().st_mtime_ns
    keep_tidy(here)
    assert here.stat().st_mtime_ns == before


def test_files_read_lately_keep_a_folder_that_could_not_be_marked(tmp_path):
    read = make(tmp_path, OTHER, 40, read_days_ago=3)
    # listing the folders, as a backup does, is no use
    for part in read.iterdir():
        os.utime(part, (time.time(), time.time() - 40 * DAY))
    keep_tidy(tmp_path / PRESENT)
    assert read.exists()
    age(read, time.time() - 40 * DAY)
    keep_tidy(tmp_path / PRESENT)
    assert not read.exists()


@pytest.mark.parametrize(
    "stranger",
    [
        "thesis.tex",
        "float32/thesis.tex",
        "float32/folder.nbc/thesis.tex",
        "engine/steps.nbc",
        "float16/steps.nbc",
    ],
)
def test_a_folder_with_anything_else_in_it_is_left_as_it_is(stranger, tmp_path):
    folder = make(tmp_path, OTHER, 400)
    (folder / stranger).parent.mkdir(parents=True, exist_ok=True)
    (folder / stranger).write_text("a year's work")
    age(folder, time.time() - 400 * DAY)
    before = everything(tmp_path)
    keep_tidy(tmp_path / PRESENT)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["engine-room", "engine-0.9-short", "photos", f"my-{OTHER}"])
def test_folders_of_other_names_are_left_as_they_are(name, tmp_path):
    make(tmp_path, name, 400)
    before = everything(tmp_path)
    keep_tidy(tmp_path / PRESENT)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("place", [OTHER, f"{OTHER}/float32", f"{OTHER}/float32/steps.nbc"])
def test_links_are_not_followed(place, tmp_path):
    elsewhere = make(tmp_path / "elsewhere", OTHER, 400)
    root = tmp_path / "root"
    link = root / place
    link.parent.mkdir(parents=True)
    target = {1: elsewhere, 2: elsewhere / "float32"}.get(len(Path(place).parts))
    link.symlink_to(target or elsewhere / "float32" / "x.nbc.tmp.ab12")
    age(root, time.time() - 400 * DAY)
    before = everything(tmp_path)
    keep_tidy(root / PRESENT)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_a_killed_process_left_half_removed_goes_too(after, tmp_path, monkeypatch):
    folder = make(tmp_path, OTHER, 40)
    unlink, done = os.unlink, []

    def killed(path):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(path)
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(stale_code.os, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            keep_tidy(tmp_path / PRESENT)
    assert not folder.exists()
    assert len(os.listdir(tmp_path)) == 1
    keep_tidy(tmp_path / PRESENT)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("refused", ["utime", "unlink", "rmdir", "scandir"])
def test_errors_are_ignored(refused, tmp_path, monkeypatch):
    here = make(tmp_path, PRESENT, 40)
    make(tmp_path, OTHER, 40)
    kept = everything(here)

    def refuse(*args, **kwargs):
        raise PermissionError(refused)

    with monkeypatch.context() as patch:
        patch.setattr(stale_code.os, refused, refuse)
        keep_tidy(here)
    assert everything(here) == kept


def test_no_cache_at_all_is_no_error(tmp_path):
    keep_tidy(tmp_path / "nowhere" / PRESENT)
    (tmp_path / "file").write_text("in the way")
    keep_tidy(tmp_path / "file" / PRESENT)
    assert os.listdir(tmp_path) == ["file"]


def test_many_at_once_remove_the_same_without_an_error(tmp_path):
    here = make(tmp_path, PRESENT, 0)
    for number in range(30):
        make(tmp_path, f"engine-0.{number}-fedcba9876543210", 40)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(keep_tidy, here) for _ in range(8)]:
            done.result()
    keep_tidy(here)
    assert os.listdir(tmp_path) == [PRESENT]


def test_loading_code_tidies_once_a_process(tmp_path, monkeypatch):
    here, other = make(tmp_path, PRESENT, 40), make(tmp_path, OTHER, 40)
    folder = here / "x86-64-v4-float32"
    for name in ("squared_norm", "softmax"):
        caching.write(folder, name, caching.Object(b"", 16))
    os.utime(here, (0, 0))
    monkeypatch.setattr(loading.prebuilt, "library_for", lambda program: None)
    monkeypatch.setattr(loading, "link", lambda symbol, code: 1)
    monkeypatch.setattr(caching, "folder_of", lambda *_: folder)
    tended = []
    monkeypatch.setattr(loading, "keep_tidy", lambda one: (tended.append(one), keep_tidy(one)))
    loading._tend_cache.cache_clear()
    try:
        code = loading.Code(PROGRAM, "float32")
        for name in ("squared_norm", "softmax"):
            code.require([name])
            assert not other.exists()
    finally:
        loading._tend_cache.cache_clear()
    assert tended == [here]
    assert here.stat().st_mtime > time.time() - 60
    assert code.origin == "cache"


def test_the_folders_names_are_those_that_would_be_found(tmp_path):
    for program in (PROGRAM, FEATURES):
        folder = caching.folder_of(program, levels.available()[0], "float32")
        here = tmp_path / folder.parent.name / folder.name
        caching.write(here, "one", caching.Object(b"", 16))
        for path in (*here.iterdir(), here, here.parent):
            os.utime(path, (0, 0))
    keep_tidy(tmp_path / PRESENT)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs owners and modes")
@pytest.mark.parametrize(
    ("mode", "owner", "expected"),
    [
        (0o700, None, True),
        (0o755, None, True),
        (0o775, None, False),
        (0o757, None, False),
        (0o1777, None, False),
        (0o700, 12345, False),
        (0o700, 0, True),
    ],
)
def test_only_a_folder_of_one_s_own_is_private(mode, owner, expected, tmp_path, monkeypatch):
    folder = tmp_path / "float32"
    folder.mkdir()
    folder.chmod(mode)
    if owner is not None:
        status, lstat = folder.stat(), os.lstat
        fields = [*status[:4], owner, *status[5:]]
        monkeypatch.setattr(
            stale_code.os,
            "lstat",
            lambda path: os.stat_result(fields) if path == folder else lstat(path),
        )
        monkeypatch.setattr(stale_code.os, "geteuid", lambda: 1000)
    assert stale_code.is_private(folder) == expected
    if expected:
        stale_code.make_private(folder)
    else:
        with pytest.raises(PermissionError, match="others may write there"):
            stale_code.make_private(folder)


def test_a_link_or_nothing_is_not_private_and_a_new_folder_is(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert not stale_code.is_private(tmp_path / "link")
    assert not stale_code.is_private(tmp_path / "gone")
    before = os.umask(0)  # everybody may write to what is made
    try:
        stale_code.make_private(tmp_path / "version" / "float32")
    finally:
        os.umask(before)
    assert stale_code.is_private(tmp_path / "version" / "float32")
