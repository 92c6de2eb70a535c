import numpy as np
import pytest

from backlit.errors import ShapeError
from backlit.photos.evaluation import evaluate_labels, wilson_interval


def test_figures():
    found = evaluate_labels([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 1], ("a", "b", "c"))
    assert found.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert (found.n, found.n_right) == (6, 3)
    assert found.accuracy == 0.5
    a, b, c = found.per_class
    assert (a.n, a.precision, a.recall, a.f1) == (3, 2 / 3, 2 / 3, 2 / 3)
    assert (b.precision, b.recall) == (1 / 3, 1 / 2)
    assert (c.precision, c.recall, c.f1) == (None, 0.0, 0.0)


def test_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    y, guess = generator.integers(0, 4, (2, 300))
    found = evaluate_labels(y, guess, tuple("abcd"))
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(y, guess))
    precision, recall, f1, n = metrics.precision_recall_fscore_support(y, guess)
    for k, row in enumerate(found.per_class):
        assert (row.precision, row.recall, row.n) == pytest.approx((precision[k], recall[k], n[k]))
        assert row.f1 == pytest.approx(f1[k])


def test_interval():
    # The ends are the shares p that lie 1.96 of their own standard errors from the one seen.
    for p in wilson_interval(157, 160):
        assert abs(157 / 160 - p) == pytest.approx(1.959964 * (p * (1 - p) / 160) ** 0.5, rel=1e-6)
    low, high = wilson_interval(10, 10)
    assert high == pytest.approx(1.0, abs=1e-12)
    assert low == pytest.approx(1 / (1 + 1.959964**2 / 10), rel=1e-6)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_nothing_to_judge():
    found = evaluate_labels([], [], ("a", "b"))
    assert np.isnan(found.accuracy)


def test_lengths_must_agree():
    with pytest.raises(ShapeError, match="one label and one prediction"):
        evaluate_labels([0, 1], [0], ("a", "b"))
