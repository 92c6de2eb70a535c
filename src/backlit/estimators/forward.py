"""Rows forward through NumPy: what prediction uses.

One row takes a dozen microseconds here, which is less than a call of the compiled engine, and a
process that only predicts never loads it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from backlit.activations import FUNCTIONS
from backlit.estimators.weights import Weights
from backlit.names import ACTIVATION_ALIASES

#: elements of a block's widest layer: few enough to stay in a cache, enough for BLAS to share out
_BLOCK = 1 << 19
#: rows of a block at least, however wide the network
_FEWEST = 64


def _relu(Z: NDArray[Any]) -> NDArray[Any]:
    np.maximum(Z, 0, out=Z)
    return Z


def _sigmoid(Z: NDArray[Any]) -> NDArray[Any]:
    expit(Z, out=Z)
    return Z


def _tanh(Z: NDArray[Any]) -> NDArray[Any]:
    np.tanh(Z, out=Z)
    return Z


def _exp(Z: NDArray[Any]) -> NDArray[Any]:
    np.exp(Z, out=Z)
    return Z


def _identity(Z: NDArray[Any]) -> NDArray[Any]:
    return Z


def _softmax(Z: NDArray[Any]) -> NDArray[Any]:
    Z -= Z.max(axis=1, keepdims=True)
    np.exp(Z, out=Z)
    Z /= Z.sum(axis=1, keepdims=True)
    return Z


#: activations of examples in rows that may overwrite their argument; others are the open ones
_IN_PLACE: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "identity": _identity,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
    "softmax": _softmax,
    "exp": _exp,
}


def activate(name: str, Z: NDArray[Any]) -> NDArray[Any]:
    """Return an activation's values for examples in rows; `Z` may be overwritten."""
    name = ACTIVATION_ALIASES.get(name, name)
    in_place = _IN_PLACE.get(name)
    return FUNCTIONS[name].forward(Z) if in_place is None else in_place(Z)


def forward(weights: Weights, activations: Sequence[str], X: Any) -> NDArray[Any]:
    """Return the network's outputs.

    Parameters
    ----------
    weights : Weights
        The network.
    activations : sequence of str
        One a layer.
    X : array or sparse matrix, shape (m, n_0)
        Examples in rows.

    Returns
    -------
    array, shape (m, n_L)
        A new array.
    """
    m = X.shape[0]
    block = _FEWEST if m <= _FEWEST else max(_BLOCK // max(weights.layer_dims[1:]), _FEWEST)
    if m <= block:
        return _forward_block(weights, activations, X)
    first = _forward_block(weights, activations, X[:block])
    outputs = np.empty((m, first.shape[1]), first.dtype)
    outputs[:block] = first
    for begin in range(block, m, block):
        rows = slice(begin, begin + block)
        outputs[rows] = _forward_block(weights, activations, X[rows])
    return outputs


def _forward_block(weights: Weights, activations: Sequence[str], X: Any) -> NDArray[Any]:
    A = X
    for (W, b), name in zip(weights.layers, activations, strict=True):
        Z = A @ W
        Z += b
        A = activate(name, Z)
    return np.asarray(A)


def every_layer(weights: Weights, activations: Sequence[str], X: Any) -> list[NDArray[Any]]:
    """Return A_1, ..., A_L, each of shape (m, n_l)."""
    values, A = [], X
    for (W, b), name in zip(weights.layers, activations, strict=True):
        A = activate(name, np.asarray(A @ W) + b)
        values.append(A)
    return values
