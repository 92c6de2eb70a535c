"""What is measured of a layer: norms, dead units, saturated activations, the size of gradients."""

from math import atanh, isfinite, log, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._checks import Array
from backlit.activations import FUNCTIONS

#: |Z| from which on an activation lies within 1 % of a bound: there hardly any gradient passes
_SATURATED: dict[str, float] = {"sigmoid": log(99.0), "tanh": atanh(0.99)}
#: activations that flatten out on one side only: a unit that is there for every example is dead
_ONE_SIDED = frozenset({"elu", "selu", "gelu", "silu", "softplus"})
#: activations whose units can die
ACTIVATIONS_THAT_DIE = _ONE_SIDED | {"relu"}
#: a slope below which such a unit counts as flat
_FLAT = 0.01


class LayerMeasures(NamedTuple):
    """The numbers of a layer that a table shows.

    Attributes
    ----------
    layer, activation : int, str
        Its number, from 1, and its activation.
    units, inputs : int
        n_l and n_{l-1}.
    weight_norm, bias_norm, dW_norm, db_norm : float
        Frobenius norms of W, b, dW and db.
    A_rms : float
        Root of the mean square of its activations.
    gradient : float
        Size of an example's gradient here: the root of the mean, over the examples, of
        ``||dZ_i||^2``.
    flow : float or None
        `gradient`, relative to that of the layer above; None at the output.
    dead_units : int or None
        Units through which no gradient passes for any example; None at the output. For relu their
        Z is nowhere above 0; for elu, selu, gelu, silu and softplus the slope is everywhere below
        0.01.
    saturated : float or None
        Share of the activations of sigmoid or tanh that lie within 1 % of a bound; None at the
        output, and for other activations.
    update_ratio : float or None
        ``learning_rate * dW_norm / weight_norm``, the relative change of W in one step of gradient
        descent; None without a learning rate, or where all weights are 0.
    """

    layer: int
    activation: str
    units: int
    inputs: int
    weight_norm: float
    bias_norm: float
    dW_norm: float
    db_norm: float
    A_rms: float
    gradient: float
    flow: float | None
    dead_units: int | None
    saturated: float | None
    update_ratio: float | None

    @property
    def dead(self) -> float | None:
        """The share of the units that are dead; None at the output."""
        return None if self.dead_units is None else self.dead_units / self.units


def as_numbers(array: Array) -> NDArray[Any]:
    """Return any library's array as NumPy's."""
    if hasattr(array, "detach"):  # a tensor that may carry a graph
        array = array.detach()
    return np.asarray(array)


def norm(array: NDArray[Any]) -> float:
    """Return the Frobenius norm, in double precision and without overflow."""
    flat = array.astype(np.float64, copy=False).ravel()
    with np.errstate(over="ignore", under="ignore"):
        square = float(np.square(flat).sum())  # a dot product would wake BLAS's threads
    if isfinite(square) and square > 1e-280:
        return sqrt(square)
    top = float(np.abs(flat).max(initial=0.0))
    if top == 0.0 or not isfinite(top):
        return top
    return top * sqrt(float(np.square(flat / top).sum()))


def dead_units(activation: str, Z: NDArray[Any]) -> int:
    """Count the units of shape (n_l, m) pre-activations that pass no gradient for any example."""
    if activation == "relu":
        return int(np.count_nonzero(Z.max(axis=1) <= 0))
    if activation in _ONE_SIDED:
        slopes = np.abs(FUNCTIONS[activation].backward(np.ones_like(Z), Z))
        return int(np.count_nonzero(slopes.max(axis=1) < _FLAT))
    return 0


def saturated_share(activation: str, Z: NDArray[Any]) -> float | None:
    """Return the share of a sigmoid's or tanh's activations within 1 % of a bound, else None."""
    bound = _SATURATED.get(activation)
    return None if bound is None else float(np.count_nonzero(np.abs(Z) > bound) / Z.size)


def measure(
    layer: int,
    activation: str,
    arrays: dict[str, NDArray[Any]],
    *,
    above: float | None,
    learning_rate: float | None,
) -> LayerMeasures:
    """Measure a layer.

    Parameters
    ----------
    layer : int
        Its number.
    activation : str
        Its activation.
    arrays : dict
        ``W, b, Z, A, dZ, dW, db``.
    above : float or None
        `gradient` of the layer above; None at the output.
    learning_rate : float or None
        Length of a step.

    Returns
    -------
    LayerMeasures
    """
    W, Z, dZ = arrays["W"], arrays["Z"], arrays["dZ"]
    weight_norm, dW_norm = norm(W), norm(arrays["dW"])
    gradient = norm(dZ) / sqrt(dZ.shape[1])
    flow = None if not above else gradient / above
    ratio = None
    if learning_rate is not None and weight_norm > 0:
        ratio = learning_rate * dW_norm / weight_norm
    return LayerMeasures(
        layer,
        activation,
        W.shape[0],
        W.shape[1],
        weight_norm,
        norm(arrays["b"]),
        dW_norm,
        norm(arrays["db"]),
        norm(arrays["A"]) / sqrt(Z.size),
        gradient,
        flow,
        dead_units(activation, Z) if above is not None else None,
        saturated_share(activation, Z) if above is not None else None,
        ratio,
    )
