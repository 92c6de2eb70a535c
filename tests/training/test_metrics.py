"""Metrics as sums that merge: against scikit-learn's, and where sums of squares would cancel."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score

from backlit.training import fit
from backlit.training.metrics import Accuracy, RSquared, merged, score_of
from backlit.training.stopping import (
    PATIENCE,
    REDUCED,
    STANDSTILL,
    Patience,
    ScikitLearnStopping,
    Scores,
    StoppingState,
)

#: rounding of a mean of 3,000 squares: 3000 eps, and some for the two roundings of each
ROUNDING = 3002 * np.finfo(float).eps


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_r_squared_in_parts_is_that_of_the_whole(offset, weighted):
    """Targets far from zero: their squares have no digit left for the spread of 1."""
    rng = np.random.default_rng(0)
    y = offset + rng.normal(size=(3000, 2))
    predicted = y + rng.normal(scale=0.3, size=y.shape)
    weights = rng.uniform(0.1, 2, len(y)) if weighted else None
    expected = r2_score(y, predicted, sample_weight=weights)
    assert 0.85 < expected < 0.95
    edges = [0, 1, 7, 1200, 1200, 2999, 3000]
    parts = [
        RSquared.of(y[a:b], predicted[a:b], None if weights is None else weights[a:b])
        for a, b in pairwise(edges)
    ]
    # the means of the parts are off by eps times the offset, their squares by that squared
    allowed = ROUNDING + (offset * np.finfo(float).eps) ** 2 + offset * np.finfo(float).eps
    for found in (merged(parts), RSquared.of(y, predicted, weights)):
        assert found.value == pytest.approx(expected, abs=allowed)


def test_accuracy_in_parts():
    rng = np.random.default_rng(0)
    a, b, w = rng.integers(0, 3, 500), rng.integers(0, 3, 500), rng.uniform(0, 2, 500)
    parts = [
        Accuracy.of(a[s] == b[s], w[s]) for s in (slice(0, 100), slice(100, 100), slice(100, 500))
    ]
    assert merged(parts).value == pytest.approx(accuracy_score(a, b, sample_weight=w), rel=1e-13)
    assert np.isnan(Accuracy.of(a[:0] == b[:0]).value)


def test_a_regression_is_scored_by_the_mean_of_its_outputs():
    """As scikit-learn's; an output of a hundred times the spread is worth no more than another."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = X @ rng.normal(size=(4, 2)) * [1.0, 100.0] + rng.normal(size=(300, 2))
    found = fit(X, y, output="identity", hidden=(5,), epochs=3, validation=(X, y), dtype="float64")
    last = fit(X, y, output="identity", hidden=(5,), epochs=3, dtype="float64").parameters
    outputs = np.maximum(X @ last["W1"].T + last["b1"].T, 0) @ last["W2"].T + last["b2"].T
    assert found.validation_scores[-1] == pytest.approx(r2_score(y, outputs), rel=1e-9)


def test_scores_of_every_kind_of_labels():
    outputs = np.array([[0.9, 0.2, 0.4], [0.1, 0.7, 0.6]])
    targets = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    classes = np.array([0, 2], np.int32)
    assert score_of("sigmoid", outputs, None, targets).value == 0.5
    assert score_of("softmax", outputs, None, targets).value == 1.0
    assert score_of("softmax", outputs, classes, None).value == 0.5
    assert score_of("sigmoid", outputs[:, :1], np.array([1, 1], np.int32), None).value == 0.5
    assert score_of("softmax", outputs, classes, None, np.array([1.0, 3.0])).value == 0.25


# ----------------------------------------------------------------------------- stopping as rules


def _through(rule, losses, state=None, scores=None):
    state, reasons = state or StoppingState(), []
    for epoch, loss in enumerate(losses):
        validation = None if scores is None else Scores(0.0, scores[epoch])
        before = state
        state, reason = rule(state, [loss], [validation])
        assert rule(before, [loss], [validation]) == (state, reason)  # a pure function
        reasons.append(reason)
    return state, reasons


def test_patience():
    state, reasons = _through(Patience(2), [3.0, 2.0, 2.5, 2.0, 1.0])
    assert reasons == [None, None, None, PATIENCE, None]
    assert (state.best_epoch, state.best_loss, state.epoch, state.waited) == (5, 1.0, 5, 0)
    # a decrease below `min_improvement` is kept, and does not count
    state, reasons = _through(Patience(2, 0.5), [3.0, 2.9, 2.8])
    assert (reasons[-1], state.best_epoch) == (PATIENCE, 3)
    # the validation loss decides where there is one
    state, _ = Patience(1)(StoppingState(), [1.0], [Scores(7.0, 0.5)])
    assert state.best_loss == 7.0


def test_scikit_learns_rule():
    rule = ScikitLearnStopping(tol=0.1, n_iter_no_change=2, by_score=False, rows=10)
    state, reasons = _through(rule, [3.0, 2.95, 2.94, 2.93])
    assert reasons == [None, None, None, STANDSTILL]
    assert (state.waited, state.best_loss, state.seen) == (3, 2.93, 40)
    adaptive = ScikitLearnStopping(0.1, 0, False, 10, adaptive=True)
    start = StoppingState(learning_rate=4e-6)
    state, reasons = _through(adaptive, [3.0, 3.0, 3.0], start)
    assert reasons == [None, REDUCED, STANDSTILL]
    assert state.learning_rate == 4e-6 / 5
    scaled = ScikitLearnStopping(0.1, 9, False, 10, first_rate=0.5, power=0.5)
    state, _ = _through(scaled, [1.0, 1.0])
    assert state.learning_rate == 0.5 / 21**0.5
    by_score = ScikitLearnStopping(0.1, 1, True, 10)
    state, reasons = _through(by_score, [1.0] * 4, scores=[0.5, 0.55, float("nan"), 0.7])
    assert reasons == [None] * 4
    assert (state.best_score, state.best_epoch) == (0.7, 4)
    private = ScikitLearnStopping(0.1, 0, False, 10, stops=False)
    assert _through(private, [1.0] * 5)[1] == [None] * 5
