"""scikit-learn's figures, where the installed scikit-learn cannot compute them.

Before 1.7 its networks take no `sample_weight`, have no Poisson loss, and pass fewer arguments to
their own methods. The newest scikit-learn's figures are kept in `their_figures.json` as a few sums
of each array; every run with a scikit-learn that can compute them holds the file against it.

    BACKLIT_RECORD=1 python -m pytest -n 0 tests/estimators     # write the figures that are missing
"""

import inspect
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import sklearn.neural_network

FILE = Path(__file__).with_suffix(".json")
#: whether the installed scikit-learn has what its newest one has
NEW = "sample_weight" in inspect.signature(sklearn.neural_network.MLPClassifier.fit).parameters

_counts = Counter()


def key():
    """Return a name for the next figures of the running test."""
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0].rpartition("/")[2]
    _counts[test] += 1
    return f"{test} {_counts[test]}"


def _stored():
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def _vectors(size):
    draws = np.random.RandomState(size % 2**31).uniform(0.5, 1.5, (2, size))
    return draws * np.random.RandomState(1).choice([-1.0, 1.0], (2, size))


def summed(value):
    """Return a value with each array as its shape, largest element and two weighted sums."""
    if isinstance(value, dict):
        return {name: summed(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)) and not all(isinstance(one, (int, float)) for one in value):
        return [summed(one) for one in value]
    if isinstance(value, (list, tuple, np.ndarray, float, np.floating)):
        array = np.asarray(value, float)
        largest = float(np.abs(array).max(initial=0.0))
        sums = _vectors(array.size) @ array.ravel()
        return {"shape": list(array.shape), "largest": largest, "sums": sums.tolist()}
    return value.item() if isinstance(value, np.generic) else value


def assert_like(found, expected, tolerance, where=""):
    """Hold sums against each other: each element may differ by a share of the array's largest."""
    if isinstance(expected, dict) and "sums" in expected:
        assert found["shape"] == expected["shape"], where
        size = int(np.prod(expected["shape"]))
        # a sum of n terms of up to 1.5 times the largest
        allowed = 1.5 * max(size, 1) * tolerance * max(expected["largest"], 1e-3)
        np.testing.assert_allclose(
            found["sums"], expected["sums"], rtol=0, atol=allowed, err_msg=where
        )
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_like(found[name], value, tolerance, f"{where} {name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, value in enumerate(expected):
            assert_like(found[place], value, tolerance, f"{where} {place}")
    else:
        assert found == expected, where


def hold(ours, theirs, tolerance):
    """Hold our figures against stored ones where `theirs` is None, else the stored ones against it.

    Parameters
    ----------
    ours, theirs : dict
        Figures by name: numbers, texts, arrays and lists of them.
    tolerance : float
        How far elements may differ, as a share of their array's largest.
    """
    name, stored = key(), _stored()
    if theirs is None:
        assert name in stored, f"no stored figures for {name}"
        assert_like(summed(ours), stored[name], tolerance)
    elif name in stored:
        assert_like(summed(theirs), stored[name], max(tolerance, 1e-7))
    elif os.environ.get("BACKLIT_RECORD"):
        stored[name] = summed(theirs)
        lines = (f"{json.dumps(one)}: {json.dumps(stored[one])}" for one in sorted(stored))
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
