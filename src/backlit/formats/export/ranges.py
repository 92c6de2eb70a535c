"""What range every value of a model can reach, if the inputs stay within theirs.

Intervals go through the steps one by one: a step's lowest and highest values follow from those of
the step before. No example within the inputs' ranges can leave them, though few come near.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backlit.errors import ExportError
from backlit.formats.export.description import (
    Activate,
    Bins,
    Clip,
    Concat,
    Dense,
    Description,
    Floats,
    Function,
    Gather,
    Impute,
    Lookup,
    Mean,
    Missing,
    Normalize,
    Numbers,
    Periodic,
    Products,
    Quantiles,
    Scale,
    SmoothClip,
    Step,
    YeoJohnson,
)
from backlit.formats.export.reference import (
    FUNCTIONS_OF_ONE,
    Inputs,
    activated,
    apply,
    periodic,
)
from backlit.names import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE

#: the range of a column of which nothing is known: that of standardised numbers
ASSUMED = (-4.0, 4.0)

#: where the functions that fall before they rise have their least value
_LOWEST = {
    "gelu": -0.7517915246935645,
    "silu": -1.2784645427610738,
    "mish": -1.1924312162449385,
}

#: the least and the greatest slope of each activation; `exp` has none and its interval decides
SLOPES = {
    "identity": (1.0, 1.0),
    "sigmoid": (0.0, 0.25),
    "tanh": (0.0, 1.0),
    "relu": (0.0, 1.0),
    "leaky_relu": (LEAKY_SLOPE, 1.0),
    "elu": (0.0, 1.0),
    "selu": (0.0, SELU_SCALE * SELU_ALPHA),
    "gelu": (-0.1289041452, 1.1289041452),  # Phi(sqrt 2) + sqrt 2 phi(sqrt 2), and 1 - that
    "silu": (-0.0998393202, 1.0998393202),  # at z = 2.3994, where s'(z) (2 + z (1 - 2 s(z))) is 0
    "mish": (-0.1125261225, 1.0884981613),  # at z = -2.2564 and 1.4906
    "softplus": (0.0, 1.0),
}

#: points of an interval at which a function of one number is computed to enclose its values
_GRID = 257


#: no examples: for steps that read none
_NOTHING = Inputs(np.empty((1, 0)), np.empty((1, 0), object))


class Interval(NamedTuple):
    """The least and the greatest that each column of a block can be."""

    low: Floats
    high: Floats

    @property
    def magnitude(self) -> Floats:
        """The largest absolute value of each column."""
        found: Floats = np.maximum(np.abs(self.low), np.abs(self.high))
        return found


@dataclass(frozen=True)
class Ranges:
    """The ranges of a model's columns of numbers, and where they are from.

    Attributes
    ----------
    inputs : Interval
        Of each column of numbers, in the model's order.
    source : str
        A phrase: "those of the 150 examples given".
    """

    inputs: Interval
    source: str


def input_ranges(model: Description, inputs: Inputs | None) -> Ranges:
    """Return the ranges for which error bounds are derived.

    Parameters
    ----------
    model : Description
    inputs : Inputs or None
        Examples such as the model will see; without, what the scalers know of the training data,
        and -4 to 4 for a column of which nothing is known.

    Raises
    ------
    ExportError
        If a column of the examples has no finite value.
    """
    columns = [model.columns[place] for place in model.numbers]
    if inputs is not None:
        low, high = np.empty(len(columns)), np.empty(len(columns))
        for place, column in enumerate(columns):
            values = inputs.numbers[:, place]
            values = values[np.isfinite(values)]
            if not len(values):
                raise ExportError(f"the examples have no finite value in column {column.name!r}.")
            low[place], high[place] = values.min(), values.max()
        return Ranges(Interval(low, high), f"those of the {len(inputs):,} examples given")
    known = [column.low is not None for column in columns]
    ends = [(column.low, column.high) if column.low is not None else ASSUMED for column in columns]
    low = np.array([end[0] for end in ends], np.float64)
    high = np.array([end[1] for end in ends], np.float64)
    source = "assumed, -4 to 4, since nothing is known of the training data"
    if known and all(known):
        source = "those that the scalers know of the training data"
    elif any(known):
        source = (
            "those that the scalers know of the training data, and -4 to 4 where there are none"
        )
    return Ranges(Interval(low, high), source)


def every_interval(model: Description, inputs: Interval) -> dict[str, Interval]:
    """Return the interval of each step's value, by its name."""
    found: dict[str, Interval] = {}
    for step in model.steps:
        found[step.name] = _interval(step, model, inputs, found)
    return found


