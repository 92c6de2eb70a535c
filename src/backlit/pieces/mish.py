"""Mish, ``A = Z tanh(softplus(Z))`` (Misra 2019), beside its backward."""

from typing import Any

from backlit._checks import Array, array_namespace, as_arrays, check_finite, check_shape


# With e = exp(-|Z|), which cannot overflow, and n = exp(Z):
#   T  = tanh(log(1 + n)) = n (n + 2) / (n (n + 2) + 2)
#   T' = 4 n (n + 1) / (n (n + 2) + 2)^2
# for Z < 0 as they stand with n = e, for Z >= 0 with n = 1 / e, multiplied out.
def _terms(Z: Array) -> tuple[Array, Array]:
    """Return T and T' of arrays that are checked."""
    xp = array_namespace(Z)
    e = xp.exp(-xp.abs(Z))
    above, below = 1 + 2 * e, e * (e + 2)
    right, left = above + 2 * e * e, below + 2
    T = xp.where(Z >= 0, above / right, below / left)
    slope = xp.where(Z >= 0, e * e * (1 + e) / (right * right), e * (e + 1) / (left * left))
    return T, 4 * slope


def mish_values(Z: Array) -> Array:
    """Return A of an array that is checked."""
    return Z * _terms(Z)[0]


# forward was A = Z T(Z), so now dZ = dA (T + Z T')
def mish_gradients(dA: Array, Z: Array) -> Array:
    """Return dZ of arrays that are checked."""
    T, slope = _terms(Z)
    return dA * (T + Z * slope)


def mish(Z: Any) -> tuple[Array, Array]:
    """Compute ``A = Z tanh(log(1 + exp(Z)))``.

    Parameters
    ----------
    Z : array, any shape
        Pre-activations.

    Returns
    -------
    A : array, same shape
        Activations.
    cache : array
        `Z`.

    Raises
    ------
    DTypeError, NonFiniteError
        If `Z` is not real and finite.
    """
    (Z,) = as_arrays("mish", Z=Z)
    check_finite("mish", Z=Z)
    return mish_values(Z), Z


def mish_backward(dA: Any, cache: Any) -> Array:
    """Take the gradient back through mish.

    Forward was ``A = Z T`` with ``T = tanh(log(1 + exp(Z)))``, so now ``dZ = dA (T + Z T')``.

    Parameters
    ----------
    dA : array
        Gradient with respect to `A`, with no 1/m.
    cache : array, same shape
        `Z`, as `mish` returned it.

    Returns
    -------
    array, same shape
        Gradient with respect to `Z`, with no 1/m.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    dA, Z = as_arrays("mish_backward", dA=dA, cache=cache)
    check_shape("mish_backward", "dA", dA, tuple(Z.shape), "Z has that shape")
    check_finite("mish_backward", dA=dA, Z=Z)
    return mish_gradients(dA, Z)
