"""Parametric activations: between the identity and an activation g, by a trained number per unit.

``A = Z + s * (g(Z) - Z)``; at s = 1 it is g, at s = 0 the identity (arXiv 2407.04491, section 3).
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
from backlit.activations import FUNCTIONS, Activation
from backlit.errors import UnknownNameError
from backlit.pieces.mish import mish_gradients, mish_values

#: the functions g that there are
BASES: dict[str, Activation] = {
    "selu": FUNCTIONS["selu"],
    "mish": Activation(mish_values, mish_gradients),
    "relu": FUNCTIONS["relu"],
    "silu": FUNCTIONS["silu"],
    "gelu": FUNCTIONS["gelu"],
}


class ParametricCache(NamedTuple):
    """What the activation keeps for its backward: its input, and each unit's number."""

    Z: Array
    s: Array


def parametric_activation_forward(Z: Any, s: Any, activation: str) -> tuple[Array, ParametricCache]:
    """Compute ``A = Z + s * (g(Z) - Z)``.

    Parameters
    ----------
    Z : array, shape (n, m)
        Pre-activations; examples are columns.
    s : array, shape (n, 1)
        One number for each unit: the share of g.
    activation : {"selu", "mish", "relu", "silu", "gelu"}
        The name of g.

    Returns
    -------
    A : array, shape (n, m)
        Activations.
    cache : ParametricCache
        ``(Z, s)``.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    function = "parametric_activation_forward"
    g = _base(function, activation)
    Z, s = as_arrays(function, Z=Z, s=s)
    _check(function, Z, s)
    check_finite(function, Z=Z, s=s)
    return Z + s * (g.forward(Z) - Z), ParametricCache(Z, s)


def parametric_activation_backward(dA: Any, cache: Any, activation: str) -> tuple[Array, Array]:
    """Take the gradient back through the activation.

    Forward was ``A = Z + s * (g(Z) - Z)``, so now ``dZ = (1 - s) * dA + s * dA * g'(Z)``, and
    ``ds = dA * (g(Z) - Z)`` summed over the examples, ``/ m``.

    Parameters
    ----------
    dA : array, shape (n, m)
        Gradient with respect to `A`, with no 1/m.
    cache : ParametricCache, tuple or list
        ``(Z, s)``, as `parametric_activation_forward` returned it.
    activation : str
        The name of g.

    Returns
    -------
    dZ : array, shape (n, m)
        Gradient with respect to `Z`, with no 1/m.
    ds : array, shape (n, 1)
        Gradient of the cost with respect to `s`.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    CacheError, ShapeError, DTypeError, NonFiniteError
        If the cache is malformed, or the arrays do not fit each other or are not real and finite.
    """
    function = "parametric_activation_backward"
    g = _base(function, activation)
    Z, s = unpack(function, "cache", cache, ParametricCache._fields)
    dA, Z, s = as_arrays(function, dA=dA, Z=Z, s=s)
    _check(function, Z, s)
    check_shape(function, "dA", dA, tuple(Z.shape), "Z has that shape")
    check_finite(function, dA=dA, Z=Z, s=s)
    dZ = (1 - s) * dA + s * g.backward(dA, Z)
    ds = array_namespace(dA).sum(dA * (g.forward(Z) - Z), axis=1, keepdims=True) / dA.shape[1]
    return dZ, ds


def _base(function: str, name: str) -> Activation:
    if name not in BASES:
        known = ", ".join(map(repr, BASES))
        raise UnknownNameError(f"{function}: activation is {name!r}, expected one of {known}.")
    return BASES[name]


def _check(function: str, Z: Array, s: Array) -> None:
    check_matrix(function, "Z", Z, "(n, m)")
    shape = tuple(Z.shape)
    check_shape(function, "s", s, (shape[0], 1), f"Z has shape {shape}")