def _interval(
    step: Step, model: Description, inputs: Interval, before: dict[str, Interval]
) -> Interval:
    if isinstance(step, Numbers):
        places = [model.numbers.index(column) for column in step.columns]
        return Interval(inputs.low[places], inputs.high[places])
    if isinstance(step, Concat):
        parts = [before[source] for source in step.sources]
        return Interval(*(np.concatenate(ends) for ends in zip(*parts, strict=True)))
    if isinstance(step, Lookup):
        return Interval(step.rows.min(axis=0), step.rows.max(axis=0))
    if isinstance(step, Mean):
        means = zip(*(before[source] for source in step.sources), strict=True)
        return Interval(*(np.asarray(np.mean(ends, axis=0)) for ends in means))
    low, high = before[step.source]
    if isinstance(step, Gather):
        return Interval(low[list(step.places)], high[list(step.places)])
    if isinstance(step, Impute):
        return Interval(np.minimum(low, step.fill), np.maximum(high, step.fill))
    if isinstance(step, Missing):
        return Interval(np.zeros_like(low), np.ones_like(low))
    if isinstance(step, Scale):
        ends = (low - step.offset) / step.divisor, (high - step.offset) / step.divisor
        return Interval(np.minimum(*ends), np.maximum(*ends))
    if isinstance(step, Clip):
        return Interval(np.clip(low, step.low, step.high), np.clip(high, step.low, step.high))
    if isinstance(step, Function):
        return _function_interval(step, Interval(low, high))
    if isinstance(step, Products):
        return _products_interval(step, Interval(low, high))
    if isinstance(step, Normalize):
        return Interval(-np.ones_like(low), np.ones_like(low))
    if isinstance(step, (SmoothClip, YeoJohnson, Bins, Quantiles)):  # which rise
        clipped = [apply(step, model, _NOTHING, {step.source: end[None]}) for end in (low, high)]
        return Interval(clipped[0][0], clipped[1][0])
    if isinstance(step, Periodic):
        return _periodic_interval(step, Interval(low, high))
    if isinstance(step, Activate):
        return activation_interval(step.activation, Interval(low, high))
    assert isinstance(step, Dense)
    return activation_interval(step.activation, pre_activations(step, Interval(low, high)), step.s)


def pre_activations(step: Dense, before: Interval) -> Interval:
    """Return the interval of ``Z = W @ A_prev + b``."""
    up, down = np.maximum(step.W, 0), np.minimum(step.W, 0)
    return Interval(
        up @ before.low + down @ before.high + step.b, up @ before.high + down @ before.low + step.b
    )


def _function_interval(step: Function, x: Interval) -> Interval:
    """Return the interval of a function of each number.

    Raises
    ------
    ExportError
        If the range of the inputs holds numbers that the function has no finite value of.
    """
    ends = np.array([x.low, x.high])
    with np.errstate(all="ignore"):
        values = FUNCTIONS_OF_ONE[step.function](ends)
    if not np.isfinite(values).all():
        low, high = x.low.min(), x.high.max()
        raise ExportError(
            f"step {step.name!r} takes {step.function} of numbers from {low:.3g} to {high:.3g}, "
            "where it is not finite; give inputs= such as the model will see, which say the range."
        )
    low, high = values.min(axis=0), values.max(axis=0)
    if step.function in ("abs", "square"):
        low = np.where((x.low < 0) & (x.high > 0), 0.0, low)
    return Interval(low, high)


def _products_interval(step: Products, x: Interval) -> Interval:
    """Return the interval of products of columns, each power of a column by itself."""
    found = []
    for places in step.factors:
        low, high = 1.0, 1.0
        for place in sorted(set(places)):
            power = places.count(place)
            ends = [float(x.low[place]) ** power, float(x.high[place]) ** power]
            if power % 2 == 0 and x.low[place] < 0 < x.high[place]:
                ends.append(0.0)
            products = [one * other for one in (low, high) for other in (min(ends), max(ends))]
            low, high = min(products), max(products)
        found.append((low, high))
    pairs = np.array(found)
    return Interval(pairs[:, 0], pairs[:, 1])


def _periodic_interval(step: Periodic, x: Interval) -> Interval:
    """Return the interval of ``V @ cos(W x + b) + c``, whose slope in x is ``sum |V| |W|``."""
    n, d, _ = step.V.shape
    slopes = np.einsum("ndk,nk->nd", np.abs(step.V), np.abs(step.W))
    points = np.linspace(x.low, x.high, _GRID)
    values = periodic(step, points).reshape(_GRID, n, d)
    slack = slopes * ((x.high - x.low) / (2 * (_GRID - 1)))[:, None]
    most = np.abs(step.V).sum(axis=2)
    return Interval(
        np.maximum(values.min(axis=0) - slack, step.c - most).ravel(),
        np.minimum(values.max(axis=0) + slack, step.c + most).ravel(),
    )


def share_slopes(activation: str, s: Floats) -> Floats:
    """Return the largest slope of ``Z + s (g(Z) - Z)``, which is ``1 + s (g' - 1)``."""
    ends = (np.abs(1 + s * (slope - 1)) for slope in SLOPES[activation])
    found: Floats = np.maximum(*ends)
    return found


def activation_interval(activation: str, Z: Interval, s: Floats | None = None) -> Interval:
    """Return the interval of ``A = g(Z)``: at the ends, and at the least value between them.

    With shares, that of ``Z + s (g(Z) - Z)``, which can turn anywhere: from its values on a grid
    and its largest slope.
    """
    if s is not None:
        values = activated(activation, np.linspace(Z.low, Z.high, _GRID), s)
        slack = share_slopes(activation, s) * (Z.high - Z.low) / (2 * (_GRID - 1))
        return Interval(values.min(axis=0) - slack, values.max(axis=0) + slack)
    if activation == "softmax":
        return Interval(np.zeros_like(Z.low), np.ones_like(Z.low))
    with np.errstate(over="ignore"):
        ends = activated(activation, Z.low[None])[0], activated(activation, Z.high[None])[0]
    low, high = np.minimum(*ends), np.maximum(*ends)
    if activation in _LOWEST:
        place = np.array([[_LOWEST[activation]]])
        inside = (Z.low <= place[0, 0]) & (place[0, 0] <= Z.high)
        low = np.where(inside, activated(activation, place)[0, 0], low)
    return Interval(low, high)
