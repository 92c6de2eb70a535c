"""Embeddings of categories: a trained vector for each level."""

from typing import Any, NamedTuple

import numpy as np

from backlit._checks import (
    Array,
    array_namespace,
    as_arrays,
    check_finite,
    check_matrix,
    check_shape,
    unpack,
)
from backlit.errors import DTypeError, SettingError, ShapeError


class EmbeddingCache(NamedTuple):
    """What the embedding keeps for its backward: the levels, and the vectors."""

    levels: Array
    E: Array


def embedding_forward(levels: Any, E: Any) -> tuple[Array, EmbeddingCache]:
    """Look up each example's vector, ``A[:, i] = E[levels[i]]``.

    Parameters
    ----------
    levels : integer array, shape (m,)
        Each example's level, from 0.
    E : array, shape (n_levels, d)
        One vector for each level.

    Returns
    -------
    A : array, shape (d, m)
        The vectors; examples are columns.
    cache : EmbeddingCache
        ``(levels, E)``.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError, SettingError
        If the arrays do not fit each other, are not of the right type or finite, or there is no
        such level.
    """
    function = "embedding_forward"
    (E,) = as_arrays(function, E=E)
    levels = _checked_levels(function, levels, E)
    check_finite(function, E=E)
    xp = array_namespace(E)
    return xp.matrix_transpose(xp.take(E, levels, axis=0)), EmbeddingCache(levels, E)


def embedding_backward(dA: Any, cache: Any) -> Array:
    """Take the gradient back to the vectors.

    Forward was ``A = E.T @ S`` where column i of S is 1 at example i's level and 0 elsewhere, so
    now ``dE = S @ dA.T / m``: each level's vector gets the sum over the examples that have it.

    Parameters
    ----------
    dA : array, shape (d, m)
        Gradient with respect to `A`, with no 1/m.
    cache : EmbeddingCache, tuple or list
        ``(levels, E)``, as `embedding_forward` returned it.

    Returns
    -------
    array, shape (n_levels, d)
        Gradient of the cost with respect to `E`.

    Raises
    ------
    CacheError, ShapeError, DTypeError, NonFiniteError, SettingError
        If the cache is malformed, or the arrays do not fit each other or have the wrong values.
    """
    function = "embedding_backward"
    levels, E = unpack(function, "cache", cache, EmbeddingCache._fields)
    dA, E = as_arrays(function, dA=dA, E=E)
    levels = _checked_levels(function, levels, E)
    m = levels.shape[0]
    because = f"E has shape {tuple(E.shape)} and there are {m} levels"
    check_shape(function, "dA", dA, (E.shape[1], m), because)
    check_finite(function, dA=dA)
    xp = array_namespace(dA)
    rows = xp.reshape(xp.arange(E.shape[0]), (-1, 1))
    S = xp.astype(rows == xp.reshape(levels, (1, -1)), dA.dtype)  # (n_levels, m)
    return S @ xp.matrix_transpose(dA) / m


def _checked_levels(function: str, levels: Any, E: Array) -> Array:
    check_matrix(function, "E", E, "(n_levels, d)")
    xp = array_namespace(E)
    levels = xp.asarray(levels)
    if len(levels.shape) != 1 or levels.shape[0] == 0:
        raise ShapeError(f"{function}: levels has shape {tuple(levels.shape)}, expected (m,).")
    if not xp.isdtype(levels.dtype, "integral"):
        raise DTypeError(f"{function}: levels has dtype {levels.dtype}, expected whole numbers.")
    if isinstance(levels, np.ndarray):
        low, high = int(levels.min()), int(levels.max())
        if low < 0 or high >= E.shape[0]:
            raise SettingError(
                f"{function}: levels range from {low} to {high}, expected 0 to {E.shape[0] - 1} "
                f"because E has shape {tuple(E.shape)}."
            )
    return levels
