"""Periodic embeddings of numbers: cosines of trained frequencies, a linear step, and the number.

"PBLD" of arXiv 2407.04491: periodic, with a bias, linear, and dense (the number itself stays
beside its embedding), after Gorishniy, Rubachev and Babenko (2022). For each feature x::

    H = cos(2 pi W x + b)    k cosines
    E = V @ H + c            d numbers
    A = E and x
"""

from math import pi
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
from backlit.errors import ShapeError


class PeriodicCache(NamedTuple):
    """What the embedding keeps for its backward: its input and its parameters."""

    X: Array
    W: Array
    b: Array
    V: Array
    c: Array


def periodic_embedding_forward(
    X: Any, W: Any, b: Any, V: Any, c: Any
) -> tuple[Array, PeriodicCache]:
    """Compute each feature's embedding, ``V @ cos(2 pi W x + b) + c``, and keep x beside it.

    Parameters
    ----------
    X : array, shape (n, m)
        Features; examples are columns.
    W, b : array, shape (n, k)
        Each feature's k frequencies and phases.
    V : array, shape (n, d, k)
        Each feature's weights.
    c : array, shape (n, d)
        Each feature's biases.

    Returns
    -------
    A : array, shape (n d + n, m)
        First the d numbers of each feature, one feature after the other, then the n features.
    cache : PeriodicCache
        ``(X, W, b, V, c)``.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    function = "periodic_embedding_forward"
    X, W, b, V, c = as_arrays(function, X=X, W=W, b=b, V=V, c=c)
    _check(function, X, W, b, V, c)
    check_finite(function, X=X, W=W, b=b, V=V, c=c)
    xp = array_namespace(X)
    H = xp.cos(_angles(X, W, b))  # (n, k, m)
    E = V @ H + xp.expand_dims(c, axis=2)  # (n, d, m)
    n, d, m = E.shape
    return xp.concat([xp.reshape(E, (n * d, m)), X], axis=0), PeriodicCache(X, W, b, V, c)


def periodic_embedding_backward(dA: Any, cache: Any) -> tuple[Array, Array, Array, Array, Array]:
    """Take the gradient back through the embedding.

    Forward was ``U = 2 pi W x + b``, ``H = cos(U)``, ``E = V @ H + c``, with x beside E. So now
    ``dV = dE @ H.T / m`` and ``dc = dE`` summed ``/ m``; ``dH = V.T @ dE``, ``dU = -sin(U) * dH``,
    ``dW = 2 pi dU x`` and ``db = dU``, summed ``/ m``; and ``dX = dA`` of the feature itself, plus
    ``2 pi W.T @ dU``.

    Parameters
    ----------
    dA : array, shape (n d + n, m)
        Gradient with respect to `A`, with no 1/m.
    cache : PeriodicCache, tuple or list
        ``(X, W, b, V, c)``, as `periodic_embedding_forward` returned it.

    Returns
    -------
    dX : array, shape (n, m)
        Gradient with respect to `X`, with no 1/m.
    dW, db, dV, dc : array
        Gradients of the cost with respect to the parameters, in their shapes.

    Raises
    ------
    CacheError, ShapeError, DTypeError, NonFiniteError
        If the cache is malformed, or the arrays do not fit each other or are not real and finite.
    """
    function = "periodic_embedding_backward"
    X, W, b, V, c = unpack(function, "cache", cache, PeriodicCache._fields)
    dA, X, W, b, V, c = as_arrays(function, dA=dA, X=X, W=W, b=b, V=V, c=c)
    _check(function, X, W, b, V, c)
    n, d, _ = V.shape
    m = X.shape[1]
    because = f"X has shape {tuple(X.shape)} and V {tuple(V.shape)}"
    check_shape(function, "dA", dA, (n * d + n, m), because)
    check_finite(function, dA=dA, X=X, W=W, b=b, V=V)
    xp = array_namespace(dA)
    U = _angles(X, W, b)  # (n, k, m)
    dE = xp.reshape(dA[: n * d, :], (n, d, m))
    dV = dE @ xp.matrix_transpose(xp.cos(U)) / m  # (n, d, k)
    dc = xp.sum(dE, axis=2) / m  # (n, d)
    dU = -xp.sin(U) * (xp.matrix_transpose(V) @ dE)  # (n, k, m)
    dW = 2 * pi * xp.sum(dU * xp.expand_dims(X, axis=1), axis=2) / m  # (n, k)
    db = xp.sum(dU, axis=2) / m  # (n, k)
    dX = dA[n * d :, :] + 2 * pi * xp.sum(xp.expand_dims(W, axis=2) * dU, axis=1)  # (n, m)
    return dX, dW, db, dV, dc


def _angles(X: Array, W: Array, b: Array) -> Array:
    """Return U, (n, k, m), of arrays that are checked."""
    xp = array_namespace(X)
    return 2 * pi * xp.expand_dims(W, axis=2) * xp.expand_dims(X, axis=1) + xp.expand_dims(
        b, axis=2
    )


def _check(function: str, X: Array, W: Array, b: Array, V: Array, c: Array) -> None:
    check_matrix(function, "X", X, "(n, m)")
    check_matrix(function, "W", W, "(n, k)")
    n, k = X.shape[0], W.shape[1]
    check_shape(function, "W", W, (n, k), f"X has shape {tuple(X.shape)}")
    check_shape(function, "b", b, (n, k), f"W has shape {tuple(W.shape)}")
    if len(V.shape) != 3:
        raise ShapeError(f"{function}: V has shape {tuple(V.shape)}, expected (n, d, k).")
    d = V.shape[1]
    check_shape(function, "V", V, (n, d, k), f"W has shape {tuple(W.shape)}")
    check_shape(function, "c", c, (n, d), f"V has shape {tuple(V.shape)}")
