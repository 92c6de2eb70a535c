"""Each example's own gradient in a network for tables, measured without being formed.

As in `backlit.per_example`: an example's gradient with respect to weights is an outer product of
its columns, so that its norm is a product of two norms.
"""

from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.pieces import parametric_activation_forward
from backlit.tables.layout import TableLayout
from backlit.tables.network import Passed, TableCaches, pieces_backward


def table_gradient_norms(
    dZL: NDArray[Any], caches: TableCaches, layout: TableLayout
) -> NDArray[Any]:
    """Return the norm of each example's own gradient, over all parameters.

    Parameters
    ----------
    dZL : array, shape (n_outputs, m)
        Gradient of each example's own loss with respect to the output, with no 1/m.
    caches : TableCaches
        What `backlit.tables.network.table_forward` returned.
    layout : TableLayout
        The tensors.

    Returns
    -------
    array, shape (m,)
        Norms.
    """
    squares = np.zeros(dZL.shape[1], dZL.dtype)
    for piece in pieces_backward(dZL, caches, layout):
        if piece.grads:
            squares += _SQUARES[piece.kind](piece, layout)
    norms: NDArray[Any] = np.sqrt(squares)
    return norms


def _sum_of_squares(array: NDArray[Any]) -> NDArray[Any]:
    """Sum over all axes but that of the examples, the last one."""
    summed: NDArray[Any] = (array * array).sum(axis=tuple(range(array.ndim - 1)))
    return summed


# forward was Z = W A / sqrt(n) + b, so ||dW_i||^2 = ||dz_i||^2 ||a_i||^2 / n, ||db_i|| = ||dz_i||
def _linear(piece: Passed, layout: TableLayout) -> NDArray[Any]:
    A_prev, W, _ = piece.cache
    found: NDArray[Any] = _sum_of_squares(A_prev) / W.shape[1] + 1
    found *= _sum_of_squares(piece.upstream)
    return found


# forward was A = Z + s (g(Z) - Z), so ds_i = da_i (g(z_i) - z_i)
def _activation(piece: Passed, layout: TableLayout) -> NDArray[Any]:
    Z, s = piece.cache
    g, _ = parametric_activation_forward(Z, np.ones_like(s), layout.recipe.activation)
    return _sum_of_squares(piece.upstream * (g - Z))


# forward was A = s A_prev, so ds_i = da_i a_i
def _scaling(piece: Passed, layout: TableLayout) -> NDArray[Any]:
    return _sum_of_squares(piece.upstream * piece.cache.A_prev)


# forward looked a vector up, whose gradient is what arrives
def _category(piece: Passed, layout: TableLayout) -> NDArray[Any]:
    return _sum_of_squares(piece.upstream)


# forward was E = V cos(U) + c with U = 2 pi W x + b, for each feature
def _periodic(piece: Passed, layout: TableLayout) -> NDArray[Any]:
    X, W, b, V, _ = piece.cache
    n, d, _ = V.shape
    dE = piece.upstream[: n * d].reshape(n, d, -1)
    U = 2 * pi * W[:, :, None] * X[:, None, :] + b[:, :, None]  # (n, k, m)
    dU = -np.sin(U) * (V.transpose(0, 2, 1) @ dE)
    of_each = (dE * dE).sum(axis=1)  # (n, m)
    found: NDArray[Any] = (of_each * ((np.cos(U) ** 2).sum(axis=1) + 1)).sum(axis=0)
    found += ((dU * dU).sum(axis=1) * ((2 * pi * X) ** 2 + 1)).sum(axis=0)
    return found


_SQUARES = {
    "linear": _linear,
    "activation": _activation,
    "scaling": _scaling,
    "category": _category,
    "periodic": _periodic,
}
