"""The scaling layer: each feature times a trained number, so that training can select features.

Holzmüller, Grinsztajn and Steinwart, "Better by Default" (arXiv 2407.04491), section 3.
"""

from typing import Any, NamedTuple

from backlit._checks import (
    Array,
    array_namespace,
    as_arrays,
    check_finite,
    check_matrix,
    check_shape,
    unpack,
)


class ScalingCache(NamedTuple):
    """What the scaling layer keeps for its backward: its input and its factors."""

    A_prev: Array
    s: Array


def scaling_forward(A_prev: Any, s: Any) -> tuple[Array, ScalingCache]:
    """Multiply each feature by its factor, ``A = s * A_prev``.

    Parameters
    ----------
    A_prev : array, shape (n, m)
        Features; examples are columns.
    s : array, shape (n, 1)
        One factor for each feature.

    Returns
    -------
    A : array, shape (n, m)
        Scaled features.
    cache : ScalingCache
        ``(A_prev, s)``.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    function = "scaling_forward"
    A_prev, s = as_arrays(function, A_prev=A_prev, s=s)
    _check(function, A_prev, s)
    check_finite(function, A_prev=A_prev, s=s)
    return s * A_prev, ScalingCache(A_prev, s)


def scaling_backward(dA: Any, cache: Any) -> tuple[Array, Array]:
    """Take the gradient back through the scaling layer.

    Forward was ``A = s * A_prev``, so now ``dA_prev = s * dA``, and ``ds = (dA * A_prev)`` summed
    over the examples, ``/ m``.

    Parameters
    ----------
    dA : array, shape (n, m)
        Gradient with respect to `A`, with no 1/m.
    cache : ScalingCache, tuple or list
        ``(A_prev, s)``, as `scaling_forward` returned it.

    Returns
    -------
    dA_prev : array, shape (n, m)
        Gradient with respect to `A_prev`, with no 1/m.
    ds : array, shape (n, 1)
        Gradient of the cost with respect to `s`.

    Raises
    ------
    CacheError, ShapeError, DTypeError, NonFiniteError
        If the cache is malformed, or the arrays do not fit each other or are not real and finite.
    """
    function = "scaling_backward"
    A_prev, s = unpack(function, "cache", cache, ScalingCache._fields)
    dA, A_prev, s = as_arrays(function, dA=dA, A_prev=A_prev, s=s)
    _check(function, A_prev, s)
    check_shape(function, "dA", dA, tuple(A_prev.shape), "A_prev has that shape")
    check_finite(function, dA=dA, A_prev=A_prev, s=s)
    xp = array_namespace(dA)
    ds = xp.sum(dA * A_prev, axis=1, keepdims=True) / dA.shape[1]  # (n, 1)
    return s * dA, ds


def _check(function: str, A_prev: Array, s: Array) -> None:
    check_matrix(function, "A_prev", A_prev, "(n, m)")
    shape = tuple(A_prev.shape)
    check_shape(function, "s", s, (shape[0], 1), f"A_prev has shape {shape}")
