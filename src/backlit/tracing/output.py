"""The gradient of each example's loss with respect to the output ``A_L`` itself.

Nothing needs it but a reader who follows the chain rule step by step: the library goes straight to
``dZ_L``, since the two factors ``dA_L`` and ``g'(Z_L)`` cancel.
"""

import numpy as np

from backlit._checks import Array, array_namespace
from backlit.activations import FUNCTIONS


def output_gradient(activation: str, AL: Array, ZL: Array, Y: Array, dZL: Array) -> Array:
    """Return ``dA_L``, shape (n_L, m), with no 1/m and without example weights.

    Sigmoid: ``(1 - Y) / (1 - A) - Y / A``, with ``1 - A = sigmoid(-Z)``; softmax: ``-Y / A``;
    identity: ``dZ``, for A is Z; exp: ``1 - Y / A``. With 0 / 0 = 0; infinite where A has rounded
    to 0 and Y has not.
    """
    if activation == "sigmoid":
        return _over(1 - Y, FUNCTIONS["sigmoid"].forward(-ZL)) - _over(Y, AL)
    if activation == "softmax":
        return -_over(Y, AL)
    if activation == "exp":
        return 1 - _over(Y, AL)
    return +dZL


def _over(above: Array, below: Array) -> Array:
    """Divide, with 0 / 0 = 0."""
    xp = array_namespace(below)
    infinity = xp.full_like(below, xp.inf)
    nothing, infinite = above == 0, below == 0
    safe = xp.where(nothing | infinite, xp.ones_like(below), below)
    with np.errstate(over="ignore"):
        quotient = above / safe
    limit = xp.where(above < 0, -infinity, infinity)
    return xp.where(infinite & ~nothing, limit, quotient)
