import subprocess
import sys

import numpy as np
import pytest

from backlit.errors import SettingError
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


def test_that_it_compiles_is_announced(monkeypatch):
    from backlit.photos.compiled import kernel

    told = []
    for here in (True, False):
        monkeypatch.setattr(kernel, "is_here", lambda here=here: here)
        assert Extractor(True, lambda: told.append("compiles")).compiled
    assert told == ["compiles"]


@pytest.mark.parametrize("failure", [ImportError("none"), OSError("no room"), SettingError("none")])
def test_whatever_fails_numpy_does_it(monkeypatch, pictures, failure):
    from backlit.photos.compiled import kernel

    def fail():
        raise failure

    monkeypatch.setattr(kernel, "load", fail)
    extract = Extractor(True)
    assert not extract.compiled
    np.testing.assert_array_equal(extract(pictures), extract_features(pictures))
