import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from backlit.photos import extracting
from backlit.photos.extracting import Extractor
from backlit.photos.features import SIDE, extract_features


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_a_few_pictures_go_without_and_load_no_numba():
    program = (
        "import sys, numpy as np; from backlit.photos.extracting import Extractor\n"
        "extract = Extractor(); chunks = [[0] * 16 for _ in range(62)] + [[0] * 8]\n"
        "assert list(extract.counting(chunks)) == chunks\n"
        "extract(np.zeros((1, 64, 64, 3), np.uint8))\n"
        "assert 'numba' not in sys.modules and not extract.compiled and extract._thread is None"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_look_ahead_that_finds_many_fetches_at_once(pictures, monkeypatch):
    monkeypatch.setattr(extracting, "MANY", 50)
    looked = []

    def ahead():
        for k in range(1000):
            looked.append(k)
            yield k

    extract = Extractor(ahead=ahead())
    chunks = extract.counting(iter([[1], [2]]))
    assert next(chunks) == [1]
    until(lambda: extract.compiled)
    assert len(looked) == 50
    np.testing.assert_allclose(extract(pictures), extract_features(pictures), rtol=1e-3, atol=1e-5)
    assert list(chunks) == [[2]]


@pytest.mark.parametrize("cached", [True, False])
def test_fewer_will_do_where_they_are_cached(monkeypatch, cached):
    from backlit.photos.compiled import kernel

    monkeypatch.setattr(extracting, "SOME", 20)
    monkeypatch.setattr(kernel, "is_cached", lambda: cached)
    extract = Extractor(ahead=iter(range(1999)))
    before = set(threading.enumerate())
    chunks = extract.counting(iter([[1], [2]]))
    assert next(chunks) == [1]
    if cached:
        until(lambda: extract.compiled)
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert extract.compiled == cached
    chunks.close()


def failing():
    yield 1
    raise OSError("gone")


@pytest.mark.parametrize("ahead", [lambda: iter(range(49)), failing])
def test_a_look_ahead_that_finds_few_or_fails_fetches_nothing(monkeypatch, ahead):
    monkeypatch.setattr(extracting, "MANY", 50)
    extract = Extractor(ahead=ahead())
    before = set(threading.enumerate())
    chunks = extract.counting(iter([[1], [2]]))
    assert next(chunks) == [1]
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert extract._thread is None
    assert list(chunks) == [[2]]
    assert not extract.compiled


def test_more_of_them_fetch_the_compiled_features(pictures):
    extract = Extractor(begin=4)
    chunks = extract.counting(iter([[1] * 5, [2] * 5, [3]]))
    assert next(chunks) == [1] * 5
    until(lambda: extract.compiled)
    expected = extract_features(pictures)
    found = extract(pictures)
    assert (found != expected).any()  # they are other code's numbers
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert list(chunks) == [[2] * 5, [3]]


def test_what_is_not_cached_is_compiled_in_another_process(monkeypatch, tmp_path, pictures):
    """The process is there for its side effect, a cache file; a quick one stands in for it."""
    from backlit.photos.compiled import kernel

    told, began = [], []
    monkeypatch.setattr(kernel, "is_cached", lambda: False)
    popen = subprocess.Popen

    def quick(command, **settings):
        began.append(command)
        return popen([sys.executable, "-c", "pass"], **settings)

    monkeypatch.setattr(subprocess, "Popen", quick)
    extract = Extractor(lambda: told.append(threading.current_thread().name), begin=0)
    chunks = extract.counting(iter([[1], [2]]))
    next(chunks)
    until(lambda: extract.compiled)
    assert told == ["backlit-compiling"]
    assert "backlit.photos.compiled.kernel" in began[0][2]
    chunks.close()


def test_a_run_that_ends_does_not_wait_for_the_compiler(monkeypatch):
    from backlit.photos.compiled import kernel

    monkeypatch.setattr(kernel, "is_cached", lambda: False)
    popen = subprocess.Popen
    processes = []

    def slow(command, **settings):
        processes.append(popen([sys.executable, "-c", "import time; time.sleep(600)"], **settings))
        return processes[0]

    monkeypatch.setattr(subprocess, "Popen", slow)
    extract = Extractor(begin=0)
    chunks = extract.counting(iter([[1], [2]]))
    next(chunks)
    until(lambda: processes)
    began = time.monotonic()
    chunks.close()
    extract._thread.join()
    assert time.monotonic() - began < 10
    assert processes[0].returncode != 0
    assert not extract.compiled


@pytest.mark.parametrize("failure", [ImportError("no Numba"), OSError("no room")])
def test_whatever_fails_numpy_goes_on(monkeypatch, pictures, failure):
    from backlit.photos.compiled import kernel

    def fail():
        raise failure

    monkeypatch.setattr(kernel, "load", fail)
    extract = Extractor(begin=0)
    list(extract.counting([[1]]))
    extract._thread.join()
    assert not extract.compiled
    np.testing.assert_array_equal(extract(pictures), extract_features(pictures))


def test_the_second_process_can_run_its_program(monkeypatch, tmp_path):
    """It compiles for real, into a cache of its own."""
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    assert extracting.Extractor()._compile_elsewhere()
    assert len(list(tmp_path.rglob("*.nbc"))) == 1


def test_one_that_is_settled_does_not_change_on_the_way(pictures, monkeypatch):
    plain, quick = Extractor.settled(False), Extractor.settled(True)
    assert (plain.compiled, quick.compiled) == (False, True)
    for extract in (plain, quick):
        before = extract(pictures)
        assert len(list(extract.counting([[0] * 600] * 4))) == 4
        np.testing.assert_array_equal(extract(pictures), before)
    np.testing.assert_array_equal(plain(pictures), extract_features(pictures))
    assert (quick(pictures) != plain(pictures)).any()

    def broken():
        raise OSError("no place to write")

    monkeypatch.setattr("backlit.photos.compiled.kernel.load", broken)
    assert not Extractor.settled(True).compiled
