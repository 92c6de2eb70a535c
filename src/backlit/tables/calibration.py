"""Temperature scaling: one number that makes probabilities say how often they are right.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (2017). How good a
network is once calibrated tells which of its epochs to keep: Berta, Holzmüller, Jordan and Bach,
"Rethinking early stopping: refine, then calibrate" (2025).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

#: logarithms of the temperatures that are considered
_LOWEST, _HIGHEST = -3.0, 3.0
#: the logarithm is drawn to 0 as if by this many examples, so that a few cannot move it far
_PRIOR = 2.0


def fitted_temperature(
    logits: NDArray[Any], classes: NDArray[np.int64], weights: NDArray[Any] | None
) -> float:
    """Return the temperature T that minimises the cross-entropy of ``softmax(Z / T)``.

    It changes no order of probabilities, and so no predicted class.

    Parameters
    ----------
    logits : array, shape (n_classes, m)
        Outputs for rows that were not trained on.
    classes : int64 array, shape (m,)
        Their classes.
    weights : array, shape (m,), or None
        Their weights.

    Returns
    -------
    float
        1 where the logits are not finite or there is but one class.
    """
    Z = logits.astype(np.float64)
    if len(Z) < 2 or not np.isfinite(Z).all():
        return 1.0
    w = np.ones(len(classes)) if weights is None else weights.astype(np.float64)
    w = w * (len(w) / w.sum()) if w.sum() > 0 else np.ones(len(w))
    crossed = _cross_entropies(Z, classes)

    def cost(logarithm: float) -> float:
        return float(w @ crossed(np.exp(-logarithm)) + _PRIOR * logarithm**2)

    found = minimize_scalar(cost, bounds=(_LOWEST, _HIGHEST), method="bounded")
    return float(np.exp(found.x))


def calibrated_loss(
    logits: NDArray[Any], classes: NDArray[np.int64], weights: NDArray[Any] | None
) -> float:
    """Return the mean cross-entropy of ``softmax(Z / T)`` at the temperature that fits best.

    It does not depend on how sure the network is of itself, only on how well it tells classes
    apart, which goes on improving after the plain cross-entropy has its minimum.

    Parameters
    ----------
    logits, classes, weights
        As for `fitted_temperature`.
    """
    return mean_loss(logits / fitted_temperature(logits, classes, weights), classes, weights)


def mean_loss(
    logits: NDArray[Any], classes: NDArray[np.int64], weights: NDArray[Any] | None
) -> float:
    """Return the mean cross-entropy of ``softmax(Z)``, NaN where no row has weight.

    Parameters
    ----------
    logits, classes, weights
        As for `fitted_temperature`.
    """
    if weights is not None and not weights.sum() > 0:
        return float("nan")
    losses = _cross_entropies(logits.astype(np.float64), classes)(1.0)
    return float(np.average(losses, weights=weights))


def _cross_entropies(
    Z: NDArray[np.float64], classes: NDArray[np.int64]
) -> Callable[[float], NDArray[np.float64]]:
    """Return each example's cross-entropy as a function of the inverse temperature."""
    Z = Z - Z.max(axis=0)
    own = Z[classes, np.arange(len(classes))]

    def crossed(inverse: float) -> NDArray[np.float64]:
        losses: NDArray[np.float64] = np.log(np.exp(inverse * Z).sum(axis=0)) - inverse * own
        return losses

    return crossed
