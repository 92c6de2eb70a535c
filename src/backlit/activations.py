"""Activations ``A = g(Z)``, each beside its backward ``dZ = dA * g'(Z)``.

Every forward returns ``(A, cache)`` and the cache is ``Z`` itself. Derivatives are taken from `Z`,
not from `A`: where an activation saturates, `A` has rounded to its limit and ``A * (1 - A)`` is
nothing but rounding error, while ``g'(Z)`` is still exact.

The public functions take any real floating array (or what becomes one) of any shape; softmax
takes (n, m) and normalises each column.
"""

from collections.abc import Callable
from math import pi, sqrt
from typing import Any, NamedTuple

import numpy as np

from backlit._checks import (
    Array,
    array_namespace,
    as_arrays,
    check_finite,
    check_matrix,
    check_shape,
)
from backlit.names import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE, activation_name


class Activation(NamedTuple):
    """An activation and its backward, as plain functions that trust their arguments."""

    forward: Callable[[Array], Array]
    backward: Callable[[Array, Array], Array]


# ------------------------------------------------------------------------------ the mathematics
# forward was A = g(Z), so now dZ = dA * g'(Z)


def _identity(Z: Array) -> Array:
    return +Z


def _identity_backward(dA: Array, Z: Array) -> Array:
    return +dA


def _sigmoid(Z: Array) -> Array:
    # exp(-|Z|) cannot overflow; for Z < 0, 1 / (1 + exp(-Z)) = exp(Z) / (1 + exp(Z))
    xp = array_namespace(Z)
    e = xp.exp(-xp.abs(Z))
    return xp.where(Z >= 0, xp.ones_like(e), e) / (1 + e)


def _sigmoid_backward(dA: Array, Z: Array) -> Array:
    # sigmoid'(Z) = sigmoid(Z) sigmoid(-Z) = e / (1 + e)^2 with e = exp(-|Z|)
    xp = array_namespace(Z)
    e = xp.exp(-xp.abs(Z))
    return dA * (e / ((1 + e) * (1 + e)))


def _tanh(Z: Array) -> Array:
    return array_namespace(Z).tanh(Z)


def _tanh_backward(dA: Array, Z: Array) -> Array:
    # tanh'(Z) = 1 - tanh(Z)^2 = 4 e / (1 + e)^2 with e = exp(-2 |Z|), without the cancellation
    xp = array_namespace(Z)
    e = xp.exp(-2 * xp.abs(Z))
    return dA * (4 * e / ((1 + e) * (1 + e)))


def _relu(Z: Array) -> Array:
    xp = array_namespace(Z)
    return xp.where(Z > 0, Z, xp.zeros_like(Z))


def _relu_backward(dA: Array, Z: Array) -> Array:
    # relu'(0) = 0: any value in [0, 1] is a subgradient there, and this one is everybody's
    xp = array_namespace(Z)
    return xp.where(Z > 0, dA, xp.zeros_like(dA))


def _leaky_relu(Z: Array) -> Array:
    return array_namespace(Z).where(Z > 0, Z, LEAKY_SLOPE * Z)


def _leaky_relu_backward(dA: Array, Z: Array) -> Array:
    return array_namespace(Z).where(Z > 0, dA, LEAKY_SLOPE * dA)


def _below_zero(Z: Array) -> Array:
    """Return min(Z, 0), so that an exponential taken of it cannot overflow."""
    xp = array_namespace(Z)
    return xp.where(Z > 0, xp.zeros_like(Z), Z)


def _elu(Z: Array) -> Array:
    xp = array_namespace(Z)
    return xp.where(Z > 0, Z, xp.expm1(_below_zero(Z)))


def _elu_backward(dA: Array, Z: Array) -> Array:
    # elu'(Z) = exp(Z) for Z <= 0, and exp(0) = 1 above
    return dA * array_namespace(Z).exp(_below_zero(Z))


def _selu(Z: Array) -> Array:
    xp = array_namespace(Z)
    return SELU_SCALE * xp.where(Z > 0, Z, SELU_ALPHA * xp.expm1(_below_zero(Z)))


def _selu_backward(dA: Array, Z: Array) -> Array:
    xp = array_namespace(Z)
    return dA * (SELU_SCALE * xp.where(Z > 0, xp.ones_like(Z), SELU_ALPHA * xp.exp(_below_zero(Z))))


