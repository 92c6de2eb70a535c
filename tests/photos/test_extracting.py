import subprocess
import sys

import numpy as np
import pytest

from backlit.photos import extracting
from backlit.photos.extracting import Extractor
from backlit.photos.features import SIDE, extract_features
from photos.compiled.rounding import assert_same_but_for_rounding


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)


def test_a_few_pictures_load_no_numba():
    program = (
        "import sys, numpy as np; from backlit.photos.extracting import Extractor\n"
        "Extractor()(np.zeros((1, 64, 64, 3), np.uint8))\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_both_compute_the_same_but_for_rounding(pictures):
    plain, quick = Extractor(), Extractor(compiled=True)
    assert (plain.compiled, quick.compiled) == (False, True)
    expected = extract_features(pictures)
    np.testing.assert_array_equal(plain(pictures), expected)
    found = quick(pictures)
    assert (found != expected).any()  # they are other code's numbers
    assert_same_but_for_rounding(pictures, found, expected)


def test_what_is_not_cached_is_compiled_in_another_process(monkeypatch):
    """The process is there for its side effect, a cache file; a quick one stands in for it."""
    from backlit.photos.compiled import kernel

    told, began = [], []
    monkeypatch.setattr(kernel, "is_cached", lambda: False)
    popen = subprocess.Popen

    def quick(command, **settings):
        assert told == ["compiles"]
        began.append(command)
        return popen([sys.executable, "-c", "pass"], **settings)

    monkeypatch.setattr(subprocess, "Popen", quick)
    assert Extractor(True, lambda: told.append("compiles")).compiled
    assert "backlit.photos.compiled.kernel" in began[0][2]


def test_ctrl_c_ends_the_compiler(monkeypatch):
    from backlit.photos.compiled import kernel

    monkeypatch.setattr(kernel, "is_cached", lambda: False)
    popen = subprocess.Popen
    processes = []

    class Interrupted(popen):
        def wait(self, timeout=None):
            if not processes:
                processes.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    def slow(command, **settings):
        return Interrupted([sys.executable, "-c", "import time; time.sleep(600)"], **settings)

    monkeypatch.setattr(subprocess, "Popen", slow)
    with pytest.raises(KeyboardInterrupt):
        Extractor(True)
    assert processes[0].wait(60) != 0


@pytest.mark.parametrize("failure", [ImportError("no Numba"), OSError("no room")])
def test_whatever_fails_numpy_does_it(monkeypatch, pictures, failure):
    from backlit.photos.compiled import kernel

    def fail():
        raise failure

    monkeypatch.setattr(kernel, "load", fail)
    extract = Extractor(True)
    assert not extract.compiled
    np.testing.assert_array_equal(extract(pictures), extract_features(pictures))


def test_the_second_process_can_run_its_program(monkeypatch, tmp_path):
    """It compiles for real, into a cache of its own."""
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    assert extracting.compile_elsewhere()
    assert len(list(tmp_path.rglob("*.nbc"))) == 1
