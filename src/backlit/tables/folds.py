"""What belongs to the networks of one split: the scales of its training rows."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backlit.tables.encoding import Scaling
from backlit.tables.training import TableNetwork


@dataclass
class TargetScale:
    """Mean and spread of the targets, and the range to which predictions are clamped.

    Attributes
    ----------
    mean, spread, lowest, highest : float64 array, shape (n_outputs, 1)
        Of the training rows.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]

    @classmethod
    def of(cls, targets: NDArray[np.float64], weights: NDArray[np.float64] | None) -> Self:
        """Fit it to training rows, (n_outputs, m)."""
        mean = np.average(targets, axis=1, weights=weights)[:, None]
        squares = np.average((targets - mean) ** 2, axis=1, weights=weights)
        lowest, highest = targets.min(axis=1, keepdims=True), targets.max(axis=1, keepdims=True)
        return cls(mean, np.sqrt(squares)[:, None], lowest, highest)

    def standardised(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return targets of mean 0 and variance 1; constant ones become 0."""
        spread = np.where(self.spread > 0, self.spread, 1.0)
        return (targets - self.mean) / spread

    def restored(self, outputs: NDArray[Any], clamped: bool) -> NDArray[np.float64]:
        """Return predictions in the targets' own scale."""
        found = outputs.astype(np.float64) * self.spread + self.mean
        return np.clip(found, self.lowest, self.highest) if clamped else found


@dataclass
class Fold:
    """A split's scales, and the networks that were trained on it.

    Attributes
    ----------
    scaling : Scaling
        Of the inputs.
    target_scale : TargetScale or None
        Of the targets, where numbers are predicted.
    networks : list of TableNetwork
        Its members.
    residuals : float64 array, shape (n_outputs, n_held), or None
        How far off they are for the rows that they were not trained on, where there are folds.
    """

    scaling: Scaling
    target_scale: TargetScale | None
    networks: list[TableNetwork] = field(default_factory=list)
    residuals: NDArray[np.float64] | None = None


#: rows whose intervals are computed at a time
_ROWS = 256


def cross_conformal(
    predictions: list[NDArray[np.float64]],
    residuals: list[NDArray[np.float64]],
    coverage: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of intervals by CV+ (Barber, Candès, Ramdas and Tibshirani 2021).

    With ``R_i`` the residual of training row i under the networks of its fold, and ``p_k`` what
    those of fold k predict, the lower end is the ``floor((1 - c) (n + 1))``-th smallest of
    ``p_{k(i)} - R_i`` over all i, the upper one the ``ceil(c (n + 1))``-th of ``p_{k(i)} + R_i``.

    Parameters
    ----------
    predictions : list of array, shape (m,)
        What each fold's networks predict.
    residuals : list of array, shape (n_k,)
        Absolute residuals of each fold's rows.
    coverage : float
        c, in (0, 1).

    Returns
    -------
    lower, upper : array, shape (m,)
        Infinite where there are too few rows for the coverage.
    """
    sizes = [len(r) for r in residuals]
    every, n, m = np.concatenate(residuals), sum(sizes), len(predictions[0])
    below = int(np.floor((1 - coverage) * (n + 1)))
    above = int(np.ceil(coverage * (n + 1)))
    lower, upper = np.full(m, -np.inf), np.full(m, np.inf)
    for begin in range(0, m, _ROWS):
        some = slice(begin, begin + _ROWS)
        found = np.repeat(np.array([one[some] for one in predictions]), sizes, axis=0)
        if below >= 1:
            lower[some] = np.partition(found - every[:, None], below - 1, axis=0)[below - 1]
        if above <= n:
            upper[some] = np.partition(found + every[:, None], above - 1, axis=0)[above - 1]
    return lower, upper
