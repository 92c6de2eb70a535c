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
    """A split's scales, and the networks that were trained on it."""

    scaling: Scaling
    target_scale: TargetScale | None
    networks: list[TableNetwork] = field(default_factory=list)