def _erfc(Z: Array) -> Array:
    """Return the complementary error function, which the array API standard does not have."""
    if isinstance(Z, (np.ndarray, np.generic)):
        from scipy.special import erfc

        # SciPy's knows float32 and float64
        return erfc(Z) if Z.dtype.itemsize in (4, 8) else erfc(Z.astype(np.float64)).astype(Z.dtype)
    library = type(Z).__module__.partition(".")[0]
    if library == "torch":
        import torch  # type: ignore[import-not-found, unused-ignore]

        return torch.special.erfc(Z)
    if library.startswith("jax"):
        from jax.scipy.special import erfc  # type: ignore[import-not-found, unused-ignore]

        return erfc(Z)
    if library == "cupy":
        from cupyx.scipy.special import (  # type: ignore[import-not-found, unused-ignore]
            erfc,
        )

        return erfc(Z)
    from scipy.special import erfc

    return array_namespace(Z).asarray(erfc(np.asarray(Z)), dtype=Z.dtype)


def _normal_cdf(Z: Array) -> Array:
    # Phi(Z) = erfc(-Z / sqrt 2) / 2 keeps its digits far below zero, where (1 + erf) / 2 has none
    return _erfc(Z * (-1 / sqrt(2))) * 0.5


def _gelu(Z: Array) -> Array:
    return Z * _normal_cdf(Z)


def _gelu_backward(dA: Array, Z: Array) -> Array:
    # gelu'(Z) = Phi(Z) + Z phi(Z); phi(40) is 0 already, and the square of a larger Z may overflow
    xp = array_namespace(Z)
    near = xp.clip(Z, -40.0, 40.0)
    density = xp.exp(-0.5 * near * near) * (1 / sqrt(2 * pi))
    return dA * (_normal_cdf(Z) + Z * density)


def _silu(Z: Array) -> Array:
    return Z * _sigmoid(Z)


def _silu_backward(dA: Array, Z: Array) -> Array:
    # silu'(Z) = s(Z) + Z s(Z) s(-Z)
    return dA * (_sigmoid(Z) * (1 + Z * _sigmoid(-Z)))


def _softplus(Z: Array) -> Array:
    # log(1 + exp(Z)) = max(Z, 0) + log(1 + exp(-|Z|))
    xp = array_namespace(Z)
    return _relu(Z) + xp.log1p(xp.exp(-xp.abs(Z)))


def _softplus_backward(dA: Array, Z: Array) -> Array:
    return dA * _sigmoid(Z)


def _softmax(Z: Array) -> Array:
    xp = array_namespace(Z)
    e = xp.exp(Z - xp.max(Z, axis=0, keepdims=True))
    return e / xp.sum(e, axis=0, keepdims=True)


def _softmax_backward(dA: Array, Z: Array) -> Array:
    # dA_i/dZ_j = A_i (delta_ij - A_j), so dZ = A * (dA - sum_i dA_i A_i)
    xp = array_namespace(Z)
    A = _softmax(Z)
    return A * (dA - xp.sum(dA * A, axis=0, keepdims=True))


def _exp(Z: Array) -> Array:
    return array_namespace(Z).exp(Z)


def _exp_backward(dA: Array, Z: Array) -> Array:
    return dA * array_namespace(Z).exp(Z)


#: name -> forward and backward, trusted; the names are those of `backlit.names.ACTIVATIONS`
FUNCTIONS: dict[str, Activation] = {
    "identity": Activation(_identity, _identity_backward),
    "sigmoid": Activation(_sigmoid, _sigmoid_backward),
    "tanh": Activation(_tanh, _tanh_backward),
    "relu": Activation(_relu, _relu_backward),
    "leaky_relu": Activation(_leaky_relu, _leaky_relu_backward),
    "elu": Activation(_elu, _elu_backward),
    "selu": Activation(_selu, _selu_backward),
    "gelu": Activation(_gelu, _gelu_backward),
    "silu": Activation(_silu, _silu_backward),
    "softplus": Activation(_softplus, _softplus_backward),
    "softmax": Activation(_softmax, _softmax_backward),
    "exp": Activation(_exp, _exp_backward),
}

# --------------------------------------------------------------------------- the public functions


