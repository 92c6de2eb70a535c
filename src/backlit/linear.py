"""One layer: the linear step, and the linear step with its activation, forward and backward.

``Z = W @ A_prev + b`` and ``A = g(Z)``, examples in columns. The mean over the m examples is taken
where the examples are summed, in `dW` and `db`, and nowhere else::

    dW      = dZ @ A_prev.T / m
    db      = dZ.sum(axis=1, keepdims=True) / m
    dA_prev = W.T @ dZ
"""

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
from backlit.activations import FUNCTIONS
from backlit.names import activation_name


class LinearCache(NamedTuple):
    """What the linear step keeps for its backward: its input, weights and biases."""

    A_prev: Array
    W: Array
    b: Array


class LayerCache(NamedTuple):
    """What a layer keeps for its backward: the linear step's cache, and `Z`."""

    linear_cache: LinearCache
    activation_cache: Array


# forward is Z = W @ A_prev + b ...
def linear_step(A_prev: Array, W: Array, b: Array) -> Array:
    """Return Z of arrays that are checked."""
    return W @ A_prev + b  # (n_l, m)


# ... so now dW = dZ @ A_prev.T / m, db = sum over examples of dZ / m, dA_prev = W.T @ dZ
def linear_gradients(dZ: Array, A_prev: Array) -> tuple[Array, Array]:
    """Return dW and db of arrays that are checked."""
    xp = array_namespace(dZ)
    m = dZ.shape[1]
    dW = dZ @ xp.matrix_transpose(A_prev) / m  # (n_l, n_{l-1})
    db = xp.sum(dZ, axis=1, keepdims=True) / m  # (n_l, 1)
    return dW, db


def linear_input_gradient(dZ: Array, W: Array) -> Array:
    """Return dA_prev of arrays that are checked."""
    return array_namespace(W).matrix_transpose(W) @ dZ  # (n_{l-1}, m)


def linear_forward(A_prev: Any, W: Any, b: Any) -> tuple[Array, LinearCache]:
    """Compute the linear step of a layer, ``Z = W @ A_prev + b``.

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
    cache : LinearCache
        ``(A_prev, W, b)``.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    A_prev, W, b = as_arrays("linear_forward", A_prev=A_prev, W=W, b=b)
    check_linear("linear_forward", A_prev, W, b)
    check_finite("linear_forward", A_prev=A_prev, W=W, b=b)
    return linear_step(A_prev, W, b), LinearCache(A_prev, W, b)


def linear_activation_forward(
    A_prev: Any, W: Any, b: Any, activation: str
) -> tuple[Array, LayerCache]:
    """Compute a layer, ``A = g(W @ A_prev + b)``.

    Parameters
    ----------
    A_prev : array, shape (n_{l-1}, m)
        Activations of the layer before, or the input; examples are columns.
    W : array, shape (n_l, n_{l-1})
        Weights.
    b : array, shape (n_l, 1)
        Biases.
    activation : str
        The name of g, such as "relu" or "sigmoid".

    Returns
    -------
    A : array, shape (n_l, m)
        Activations.
    cache : LayerCache
        ``(linear_cache, activation_cache)``, which is ``((A_prev, W, b), Z)``.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    function = "linear_activation_forward"
    name = activation_name(function, activation)
    A_prev, W, b = as_arrays(function, A_prev=A_prev, W=W, b=b)
    check_linear(function, A_prev, W, b)
    check_finite(function, A_prev=A_prev, W=W, b=b)
    Z = linear_step(A_prev, W, b)
    return FUNCTIONS[name].forward(Z), LayerCache(LinearCache(A_prev, W, b), Z)


def linear_backward(dZ: Any, cache: Any) -> tuple[Array, Array, Array]:
    """Take the gradient back through the linear step.

    Forward was ``Z = W @ A_prev + b``, so now ``dW = dZ @ A_prev.T / m``, ``db = dZ.sum(axis=1,
    keepdims=True) / m`` and ``dA_prev = W.T @ dZ``: column i of `dZ` and of `dA_prev` is the
    gradient of example i's own loss, and the mean is taken where examples meet.

    Parameters
    ----------
    dZ : array, shape (n_l, m)
        Gradient with respect to `Z`, with no 1/m.
    cache : LinearCache, tuple or list
        ``(A_prev, W, b)``, as `linear_forward` returned it.

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
    function = "linear_backward"
    A_prev, W, b = unpack(function, "cache", cache, LinearCache._fields)
    dZ, A_prev, W, b = as_arrays(function, dZ=dZ, A_prev=A_prev, W=W, b=b)
    check_linear(function, A_prev, W, b)
    check_shape(function, "dZ", dZ, (W.shape[0], A_prev.shape[1]), _fits(W, A_prev))
    check_finite(function, dZ=dZ, A_prev=A_prev, W=W)
    dW, db = linear_gradients(dZ, A_prev)
    return linear_input_gradient(dZ, W), dW, db


def linear_activation_backward(dA: Any, cache: Any, activation: str) -> tuple[Array, Array, Array]:
    """Take the gradient back through a layer.

    Forward was ``A = g(Z)`` with ``Z = W @ A_prev + b``, so now ``dZ = dA * g'(Z)``, and then as
    in `linear_backward`.

    Parameters
    ----------
    dA : array, shape (n_l, m)
        Gradient with respect to `A`, with no 1/m.
    cache : LayerCache, tuple or list
        ``((A_prev, W, b), Z)``, as `linear_activation_forward` returned it.
    activation : str
        The name of g.

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
    UnknownNameError
        If there is no such activation.
    CacheError, ShapeError, DTypeError, NonFiniteError
        If the cache is malformed, or the arrays do not fit each other or are not real and finite.
    """
    function = "linear_activation_backward"
    name = activation_name(function, activation)
    (A_prev, W, _), Z = checked_layer_cache(function, cache, "cache")
    dA, Z = as_arrays(function, dA=dA, Z=Z)
    check_shape(function, "dA", dA, (W.shape[0], A_prev.shape[1]), _fits(W, A_prev))
    check_finite(function, dA=dA)
    dZ = FUNCTIONS[name].backward(dA, Z)
    dW, db = linear_gradients(dZ, A_prev)
    return linear_input_gradient(dZ, W), dW, db


def checked_layer_cache(function: str, cache: Any, name: str) -> LayerCache:
    """Unpack and check one layer's cache, given as any tuples or lists.

    Parameters
    ----------
    function, name : str
        The public function, and the name of the cache in its messages.
    cache : LayerCache, tuple or list
        ``((A_prev, W, b), Z)``.

    Returns
    -------
    LayerCache
        The arrays, converted and checked against each other.

    Raises
    ------
    CacheError, ShapeError, DTypeError, NonFiniteError
        If it is malformed, or its arrays do not fit each other or are not real and finite.
    """
    linear_cache, Z = unpack(function, name, cache, LayerCache._fields)
    A_prev, W, b = unpack(function, f"{name}'s linear_cache", linear_cache, LinearCache._fields)
    A_prev, W, b, Z = as_arrays(function, A_prev=A_prev, W=W, b=b, Z=Z)
    check_linear(function, A_prev, W, b)
    check_shape(function, "Z", Z, (W.shape[0], A_prev.shape[1]), _fits(W, A_prev))
    check_finite(function, A_prev=A_prev, W=W, b=b, Z=Z)
    return LayerCache(LinearCache(A_prev, W, b), Z)


def _fits(W: Array, A_prev: Array) -> str:
    return f"W has shape {tuple(W.shape)} and A_prev {tuple(A_prev.shape)}"
