r"""How far a network in whole numbers can be off: values and errors as sums over shared symbols.

Over the box of its inputs, every value of the exact network is within
:math:`c + G \varepsilon` for some :math:`\varepsilon \in [-1, 1]^p`, and its error in whole numbers
within :math:`d + H \varepsilon` of the same symbols (a zonotope). What the rounding of a weight
does is known, and so it does not count at its worst for every unit by itself: with
:math:`\hat W` the rounded weights,

.. math:: \hat Z - Z = \hat W (\hat A - A) + (\hat W - W)(A - a) + \text{roundings},

where a is the centre whose error went into the bias, takes :math:`d` and :math:`H` through
:math:`\hat W`, and :math:`c` and :math:`G` through :math:`\hat W - W`, signs included. An
activation is a chord with a remainder, of which each unit's becomes a symbol of its own; its slope
is bounded over the unit's own range.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from backlit.activations import FUNCTIONS
from backlit.formats.export.description import Dense, Floats
from backlit.formats.export.ranges import (
    SLOPES,
    Interval,
    activation_interval,
    pre_activations,
)
from backlit.formats.export.reference import activated
from backlit.names import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from backlit.pieces.mish import mish_gradients

#: the largest second derivative of each activation that is a table; `exp` uses its range
CURVATURE = {
    "sigmoid": 0.0963,  # 1 / (6 sqrt 3)
    "tanh": 0.7699,  # 4 / (3 sqrt 3)
    "elu": 1.0,
    "selu": SELU_SCALE * SELU_ALPHA,
    "gelu": 0.7979,  # 2 phi(0)
    "silu": 0.5,
    "mish": 0.6443,  # at z = -0.0879
    "softplus": 0.25,
}

#: points of a unit's range at which its activation and slope are computed
_GRID = 129

#: outputs of which every pair is compared
_MOST_PAIRS = 64


@dataclass(frozen=True)
class Signal:
    """Values of a layer, and their errors in whole numbers.

    Attributes
    ----------
    c, d : ndarray, shape (n,)
    G, H : ndarray, shape (n, p)
        Values are ``c + G @ e``, errors ``d + H @ e``, with every e in [-1, 1].
    box : Interval
        Where the values are, by what else is known of them.
    """

    c: Floats
    G: Floats
    d: Floats
    H: Floats
    box: Interval

    @classmethod
    def of_inputs(cls, box: Interval, error: Floats) -> Self:
        """Return that of inputs anywhere in a box, each up to its error off."""
        middle, half = (box.low + box.high) / 2, (box.high - box.low) / 2
        n = len(middle)
        nothing = np.zeros((n, n))
        return cls(
            middle,
            np.hstack([np.diag(half), nothing]),
            np.zeros(n),
            np.hstack([nothing, np.diag(error)]),
            box,
        )

    @property
    def values(self) -> Interval:
        """Where each value is."""
        reach = np.abs(self.G).sum(axis=1)
        return Interval(
            np.maximum(self.c - reach, self.box.low), np.minimum(self.c + reach, self.box.high)
        )

    @property
    def errors(self) -> Floats:
        """How far off each value can be."""
        found: Floats = np.abs(self.d) + np.abs(self.H).sum(axis=1)
        return found

    def through(self, layer: Dense, rounded: Floats, centre: Floats, bias_error: Floats) -> Self:
        """Return that of ``Z = W @ A_prev + b`` with rounded weights.

        Parameters
        ----------
        layer : Dense
        rounded : ndarray, shape (n_l, n_{l-1})
            Its weights as they are in whole numbers.
        centre : ndarray, shape (n_{l-1},)
            The inputs at which the weights' error is taken back in the bias.
        bias_error : ndarray, shape (n_l,)
            What is left of the bias's own.
        """
        W, change = layer.W, rounded - layer.W
        return replace(
            self,
            c=W @ self.c + layer.b,
            G=W @ self.G,
            d=rounded @ self.d + change @ (self.c - centre) + bias_error,
            H=rounded @ self.H + change @ self.G,
            box=pre_activations(layer, self.values),
        )

    def widened(self, value: Floats, error: Floats) -> Self:
        """Return one whose values and errors may be further away, each unit by itself."""
        nothing = np.zeros((len(value), len(value)))
        return replace(
            self,
            G=np.hstack([self.G, np.diag(value), nothing]),
            H=np.hstack([self.H, nothing, np.diag(error)]),
        )

    def within(self, low: Floats, high: Floats) -> Self:
        """Return one of which it is known that the values are in an interval."""
        return replace(
            self, box=Interval(np.maximum(self.box.low, low), np.minimum(self.box.high, high))
        )


def activate(Z: Signal, layer: Dense, rounding: Floats) -> Signal:
    """Take a signal through an activation of each unit.

    Parameters
    ----------
    Z : Signal
    layer : Dense
        Its activation, and each unit's share of it.
    rounding : ndarray, shape (n,)
        How far off the activation in whole numbers is from g of the same Z.
    """
    low, high = Z.values
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 0.0)
    # the chord from one end to the other, and how far g leaves it on a grid and between
    t = np.linspace(-1, 1, _GRID)[:, None]
    A = activated(layer.activation, middle + half * t, layer.s)
    chord = np.where(half > 0, (A[-1] - A[0]) / np.where(half > 0, 2 * half, 1.0), 0.0)
    rest = A - chord * half * t
    least, most = slopes(layer, Interval(low, high))
    slack = np.maximum(np.abs(least - chord), np.abs(most - chord)) * half / (_GRID - 1)
    upper, lower = rest.max(axis=0) + slack, rest.min(axis=0) - slack
    # the slope between the exact Z and the one in whole numbers
    e = Z.errors
    least, most = slopes(layer, Interval(low - e, high + e))
    slope = (least + most) / 2
    made = replace(
        Z,
        c=chord * (Z.c - middle) + (upper + lower) / 2,
        G=chord[:, None] * Z.G,
        d=slope * Z.d,
        H=slope[:, None] * Z.H,
        box=activation_interval(layer.activation, Interval(low, high), layer.s),
    )
    return made.widened((upper - lower) / 2, (most - least) / 2 * e + rounding)


def softmax_errors(Z: Signal) -> Floats:
    """Bound the error of softmax from that of Z.

    ``A_j = 1 / (1 + sum_k exp(Z_k - Z_j))``: if no difference is off by more than e, the odds are
    off by a factor of ``exp(e)`` at most, and A_j by ``tanh(e / 4)``.
    """
    n = len(Z.d)
    if n > _MOST_PAIRS:
        apart = Z.errors + Z.errors.max()
    else:
        apart = np.zeros(n)
        for j in range(n):
            d, H = Z.d - Z.d[j], Z.H - Z.H[j]
            apart[j] = (np.abs(d) + np.abs(H).sum(axis=1)).max()
    found: Floats = np.tanh(apart / 4)
    return found


def sigmoid_errors(Z: Signal) -> Floats:
    """Bound the error of the sigmoid from that of Z: e moves it by ``tanh(e / 4)`` at most."""
    found: Floats = np.tanh(Z.errors / 4)
    return found


def slopes(layer: Dense, Z: Interval) -> Interval:
    """Return the least and the greatest slope of a layer's activation over each unit's range."""
    name, s = layer.activation, layer.s
    if name in ("identity", "relu", "leaky_relu"):
        below = {"identity": 1.0, "relu": 0.0, "leaky_relu": LEAKY_SLOPE}[name]
        low, high = np.where(Z.low > 0, 1.0, below), np.where(Z.high > 0, 1.0, below)
    elif name == "exp":
        with np.errstate(over="ignore"):
            low, high = np.exp(Z.low), np.exp(Z.high)
    else:
        points = np.linspace(Z.low, Z.high, _GRID)
        values = _derivative(name, points)
        slack = CURVATURE[name] * (Z.high - Z.low) / (2 * (_GRID - 1))
        low, high = values.min(axis=0) - slack, values.max(axis=0) + slack
        if name == "selu":  # whose slope jumps at 0
            inside = (Z.low <= 0) & (Z.high >= 0)
            low = np.where(inside, np.minimum(low, SELU_SCALE), low)
            high = np.where(inside, np.maximum(high, SELU_SCALE * SELU_ALPHA), high)
        low, high = np.maximum(low, SLOPES[name][0]), np.minimum(high, SLOPES[name][1])
    if s is None:
        return Interval(low, high)
    ends = 1 + s * (low - 1), 1 + s * (high - 1)
    return Interval(np.minimum(*ends), np.maximum(*ends))


def _derivative(name: str, Z: Floats) -> Floats:
    ones = np.ones_like(Z)
    if name == "mish":
        return np.asarray(mish_gradients(ones, Z))
    return np.asarray(FUNCTIONS[name].backward(ones, Z))