def activation_forward(Z: Any, activation: str) -> tuple[Array, Array]:
    """Apply an activation by its name.

    Parameters
    ----------
    Z : array, any shape; (n, m) for softmax
        Pre-activations.
    activation : str
        A name of `backlit.names.ACTIVATIONS`, or one of its aliases.

    Returns
    -------
    A : array, shape of `Z`
        ``g(Z)``.
    cache : array
        `Z`.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    DTypeError, NonFiniteError, ShapeError
        If `Z` is not a real, finite array, or no matrix where softmax needs one.
    """
    return _apply("activation_forward", Z, activation)


def activation_backward(dA: Any, cache: Any, activation: str) -> Array:
    """Take the gradient back through an activation by its name.

    Parameters
    ----------
    dA : array, shape of the cache
        Gradient of the cost with respect to `A`.
    cache : array
        `Z`, as `activation_forward` returned it.
    activation : str
        A name of `backlit.names.ACTIVATIONS`, or one of its aliases.

    Returns
    -------
    array, shape of the cache
        ``dZ = dA * g'(Z)``; for softmax, whose units depend on each other, the product with its
        Jacobian, ``A * (dA - sum(dA * A))``.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    DTypeError, NonFiniteError, ShapeError
        If the arrays are not real and finite, or differ in shape.
    """
    return _apply_backward("activation_backward", dA, cache, activation)


def _apply(function: str, Z: Any, activation: str) -> tuple[Array, Array]:
    name = activation_name(function, activation)
    (Z,) = as_arrays(function, Z=Z)
    if name == "softmax":
        check_matrix(function, "Z", Z, "(n, m)")
    check_finite(function, Z=Z)
    return FUNCTIONS[name].forward(Z), Z


def _apply_backward(function: str, dA: Any, cache: Any, activation: str) -> Array:
    name = activation_name(function, activation)
    dA, Z = as_arrays(function, dA=dA, cache=cache)
    if name == "softmax":
        check_matrix(function, "cache", Z, "(n, m)")
    check_shape(function, "dA", dA, tuple(Z.shape), "the cache Z has that shape")
    check_finite(function, dA=dA, cache=Z)
    return FUNCTIONS[name].backward(dA, Z)


def sigmoid(Z: Any) -> tuple[Array, Array]:
    """Compute the logistic sigmoid, ``A = 1 / (1 + exp(-Z))``, without overflow at any `Z`.

    Parameters
    ----------
    Z : array, any shape
        Pre-activations.

    Returns
    -------
    A : array, shape of `Z`
        Numbers in [0, 1].
    cache : array
        `Z`.

    Raises
    ------
    DTypeError, NonFiniteError
        If `Z` is not a real, finite array.
    """
    return _apply("sigmoid", Z, "sigmoid")


def sigmoid_backward(dA: Any, cache: Any) -> Array:
    """Take the gradient back through the sigmoid.

    Forward was ``A = sigmoid(Z)``, so now ``dZ = dA * sigmoid(Z) * sigmoid(-Z)``.

    Parameters
    ----------
    dA : array, shape of the cache
        Gradient of the cost with respect to `A`.
    cache : array
        `Z`, as `sigmoid` returned it.

    Returns
    -------
    array, shape of the cache
        ``dZ``.

    Raises
    ------
    DTypeError, NonFiniteError, ShapeError
        If the arrays are not real and finite, or differ in shape.
    """
    return _apply_backward("sigmoid_backward", dA, cache, "sigmoid")


def relu(Z: Any) -> tuple[Array, Array]:
    """Compute the rectified linear unit, ``A = max(0, Z)``.

    Parameters
    ----------
    Z : array, any shape
        Pre-activations.

    Returns
    -------
    A : array, shape of `Z`
        Numbers of at least 0.
    cache : array
        `Z`.

    Raises
    ------
    DTypeError, NonFiniteError
        If `Z` is not a real, finite array.
    """
    return _apply("relu", Z, "relu")


def relu_backward(dA: Any, cache: Any) -> Array:
    """Take the gradient back through the rectified linear unit.

    Forward was ``A = max(0, Z)``, so now ``dZ = dA`` where ``Z > 0``, and 0 elsewhere, at 0 too.

    Parameters
    ----------
    dA : array, shape of the cache
        Gradient of the cost with respect to `A`.
    cache : array
        `Z`, as `relu` returned it.

    Returns
    -------
    array, shape of the cache
        ``dZ``, a new array.

    Raises
    ------
    DTypeError, NonFiniteError, ShapeError
        If the arrays are not real and finite, or differ in shape.
    """
    return _apply_backward("relu_backward", dA, cache, "relu")
