"""Temperature scaling: one number that makes probabilities say how often they are right.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (2017).
"""

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
    Z = Z - Z.max(axis=0)
    own = Z[classes, np.arange(len(classes))]
    w = np.ones(len(classes)) if weights is None else weights.astype(np.float64)
    w = w * (len(w) / w.sum()) if w.sum() > 0 else np.ones(len(w))

    def cost(logarithm: float) -> float:
        inverse = np.exp(-logarithm)
        losses = np.log(np.exp(inverse * Z).sum(axis=0)) - inverse * own
        return float(w @ losses + _PRIOR * logarithm**2)

    found = minimize_scalar(cost, bounds=(_LOWEST, _HIGHEST), method="bounded")
    return float(np.exp(found.x))
