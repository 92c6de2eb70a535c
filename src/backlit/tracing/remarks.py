"""What the numbers of a trace mean, a sentence each; an alarm is one that calls for a change.

The bounds are far outside what healthy networks show, at the start, on the way and at the end: an
alarm that cries wolf is read once.
"""

from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.tracing.measures import LayerMeasures

#: examples below which nothing is said about units that happen to be silent for all of them
FEW_EXAMPLES = 16
#: share, and number, of a layer's units that are dead before it is an alarm
_DEAD_SHARE, _DEAD_UNITS = 2 / 3, 4
#: share of saturated activations before it is an alarm
_SATURATED_SHARE = 0.6
#: how far a gradient may shrink or grow on its way from the output to layer 1
_FLOW = 1e3
#: size of an input, and ratio of two inputs' sizes, from which on they should be scaled
_LARGE_INPUT, _SMALL_INPUT, _INPUT_RATIO = 25.0, 1e-3, 1e3
#: how many times the cost of a guess (log K) a classifier's cost may be
_COST = 5.0
#: relative change of the weights in one step before the rate is too high
_UPDATE = 0.5


class Remark(NamedTuple):
    """A sentence about a network.

    Attributes
    ----------
    topic : str
        "inputs", "labels", "symmetry", "dead", "saturated", "vanishing", "exploding", "blocked",
        "update", "cost" or "flow".
    layer : int or None
        The layer that it is about.
    alarm : bool
        Whether something should be changed.
    text : str
        The sentence.
    """

    topic: str
    layer: int | None
    alarm: bool
    text: str

    def __str__(self) -> str:
        return self.text


def all_remarks(
    X: NDArray[Any],
    Y: NDArray[Any],
    parameters: dict[str, NDArray[Any]],
    measures: Sequence[LayerMeasures],
    loss: str,
    cost: float,
) -> list[Remark]:
    """Return the remarks on a trace, the alarms first.

    Parameters
    ----------
    X, Y : array, shapes (n_0, m) and (n_L, m)
        Examples and labels.
    parameters : dict
        ``W1, b1, ..., WL, bL``.
    measures : sequence of LayerMeasures
        Of each layer, the first one first.
    loss : str
        The name of the loss.
    cost : float
        The cost without the penalty.

    Returns
    -------
    list of Remark
    """
    found = [*_inputs(X), *_labels(Y, loss)]
    same = _symmetry(parameters, len(measures))
    found += same
    alike = {remark.layer for remark in same}
    m = X.shape[1]
    for one in measures[:-1]:
        if not alike & {None, one.layer} and m >= FEW_EXAMPLES:
            found += _dead(one)
        found += _saturated(one)
    if not same:
        found += _flow(measures, parameters)
    found += _updates(measures)
    found += _cost(loss, cost, measures[-1])
    return sorted(found, key=lambda remark: not remark.alarm)


def _times(ratio: float) -> str:
    """Write a large number with two digits that mean something."""
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio < 1e9 else f"{ratio:.1e}"


def _inputs(X: NDArray[Any]) -> list[Remark]:
    filled = X != 0
    counts = filled.sum(axis=1)
    present = np.flatnonzero(counts)
    if X.shape[1] < FEW_EXAMPLES or not len(present):
        return []
    # sizes of what is not zero: a rare indicator is as large as a frequent one
    squares = np.square(X.astype(np.float64)).sum(axis=1)[present]
    sizes = np.sqrt(squares / counts[present])
    largest, smallest = int(sizes.argmax()), int(sizes.argmin())
    top, low = float(sizes[largest]), float(sizes[smallest])
    advice = "scale each input to mean 0 and variance 1."
    first, last = present[largest], present[smallest]
    if top > _LARGE_INPUT:
        text = f"the inputs are large (input {first} is about {top:.3g} in size): {advice}"
    elif top < _SMALL_INPUT:
        text = f"the inputs are tiny (the largest, input {first}, is about {top:.1g}): {advice}"
    elif top / low > _INPUT_RATIO:
        text = (
            f"input {first} is {_times(top / low)} times as large as input {last}, which the "
            f"network will hardly see: {advice}"
        )
    else:
        return []
    return [Remark("inputs", 0, True, text)]


def _labels(Y: NDArray[Any], loss: str) -> list[Remark]:
    low, high = float(Y.min()), float(Y.max())
    if loss in ("binary_cross_entropy", "cross_entropy") and (low < 0 or high > 1):
        text = (
            f"the labels run from {low:g} to {high:g}, where the {loss.replace('_', ' ')} has its "
            "minimum only for labels from 0 to 1: recode them."
        )
        return [Remark("labels", None, True, text)]
    if loss == "cross_entropy" and np.abs(Y.sum(axis=0) - 1).max() > 1e-3:
        text = "the labels' columns do not sum to 1, as one-hot columns and probabilities do."
        return [Remark("labels", None, True, text)]
    return []


