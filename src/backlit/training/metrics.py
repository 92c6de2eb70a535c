"""Accuracy and R^2 as sums that can be merged: the same definition for one machine and for many.

A metric of some examples is a few numbers; `merged` joins those of several parts, and `value` is
the score of all of them. R^2 is the mean over the outputs, as `sklearn.metrics.r2_score` defines
it. Its squares are taken around each part's own mean and joined by the formula of Chan, Golub and
LeVeque (1979), so that nothing cancels where the targets lie far from zero::

    S = S_1 + S_2 + (mean_2 - mean_1)^2 w_1 w_2 / (w_1 + w_2)

What changes from epoch to epoch is added in halves (`added`): rounding grows with the logarithm of
the length, and compiled code comes to the same bits by adding in the same order.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64] | None


def added(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of some rows: the second half is added to the first until one is left.

    Parameters
    ----------
    values : float64 array, shape (m, ...)
        The rows.

    Returns
    -------
    array, shape (...)
        Their sum; zeros where there are no rows.
    """
    m = len(values)
    if m == 0:
        return np.zeros(values.shape[1:])
    values = values.copy()
    while m > 1:
        half = (m + 1) // 2  # the middle row of an odd number waits for the next turn
        values[: m - half] += values[half:m]
        m = half
    total: NDArray[np.float64] = values[0]
    return total


class Accuracy(NamedTuple):
    """The weight of some examples, and that of those that are right."""

    weight: float
    right: float

    @classmethod
    def of(cls, right: NDArray[np.bool_], weights: Weights = None) -> Self:
        """Return it for examples of which these are right."""
        if weights is None:
            return cls(float(len(right)), float(np.count_nonzero(right)))
        return cls(float(weights.sum()), float((right * weights).sum()))

    def merged(self, other: Self) -> Self:
        """Return it for these examples and others."""
        return type(self)(self.weight + other.weight, self.right + other.right)

    @property
    def value(self) -> float:
        """The share that is right; NaN without weight."""
        return self.right / self.weight if self.weight else math.nan


class RSquared(NamedTuple):
    """Weight, mean of the targets, squares around it, squares that are left, for each output."""

    weight: float
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    left: NDArray[np.float64]

    @classmethod
    def of(cls, y: NDArray[Any], predicted: NDArray[Any], weights: Weights = None) -> Self:
        """Return it for targets and predictions, both of shape (m, n_L)."""
        y, predicted = y.astype(np.float64), predicted.astype(np.float64)
        w = np.ones((len(y), 1)) if weights is None else weights.reshape(-1, 1)
        total = float(w.sum())
        mean = (w * y).sum(axis=0) / (total or 1.0)
        with np.errstate(over="ignore", invalid="ignore"):  # before a divergence
            left = added(w * (y - predicted) ** 2)
        return cls(total, mean, (w * (y - mean) ** 2).sum(axis=0), left)

    def merged(self, other: Self) -> Self:
        """Return it for these examples and others."""
        both = self.weight + other.weight
        if both == 0:
            return self
        apart, share = other.mean - self.mean, other.weight / both
        return type(self)(
            both,
            self.mean + apart * share,
            self.spread + other.spread + apart**2 * (self.weight * share),
            self.left + other.left,
        )

    @property
    def value(self) -> float:
        """R^2. An output whose targets are all the same has 1 if they are met, else 0."""
        if self.weight == 0:
            return math.nan
        scores = np.where(self.left == 0, 1.0, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            np.divide(self.spread - self.left, self.spread, out=scores, where=self.spread != 0)
        return float(added(scores) / len(scores))


Metric = Accuracy | RSquared


def merged(parts: Sequence[Any]) -> Any:
    """Join metrics of one kind, one after the other."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merged(part)
    return whole


def score_of(
    output: str,
    outputs: NDArray[Any],
    classes: NDArray[np.int32] | None,
    targets: NDArray[Any] | None,
    weights: Weights = None,
) -> Metric:
    """Return R^2 for a regression, else the accuracy.

    Parameters
    ----------
    output : str
        The output activation: "identity" and "exp" are regressions.
    outputs : array, shape (m, n_L)
        What the network says.
    classes : int32 array, shape (m,), or None
        Whole classes.
    targets : array, shape (m, n_L), or None
        Targets, where there are no classes. A row of several yes-or-no answers is right if all of
        them are; a row of shares if its largest one is met.
    weights : float64 array, shape (m,), or None
        Weights of the examples.
    """
    if output in ("identity", "exp"):
        assert targets is not None
        return RSquared.of(targets, outputs, weights)
    if output == "softmax":
        expected = classes if targets is None else targets.argmax(axis=1)
        right = outputs.argmax(axis=1) == expected
    elif classes is not None:
        right = (outputs[:, 0] > 0.5) == (classes > 0.5)
    else:
        assert targets is not None
        right = ((outputs > 0.5) == (targets > 0.5)).all(axis=1)
    return Accuracy.of(right, weights)
