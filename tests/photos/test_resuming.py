import os
import time

import pytest

from backlit.errors import PhotoError, SettingError
from backlit.photos.classifier import Prediction
from backlit.photos.resuming import resume
from backlit.photos.writing import open_writer

CLASSES = ("day", "night")
ROWS = [
    Prediction("a.jpg", "day", 0.1, (0.9, 0.1)),
    Prediction('b\n"x",\udcff.jpg', "night", 0.9, (0.1, 0.9)),
    Prediction("c.jpg", "", None, error="broken, it is"),
    Prediction("d\r.jpg", "day", 0.2, (0.8, 0.2)),
]


def write(path, form, rows, append=False):
    with open_writer(form, path, CLASSES, append=append) as put:
        for row in rows:
            put(row)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_whatever_is_cut_off_the_file_ends_as_if_never_stopped(tmp_path, form):
    path = tmp_path / "whole"
    write(path, form, ROWS)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        done = resume(path, form, CLASSES)
        rest = [row for row in ROWS if row.path not in done.paths]
        write(path, form, rest, append=bool(done.paths))
        assert path.read_bytes() == whole, length
    assert resume(path, form, CLASSES).paths == {row.path for row in ROWS}
    done = resume(path, form, CLASSES)
    assert (done.failed, done.labels) == (1, {"day": 2, "night": 1})


def test_nothing_there_yet(tmp_path):
    assert resume(tmp_path / "gone", "csv").paths == frozenset()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", "a,b\n1,2\n"),
        ("jsonl", '{"a": 1}\n'),
        ("jsonl", "hello\n"),
        # without a whole row: once, these were cut off to nothing
        ("csv", "My thesis, all of it, without a line break"),
        ("csv", '"\nMy thesis in an open quote\n'),
        ("jsonl", "My thesis"),
        # these once ended in a traceback
        ("csv", "path,label,probability,error\na\n"),
        ("csv", "path,label,probability,error\n" + "x" * 200_000 + ",day,0.1,\n"),
        ("jsonl", "[" * 100_000 + "\n"),
        ("jsonl", '{"path": [1], "error": null}\n'),
        ("jsonl", '{"path": "a", "error": 3}\n'),
        ("jsonl", '{"path": "a", "error": null, "label": [1]}\n'),
        ("csv", "\x1b[2J,b\n"),
    ],
)
def test_other_files_are_left_alone(tmp_path, form, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(SettingError, match="holds no predictions") as caught:
        resume(tmp_path / "x", form)
    assert "\x1b" not in str(caught.value)
    assert (tmp_path / "x").read_text() == text


def test_a_folder_or_a_named_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(PhotoError, match="not a regular file"):
            resume(path, "csv")


def test_an_open_quote_before_many_lines_takes_no_longer(tmp_path):
    """The search for the last whole row once took a time like the square of their number."""
    header = "path,label,probability,error\n"
    (tmp_path / "x").write_text(header + '"' + "\n" * 300_000)
    began = time.process_time()
    assert resume(tmp_path / "x", "csv").paths == frozenset()
    assert time.process_time() - began < 5
    assert (tmp_path / "x").read_text() == header
