"""A small network with its points, as the page sends it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.app.plane.values import Values
from backlit.errors import SettingError, ShapeError
from backlit.names import ACTIVATIONS
from backlit.parameters import initialize_parameters

Floats = NDArray[np.float64]

HIDDEN = tuple(name for name, entry in ACTIVATIONS.items() if entry.hidden)
"""Activations that the hidden layers can have."""

MOST_LAYERS, MOST_UNITS, MOST_POINTS = 4, 8, 1000
"""Hidden layers, units of each and points: what can still be seen."""

MOST_RATE = 1000.0
"""Largest learning rate that can be set."""


@dataclass(frozen=True)
class PlaneNetwork:
    """A network of two inputs and one sigmoid output, and points to train it on.

    Attributes
    ----------
    parameters : dict of str to ndarray
        ``W1, b1, ..., WL, bL``.
    activation : str
        Of the hidden layers.
    X, Y : ndarray, shapes (2, m) and (1, m)
        Points and labels, 0 or 1.
    learning_rate : float
        Length of a step.
    mean, scale : ndarray, shape (2,)
        ``X`` is ``(what the user gave - mean) / scale``.
    classes : tuple of (str, str)
        Names of labels 0 and 1.
    """

    parameters: dict[str, Floats]
    activation: str
    X: Floats
    Y: Floats
    learning_rate: float
    mean: Floats
    scale: Floats
    classes: tuple[str, str]

    @property
    def n_layers(self) -> int:
        """L."""
        return len(self.parameters) // 2

    @property
    def activations(self) -> tuple[str, ...]:
        """Names, one a layer."""
        return (self.activation,) * (self.n_layers - 1) + ("sigmoid",)

    @property
    def layer_dims(self) -> tuple[int, ...]:
        """``n_0, ..., n_L``."""
        return (2, *(len(self.parameters[f"b{l}"]) for l in range(1, self.n_layers + 1)))

    @classmethod
    def read(cls, values: Values) -> "PlaneNetwork":
        """Check what the page sent.

        Parameters
        ----------
        values : Values
            ``parameters``, ``activation``, ``X``, ``Y``, ``learning_rate``, ``scaling`` and
            ``classes``.

        Raises
        ------
        SettingError, ShapeError
            Where something does not fit.
        """
        activation = _activation(values)
        parameters = _parameters(values.mapping("parameters"))
        X = values.array("X", "(2, m)")
        Y = values.array("Y", "(m,)")
        if X.size == 0:
            raise SettingError("There are no points yet: draw some, or take ready-made ones.")
        if X.ndim != 2 or len(X) != 2 or X.shape[1] > MOST_POINTS:
            raise ShapeError(
                f"X has shape {X.shape}, expected (2, m) with m at most {MOST_POINTS:,}."
            )
        if Y.shape != (X.shape[1],) or not np.isin(Y, (0, 1)).all():
            values.refuse("Y", f"{X.shape[1]} labels, each 0 or 1")
        scaling = values.mapping("scaling")
        mean, scale = scaling.array("mean", "(2,)"), scaling.array("scale", "(2,)")
        if mean.shape != (2,) or scale.shape != (2,) or not (scale > 0).all():
            values.refuse("scaling", "two means and two positive scales")
        classes = values.raw("classes")
        if (
            not isinstance(classes, list)
            or len(classes) != 2
            or not all(isinstance(name, str) and len(name) <= 60 for name in classes)
        ):
            values.refuse("classes", "two names")
        rate = values.number("learning_rate", 0.0, MOST_RATE)
        return cls(parameters, activation, X, Y[None], rate, mean, scale, (classes[0], classes[1]))


def draw_network(values: Values) -> "DrawnNetwork":
    """Draw first weights.

    Parameters
    ----------
    values : Values
        ``hidden``, the units of each hidden layer; ``activation``; ``seed``.

    Returns
    -------
    DrawnNetwork
    """
    hidden = values.raw("hidden")
    if (
        not isinstance(hidden, list)
        or len(hidden) > MOST_LAYERS
        or not all(type(units) is int and 1 <= units <= MOST_UNITS for units in hidden)
    ):
        values.refuse("hidden", f"at most {MOST_LAYERS} layers of 1 to {MOST_UNITS} units")
    activation = _activation(values)
    names = (activation,) * len(hidden) + ("sigmoid",)
    seed = values.integer("seed", 0, 2**32 - 1)
    return DrawnNetwork(initialize_parameters((2, *hidden, 1), seed, activations=names))


@dataclass(frozen=True)
class DrawnNetwork:
    """First weights.

    Attributes
    ----------
    parameters : dict of str to ndarray
        ``W1, b1, ..., WL, bL``.
    """

    parameters: dict[str, Floats]

    def as_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"parameters": as_lists(self.parameters)}


def as_lists(arrays: dict[str, Floats]) -> dict[str, Any]:
    """Return arrays as lists; what is not finite as ``"inf"``, ``"-inf"`` or ``"nan"``."""
    return {name: _as_list(array) for name, array in arrays.items()}


def _as_list(array: Floats) -> Any:
    array = np.asarray(array, dtype=np.float64)
    if np.isfinite(array).all():
        return array.tolist()
    return [
        [value if np.isfinite(value) else str(value) for value in row]
        for row in np.atleast_2d(array).tolist()
    ]


def _activation(values: Values) -> str:
    name = values.text("activation")
    if name not in HIDDEN:
        values.refuse("activation", f"one of {', '.join(HIDDEN)}")
    return name


def _parameters(given: Values) -> dict[str, Floats]:
    last = len(given.names()) // 2
    wanted = [f"{kind}{l}" for l in range(1, last + 1) for kind in "Wb"]
    if sorted(given.names()) != sorted(wanted) or not 1 <= last <= MOST_LAYERS + 1:
        raise SettingError(
            f"parameters are {', '.join(given.names()) or 'none'}, expected W1, b1, ..., WL, bL "
            f"with L from 1 to {MOST_LAYERS + 1}."
        )
    found, before = {}, 2
    for l in range(1, last + 1):
        W, b = given.array(f"W{l}", "(n, n)"), given.array(f"b{l}", "(n, 1)")
        units = len(W) if W.ndim else 0
        if l == last and units != 1:
            raise ShapeError(f"W{l} has shape {W.shape}, expected (1, {before}): one output.")
        if W.shape != (units, before) or not 1 <= units <= MOST_UNITS:
            raise ShapeError(
                f"W{l} has shape {W.shape}, expected (n, {before}) with n from 1 to {MOST_UNITS}."
            )
        if b.shape != (units, 1):
            raise ShapeError(f"b{l} has shape {b.shape}, expected ({units}, 1) as W{l}.")
        found[f"W{l}"], found[f"b{l}"], before = W, b, units
    return found
