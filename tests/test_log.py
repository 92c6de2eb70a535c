"""Where something fails and something else goes on, the log says what and why."""

import logging
import os
import subprocess
import sys

import pytest

from backlit import _log, _second_process
from backlit._second_process import SecondProcess
from backlit.photos import extracting, quick_jpegs, reading
from sample_pictures import save_day_night


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG, logger="backlit")
    return caplog


def run(statement, **environment):
    return subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, check=True, timeout=120,
        env={key: one for key, one in os.environ.items() if key != "BACKLIT_DEBUG"} | environment,
    ).stderr  # fmt: skip


def test_it_is_shown_where_it_is_asked_for():
    one = "from backlit._log import logger; logger('backlit.x').warning('tried %s', '\\x1b[2J')"
    assert run(one) == ""
    assert run(one, BACKLIT_DEBUG="0") == ""
    assert run(one, BACKLIT_DEBUG="1") == "backlit.x: tried \\x1b[2J\n"
    assert "WARNING:backlit.x:tried" in run(f"import logging; logging.basicConfig(); {one}")


def test_a_module_has_the_logger_of_its_name():
    assert _log.logger("backlit.photos.reading") is logging.getLogger("backlit.photos.reading")


def test_what_a_second_process_said_is_kept(log):
    assert SecondProcess("pass").wait()
    assert not log.records
    assert not SecondProcess("raise ValueError('no such compiler')").wait()
    (record,) = log.records
    assert "exit code 1" in record.getMessage()
    assert "ValueError: no such compiler" in record.getMessage()


def test_of_very_much_that_it_said_the_end_is_kept(log):
    # more than a pipe holds: it must not wait for somebody to read it
    said = "sys.stderr.write('x' * 1_000_000 + 'the end'); sys.exit(3)"
    assert not SecondProcess(said).wait()
    (record,) = log.records
    assert record.getMessage().endswith("xthe end")
    assert len(record.getMessage()) < _second_process._MOST_SAID + 200


def test_a_frozen_program_has_no_second_process(monkeypatch, log):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(OSError, match="no interpreter"):
        SecondProcess("pass")


def test_features_that_cannot_be_compiled(monkeypatch, log):
    from backlit.photos.compiled import kernel

    def fail():
        raise OSError("no room in the cache")

    monkeypatch.setattr(kernel, "is_here", lambda: True)
    monkeypatch.setattr(kernel, "load", fail)
    assert not extracting.Extractor(True).compiled
    (record,) = log.records
    assert record.name == "backlit.photos.extracting"
    assert "no room in the cache" in record.getMessage()
    assert record.exc_info


def test_a_fault_of_our_own_is_not_taken_for_a_missing_compiler(monkeypatch):
    from backlit.photos.compiled import kernel

    monkeypatch.setattr(kernel, "is_here", lambda: True)
    monkeypatch.setattr(kernel, "load", lambda: [].append(1, 2))
    with pytest.raises(TypeError):
        extracting.Extractor(True)


def test_a_picture_that_the_quick_reader_refuses(monkeypatch, log, tmp_path):
    simplejpeg = pytest.importorskip("simplejpeg")

    def refuse(*_, **__):
        raise ValueError("Premature end of JPEG file")

    picture = next(save_day_night(tmp_path, 1).rglob("*.jpg"))
    expected = reading.read_photo(str(picture), 64)
    assert not log.records
    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    assert (reading.read_photo(str(picture), 64) == expected).all()
    (record,) = log.records
    assert (record.name, record.levelname) == ("backlit.photos.quick_jpegs", "INFO")
    assert "Premature end" in record.getMessage()


def test_an_exif_block_that_is_none(log):
    assert quick_jpegs._orientation(b"Exif\0\0no TIFF header") == 0
    assert "EXIF block is broken" in log.text
