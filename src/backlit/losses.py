"""Costs from logits, each beside its gradient with respect to the logits.

A loss is a function of the logits ``Z_L`` and the labels, summed over outputs, so it gives one
number for each example; the cost is their mean, weighted if examples are. Its gradient ``dZ_L``
carries no 1/m: column i is the gradient of example i's own loss.

Working from the logits, not from probabilities, both stay finite and agree with each other at any
logit: there is no logarithm of a rounded zero, and nothing to clip.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backlit._checks import (
    Array,
    array_namespace,
    as_arrays,
    check_finite,
    check_matrix,
    labels_like,
    loss_parameter,
    weights_for,
)
from backlit.activations import FUNCTIONS
from backlit.errors import NonFiniteError, SettingError
from backlit.names import loss_name


class Loss(NamedTuple):
    """A loss and its gradient, as plain functions that trust their arguments.

    Both take ``(Z_L, Y, parameter)``; the parameter is Huber's delta or the quantile, and nothing
    to the others. `value` has shape (n_L, m), `gradient` too.
    """

    value: Callable[[Array, Array, float], Array]
    gradient: Callable[[Array, Array, float], Array]


def _sum_units(array: Array) -> Array:
    return array_namespace(array).sum(array, axis=0, keepdims=True)


def _binary_cross_entropy(ZL: Array, Y: Array, _: float) -> Array:
    # -Y log s(Z) - (1-Y) log s(-Z) = Y softplus(-Z) + (1-Y) softplus(Z)
    softplus = FUNCTIONS["softplus"].forward
    return Y * softplus(-ZL) + (1 - Y) * softplus(ZL)


def _binary_cross_entropy_gradient(ZL: Array, Y: Array, _: float) -> Array:
    # dZ = s(Z) - Y = (1-Y) s(Z) - Y s(-Z), the second form without the cancellation
    sigmoid = FUNCTIONS["sigmoid"].forward
    return (1 - Y) * sigmoid(ZL) - Y * sigmoid(-ZL)


def _cross_entropy(ZL: Array, Y: Array, _: float) -> Array:
    # -Y log softmax(Z) = Y (logsumexp(Z) - Z) = Y ((Z_top - Z) + log(1 + sum of exp(Z_i - Z_top)
    # over the others)): no digit is lost to the size of the logits, nor to the 1 of the top class
    xp = array_namespace(ZL)
    top = xp.max(ZL, axis=0, keepdims=True)
    units = xp.reshape(xp.arange(ZL.shape[0]), (-1, 1))
    is_top = units == xp.expand_dims(xp.argmax(ZL, axis=0), axis=0)
    e = xp.exp(ZL - top)
    others = _sum_units(xp.where(is_top, xp.zeros_like(e), e))
    return Y * ((top - ZL) + xp.log1p(others))


def _cross_entropy_gradient(ZL: Array, Y: Array, _: float) -> Array:
    # dZ_j = A_j sum_i Y_i - Y_j = sum over i != j of (A_j Y_i - A_i Y_j), for sum_i A_i = 1.
    # For class probabilities the bracket is A_j (S - Y_j) - Y_j (1 - A_j), and 1 - A_j is summed
    # from the other classes, so that a confident network's small gradients keep their digits.
    xp = array_namespace(ZL)
    e = xp.exp(ZL - xp.max(ZL, axis=0, keepdims=True))
    total = _sum_units(e)
    others = _sum_of_others(e)
    return (e * _sum_of_others(Y) - Y * others) / total


def _sum_of_others(array: Array) -> Array:
    """For each unit the sum over all other units, from the two running sums beside it."""
    xp = array_namespace(array)
    if array.shape[0] == 1:
        return xp.zeros_like(array)
    # NumPy has the standard's name from 2.1 on
    running_sum = xp.cumulative_sum if hasattr(xp, "cumulative_sum") else xp.cumsum
    zero = xp.zeros_like(array[:1, :])
    before = xp.concat([zero, running_sum(array, axis=0)[:-1, :]], axis=0)
    reverse = xp.flip(array, axis=0)
    after = xp.concat([zero, running_sum(reverse, axis=0)[:-1, :]], axis=0)
    return before + xp.flip(after, axis=0)


def _squared(ZL: Array, Y: Array, _: float) -> Array:
    return 0.5 * (ZL - Y) * (ZL - Y)


def _squared_gradient(ZL: Array, Y: Array, _: float) -> Array:
    return ZL - Y


def _absolute(ZL: Array, Y: Array, _: float) -> Array:
    return array_namespace(ZL).abs(ZL - Y)


def _absolute_gradient(ZL: Array, Y: Array, _: float) -> Array:
    # 0 where they meet: any value in [-1, 1] is a subgradient there
    return array_namespace(ZL).sign(ZL - Y)


def _huber(ZL: Array, Y: Array, delta: float) -> Array:
    # Huber (1964): r^2 / 2 where |r| <= delta, delta (|r| - delta / 2) beyond
    xp = array_namespace(ZL)
    distance = xp.abs(ZL - Y)
    inside = xp.where(distance < delta, distance, xp.full_like(distance, delta))
    return inside * (distance - 0.5 * inside)


def _huber_gradient(ZL: Array, Y: Array, delta: float) -> Array:
    xp = array_namespace(ZL)
    residual = ZL - Y
    return xp.where(xp.abs(residual) < delta, residual, delta * xp.sign(residual))


def _quantile(ZL: Array, Y: Array, quantile: float) -> Array:
    # Koenker and Bassett (1978): q (Y - Z) where Y > Z, (1 - q) (Z - Y) where Y < Z
    xp = array_namespace(ZL)
    residual = Y - ZL
    return residual * xp.where(
        residual > 0, xp.full_like(ZL, quantile), xp.full_like(ZL, quantile - 1)
    )


def _quantile_gradient(ZL: Array, Y: Array, quantile: float) -> Array:
    xp = array_namespace(ZL)
    above = xp.where(ZL > Y, xp.full_like(ZL, 1 - quantile), xp.zeros_like(ZL))
    return xp.where(Y > ZL, xp.full_like(ZL, -quantile), above)


def _poisson(ZL: Array, Y: Array, _: float) -> Array:
    # half the Poisson deviance of the rate exp(Z): exp(Z) - Y Z + (Y log Y - Y), 0 log 0 = 0
    xp = array_namespace(ZL)
    one = xp.ones_like(Y)
    constant = xp.where(Y > 0, Y * xp.log(xp.where(Y > 0, Y, one)) - Y, xp.zeros_like(Y))
    return xp.exp(ZL) - Y * ZL + constant


def _poisson_gradient(ZL: Array, Y: Array, _: float) -> Array:
    return array_namespace(ZL).exp(ZL) - Y


#: name -> value and gradient, trusted; the names are those of `backlit.names.LOSSES`
FUNCTIONS_OF_LOGITS: dict[str, Loss] = {
    "binary_cross_entropy": Loss(_binary_cross_entropy, _binary_cross_entropy_gradient),
    "cross_entropy": Loss(_cross_entropy, _cross_entropy_gradient),
    "squared": Loss(_squared, _squared_gradient),
    "absolute": Loss(_absolute, _absolute_gradient),
    "huber": Loss(_huber, _huber_gradient),
    "quantile": Loss(_quantile, _quantile_gradient),
    "poisson": Loss(_poisson, _poisson_gradient),
}


def loss_from_logits(ZL: Any, Y: Any, loss: str, *, parameter: float | None = None) -> Array:
    """Compute each example's loss from the logits.

    Parameters
    ----------
    ZL : array, shape (n_L, m)
        Logits: the output layer's pre-activations.
    Y : array-like, shape (n_L, m); anything of m numbers where n_L = 1
        Labels: 0/1 or probabilities for the cross-entropies (one-hot columns for softmax), targets
        for the regressions, counts for Poisson. Any finite real number is computed with.
    loss : str
        A name of `backlit.names.LOSSES`.
    parameter : float, optional
        Huber's delta (default 1) or the quantile (default 0.5).

    Returns
    -------
    array, shape (m,)
        Losses, summed over outputs; finite at any logit, as long as the loss itself fits in the
        dtype (Poisson's grows like exp, the squared loss like a square).

    Raises
    ------
    UnknownNameError, SettingError
        If there is no such loss, or its parameter is out of range.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit or are not real and finite.
    """
    name, ZL, Y, parameter = _checked("loss_from_logits", ZL, Y, loss, parameter)
    value = _value("loss_from_logits", name, ZL, Y, parameter)
    return array_namespace(ZL).sum(value, axis=0)


def loss_gradient(ZL: Any, Y: Any, loss: str, *, parameter: float | None = None) -> Array:
    """Compute the gradient of each example's loss with respect to its logits.

    Parameters
    ----------
    ZL : array, shape (n_L, m)
        Logits.
    Y : array-like, shape (n_L, m); anything of m numbers where n_L = 1
        Labels, as in `loss_from_logits`.
    loss : str
        A name of `backlit.names.LOSSES`.
    parameter : float, optional
        Huber's delta (default 1) or the quantile (default 0.5).

    Returns
    -------
    array, shape (n_L, m)
        ``dZ_L``, with no 1/m.

    Raises
    ------
    UnknownNameError, SettingError
        If there is no such loss, or its parameter is out of range.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit or are not real and finite.
    """
    name, ZL, Y, parameter = _checked("loss_gradient", ZL, Y, loss, parameter)
    return FUNCTIONS_OF_LOGITS[name].gradient(ZL, Y, parameter)


def cost_from_logits(
    ZL: Any,
    Y: Any,
    loss: str = "binary_cross_entropy",
    *,
    parameter: float | None = None,
    sample_weight: Any = None,
) -> Array:
    """Compute the cost, the (weighted) mean of the examples' losses, from the logits.

    Parameters
    ----------
    ZL : array, shape (n_L, m)
        Logits.
    Y : array-like, shape (n_L, m); anything of m numbers where n_L = 1
        Labels, as in `loss_from_logits`.
    loss : str, default "binary_cross_entropy"
        A name of `backlit.names.LOSSES`.
    parameter : float, optional
        Huber's delta (default 1) or the quantile (default 0.5).
    sample_weight : array-like, shape (m,), optional
        Weights of the examples, none below zero.

    Returns
    -------
    scalar of `ZL`'s dtype
        ``sum(w * loss) / sum(w)``.

    Raises
    ------
    UnknownNameError, SettingError
        If there is no such loss, or its parameter is out of range.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit or are not real and finite.
    """
    function = "cost_from_logits"
    name, ZL, Y, parameter = _checked(function, ZL, Y, loss, parameter)
    value = _value(function, name, ZL, Y, parameter)
    if sample_weight is not None:
        weights, _ = weights_for(function, sample_weight, ZL)
        value = value * weights
    return array_namespace(ZL).sum(value) / ZL.shape[1]


def _value(function: str, name: str, ZL: Array, Y: Array, parameter: float) -> Array:
    """Return the losses, or raise `NonFiniteError` where one does not fit in the dtype."""
    with np.errstate(over="ignore", invalid="ignore"):
        value = FUNCTIONS_OF_LOGITS[name].value(ZL, Y, parameter)
    if isinstance(value, np.ndarray) and not np.isfinite(value).all():
        raise NonFiniteError(
            f"{function}: the loss {name!r} of logits up to {np.abs(ZL).max():.3g} is too large "
            f"for {value.dtype}, expected one that fits."
        )
    return value


def _checked(
    function: str, ZL: Any, Y: Any, loss: str, parameter: float | None
) -> tuple[str, Array, Array, float]:
    name = loss_name(function, loss)
    (ZL,) = as_arrays(function, ZL=ZL)
    check_matrix(function, "ZL", ZL, "(n_L, m)")
    check_finite(function, ZL=ZL)
    return name, ZL, labels_like(function, Y, ZL, "ZL"), loss_parameter(function, name, parameter)


def compute_cost(AL: Any, Y: Any) -> float:
    """Compute the binary cross-entropy of probabilities.

    ``cost = -sum(Y log AL + (1 - Y) log(1 - AL)) / m``, summed over outputs, mean over examples,
    with 0 log 0 = 0. It is infinite where `AL` denies `Y` outright (0 for a 1, or 1 for a 0):
    `cost_from_logits` stays finite there.

    Parameters
    ----------
    AL : array, shape (n_L, m)
        Probabilities in [0, 1]. A one-dimensional array counts as one output.
    Y : array-like, shape (n_L, m); anything of m numbers where n_L = 1
        Labels: any finite real numbers.

    Returns
    -------
    float
        The cost.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit, or are not real and finite.
    SettingError
        If `AL` leaves [0, 1].
    """
    (AL,) = as_arrays("compute_cost", AL=AL)
    xp = array_namespace(AL)
    if AL.ndim == 1:
        AL = xp.reshape(AL, (1, AL.shape[0]))
    check_matrix("compute_cost", "AL", AL, "(n_L, m)")
    check_finite("compute_cost", AL=AL)
    Y = labels_like("compute_cost", Y, AL)
    if xp is np and (AL.min() < 0 or AL.max() > 1):
        raise SettingError(
            f"compute_cost: AL ranges from {AL.min()} to {AL.max()}, expected probabilities "
            "in [0, 1]; from logits, use backlit.losses.cost_from_logits."
        )
    one = xp.ones_like(AL)
    log_AL = xp.where(AL > 0, xp.log(xp.where(AL > 0, AL, one)), -xp.inf * one)
    log_not = xp.where(AL < 1, xp.log1p(-xp.where(AL < 1, AL, 0 * one)), -xp.inf * one)
    # 0 - x, for -x would give a perfect prediction the cost -0.0
    return float(0.0 - xp.sum(_times(Y, log_AL) + _times(1 - Y, log_not)) / AL.shape[1])


def _times(factor: Array, logarithm: Array) -> Array:
    """Return factor * logarithm, where 0 times anything is 0."""
    xp = array_namespace(factor)
    return factor * xp.where(factor == 0, xp.zeros_like(logarithm), logarithm)