def _symmetry(parameters: dict[str, NDArray[Any]], n_layers: int) -> list[Remark]:
    """Find hidden layers whose units are all alike, coming in and going out."""
    advice = "start from random weights (initialize_parameters)."
    if n_layers > 1 and not any(parameters[f"W{l}"].any() for l in range(1, n_layers + 1)):
        text = (
            "all weights are zero, so that all units of a layer are one and the same, get the same "
            f"gradient and stay the same: {advice}"
        )
        return [Remark("symmetry", None, True, text)]
    found = []
    for l in range(1, n_layers):
        W, b, following = parameters[f"W{l}"], parameters[f"b{l}"], parameters[f"W{l + 1}"]
        alike = (W[:1] == W).all() and (b == b[:1]).all() and (following == following[:, :1]).all()
        if len(W) > 1 and alike:
            text = (
                f"layer {l}: its {len(W)} units have the same weights, get the same gradient and "
                f"stay the same: {advice}"
            )
            found.append(Remark("symmetry", l, True, text))
    return found


def _dead(one: LayerMeasures) -> list[Remark]:
    dead = one.dead_units or 0
    if not dead:
        return []
    few = dead < one.units and (dead < _DEAD_UNITS or dead < _DEAD_SHARE * one.units)
    are = "is" if dead == 1 else "are"
    text = f"layer {one.layer}: {dead} of {one.units} units {are} dead for every example"
    if few:
        return [Remark("dead", one.layer, False, f"{text}; the others learn.")]
    others = "leaky relu" if one.activation == "relu" else "smaller first weights"
    if dead == one.units:
        text += ", so that no gradient passes to the layers before it"
    return [Remark("dead", one.layer, True, f"{text}: lower the learning rate or use {others}.")]


def _saturated(one: LayerMeasures) -> list[Remark]:
    share = one.saturated or 0.0
    if share < 0.1:
        return []
    text = (
        f"layer {one.layer}: {100 * share:.0f} % of the activations lie within 1 % of "
        f"{one.activation}'s bounds, where hardly any gradient passes"
    )
    if share < _SATURATED_SHARE:
        return [Remark("saturated", one.layer, False, f"{text}.")]
    return [
        Remark("saturated", one.layer, True, f"{text}: scale the inputs, or use smaller weights.")
    ]


def _flow(measures: Sequence[LayerMeasures], parameters: dict[str, NDArray[Any]]) -> list[Remark]:
    first, last = measures[0], measures[-1]
    if last.layer == 1 or not last.gradient:
        return []
    if not first.gradient:
        return _blocked(measures, parameters)
    ratio = first.gradient / last.gradient
    each = ratio ** (1 / (last.layer - 1))
    way = f"from layer {last.layer} back to layer 1"
    if ratio < 1 / _FLOW:
        text = (
            f"the gradient vanishes: it shrinks {_times(1 / ratio)} times {way} (to {each:.2g} "
            "of its size a layer), so that the first layers hardly learn: use relu or selu with "
            "their own initialisation, or fewer layers."
        )
        return [Remark("vanishing", 1, True, text)]
    if ratio > _FLOW:
        text = (
            f"the gradient explodes: it grows {_times(ratio)} times {way} ({each:.2g} times "
            "a layer): start from smaller weights (initialize_parameters), or clip the gradient."
        )
        return [Remark("exploding", 1, True, text)]
    what = "keeps its size" if 0.5 <= ratio <= 2 else ("grows" if ratio > 1 else "shrinks")
    text = f"the gradient {what} {way}: it is {ratio:.2g} times as large there."
    return [Remark("flow", None, False, text)]


def _blocked(
    measures: Sequence[LayerMeasures], parameters: dict[str, NDArray[Any]]
) -> list[Remark]:
    """Say where a gradient that is not zero at the output comes to its end."""
    place = max(one.layer for one in measures if not one.gradient)
    if not parameters[f"W{place + 1}"].any():
        learns = measures[place].dW_norm > 0
        text = (
            f"no gradient reaches layer {place}, for all weights of layer {place + 1} are zero"
            + ("; it will once they have learnt." if learns else ", and stay zero.")
        )
        return [Remark("blocked", place, not learns, text)]
    if measures[place - 1].dead_units == measures[place - 1].units:
        return []  # said already, or too few examples to say it
    text = f"no gradient reaches layer {place}: it has become zero by rounding, or by the masks."
    return [Remark("blocked", place, True, text)]


def _updates(measures: Sequence[LayerMeasures]) -> list[Remark]:
    rated = [one for one in measures if one.update_ratio is not None]
    worst = max(rated, key=lambda one: one.update_ratio or 0.0, default=None)
    if worst is None or (worst.update_ratio or 0.0) <= _UPDATE:
        return []
    text = (
        f"layer {worst.layer}: one step changes the weights by {worst.update_ratio:.2g} of their "
        "size (about 0.001 is usual): lower the learning rate."
    )
    return [Remark("update", worst.layer, True, text)]


def _cost(loss: str, cost: float, output: LayerMeasures) -> list[Remark]:
    if loss not in ("binary_cross_entropy", "cross_entropy"):
        return []
    classes = 2 if loss == "binary_cross_entropy" else output.units
    questions = output.units if loss == "binary_cross_entropy" else 1
    guess = questions * log(max(classes, 2))
    if cost <= _COST * guess:
        return []
    text = (
        f"the cost is {cost:.3g}, where guessing costs {guess:.2g}: the network is sure of wrong "
        "answers; scale the inputs, start from smaller weights or lower the learning rate."
    )
    return [Remark("cost", None, True, text)]
