"""The linear step in neural tangent parametrisation: weights of variance 1, scaled in the pass.

``Z = W @ A_prev / sqrt(n_{l-1}) + b``. The factor keeps the variance of `Z`, and with an optimizer
such as Adam, whose steps do not depend on the gradient's size, it makes one learning rate fit
layers of every width (Jacot, Gabriel and Hongler 2018).
"""

from math import sqrt
from typing import Any, NamedTuple

from backlit._checks import (
    Array,
    array_namespace,
    as_arrays,
    check_finite,
    check_linear,
    check_shape,
    unpack,
)


class NTPLinearCache(NamedTuple):
    """What the step keeps for its backward: its input, weights and biases."""

    A_prev: Array
    W: Array
    b: Array


def ntp_linear_forward(A_prev: Any, W: Any, b: Any) -> tuple[Array, NTPLinearCache]:
    """Compute ``Z = W @ A_prev / sqrt(n_{l-1}) + b``.

    Parameters
    ----------
    A_prev : array, shape (n_{l-1}, m)
        Activations of the layer before, or the input; examples are columns.
    W : array, shape (n_l, n_{l-1})
        Weights.
    b : array, shape (n_l, 1)
        Biases.

    Returns
    -------
    Z : array, shape (n_l, m)
        Pre-activations.
    cache : NTPLinearCache
        ``(A_prev, W, b)``.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    function = "ntp_linear_forward"
    A_prev, W, b = as_arrays(function, A_prev=A_prev, W=W, b=b)
    check_linear(function, A_prev, W, b)
    check_finite(function, A_prev=A_prev, W=W, b=b)
    gain = 1 / sqrt(W.shape[1])
    return gain * (W @ A_prev) + b, NTPLinearCache(A_prev, W, b)


def ntp_linear_backward(dZ: Any, cache: Any) -> tuple[Array, Array, Array]:
    """Take the gradient back through the linear step.

    Forward was ``Z = W @ A_prev / sqrt(n) + b``, so now ``dW = dZ @ A_prev.T / (m sqrt(n))``,
    ``db = dZ.sum(axis=1, keepdims=True) / m`` and ``dA_prev = W.T @ dZ / sqrt(n)``.

    Parameters
    ----------
    dZ : array, shape (n_l, m)
        Gradient with respect to `Z`, with no 1/m.
    cache : NTPLinearCache, tuple or list
        ``(A_prev, W, b)``, as `ntp_linear_forward` returned it.

    Returns
    -------
    dA_prev : array, shape (n_{l-1}, m)
        Gradient with respect to `A_prev`, with no 1/m.
    dW : array, shape (n_l, n_{l-1})
        Gradient of the cost with respect to `W`.
    db : array, shape (n_l, 1)
        Gradient of the cost with respect to `b`.

    Raises
    ------
    CacheError, ShapeError, DTypeError, NonFiniteError
        If the cache is malformed, or the arrays do not fit each other or are not real and finite.
    """
    function = "ntp_linear_backward"
    A_prev, W, b = unpack(function, "cache", cache, NTPLinearCache._fields)
    dZ, A_prev, W, b = as_arrays(function, dZ=dZ, A_prev=A_prev, W=W, b=b)
    check_linear(function, A_prev, W, b)
    n_out, m = W.shape[0], A_prev.shape[1]
    because = f"W has shape {tuple(W.shape)} and A_prev {tuple(A_prev.shape)}"
    check_shape(function, "dZ", dZ, (n_out, m), because)
    check_finite(function, dZ=dZ, A_prev=A_prev, W=W)
    xp, gain = array_namespace(dZ), 1 / sqrt(W.shape[1])
    dW = (gain / m) * (dZ @ xp.matrix_transpose(A_prev))  # (n_l, n_{l-1})
    db = xp.sum(dZ, axis=1, keepdims=True) / m  # (n_l, 1)
    dA_prev = gain * (xp.matrix_transpose(W) @ dZ)  # (n_{l-1}, m)
    return dA_prev, dW, db
