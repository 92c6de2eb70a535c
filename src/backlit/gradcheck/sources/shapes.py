"""Shapes of a pair's parameters, by the shapes in which its gradients come back.

A gradient has the shape of its parameter. `gamma * x + beta` runs with a gamma of one number, of
one for each feature and of x's own shape; which is meant, backward says: `(d * x).sum(axis=0)` is
the gradient of a vector.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.sources.gradients import as_array, is_gradient_of, last_name
from backlit.gradcheck.sources.guesses import Argument, role_of

Array = NDArray[Any]
Shape = tuple[int, ...]

_SCALE = re.compile(r"^(scales?|scaling|shifts?|gains?|offsets?|gamma|beta|slopes?|temperature)$")
_PARAMETER = re.compile(rf"{_SCALE.pattern}|^([wWbBg]|bias(es)?|weights?|alpha|tau)$")


def is_parameter(name: str, names: Sequence[str]) -> bool:
    """Say whether an argument's name is that of a parameter, which has no axis of the examples.

    Of `add(a, b)` b is none.
    """
    return _PARAMETER.match(name) is not None and names[0] not in ("a", "A")


def has_no_examples(name: str) -> bool:
    """Say whether a name is that of a scale or shift, whatever else it stands beside."""
    return _SCALE.match(name) is not None


def by_place(
    came: Any, names: Sequence[str], labels: Sequence[str] | None
) -> dict[str, Array] | None:
    """Match what was returned with as many inputs by its names, else by its place.

    None where it is no row of as many arrays, or a name says another order.
    """
    if not isinstance(came, (tuple, list)) or len(came) != len(names):
        return None
    arrays = [as_array(g) for g in came]
    labels = labels if labels is not None and len(labels) == len(names) else [""] * len(names)
    found: dict[str, Array] = {}
    free = list(names)
    waiting = []
    for place, (label, array) in enumerate(zip(labels, arrays, strict=True)):
        if array is None:
            return None
        named = [n for n in names if label and is_gradient_of(label, last_name(n))]
        if len(named) == 1 and named[0] in free:
            found[named[0]] = array
            free.remove(named[0])
        else:
            waiting.append((names[place], array))
    for name, array in waiting:
        if name not in free:
            return None
        found[name] = array
    return found


def dropped(came: Any, found: Mapping[str, Any], labels: Sequence[str] | None) -> tuple[str, ...]:
    """Name the gradients that were returned and belong to no input that is known."""
    if not isinstance(came, (tuple, list)) or hasattr(came, "_fields"):
        return ()
    labels = labels if labels is not None and len(labels) == len(came) else [""] * len(came)
    taken = [np.asarray(g) for g in found.values()]
    said = []
    for place, (label, item) in enumerate(zip(labels, came, strict=True)):
        array = as_array(item)
        same = [i for i, g in enumerate(taken) if array is not None and _equal(g, array)]
        if same:
            taken.pop(same[0])
        if array is None or same:
            continue
        if label and not re.search(r"^_*(d|g)|grad|delta", label, re.I):
            continue  # a state that is returned beside gradients
        like = label if re.match(r"^d\w", label) else ""
        said.append(like or f"the {_ORDINALS[min(place, 5)]} array that is returned")
    return tuple(said)


def _equal(one: Array, other: Array) -> bool:
    return one.size == other.size and np.array_equal(one.ravel(), other.ravel(), equal_nan=True)


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "last")


def parameters_of(arguments: Sequence[Argument], values: Sequence[Any]) -> list[int]:
    """Return the places of what may be parameters: numbers and float arrays behind the first."""
    return [
        i
        for i, (a, v) in enumerate(zip(arguments, values, strict=True))
        if i and a.required and role_of(a.name) != "labels" and _is_real(v)
    ]


def _is_real(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")


def beginnings(
    arguments: Sequence[Argument], values: Sequence[Any], places: Sequence[int]
) -> Iterator[list[Any]]:
    """Yield values with the parameters as given, for each feature, in one row, and one number.

    Parameters
    ----------
    arguments : sequence of Argument
        Those of forward.
    values : sequence
        With which it was called.
    places : sequence of int
        Which of them are parameters.
    """
    shape = np.shape(values[0])
    feature: Shape = shape[-1:]
    yield with_shapes(values, {i: np.shape(values[i]) for i in places})
    for made in (feature, (1,) * (len(shape) - 1) + feature, ()):
        yield with_shapes(values, dict.fromkeys(places, made))


def with_shapes(values: Sequence[Any], shapes: Mapping[int, Shape]) -> list[Any]:
    """Return values of which some are drawn anew in other shapes."""
    rng = np.random.default_rng(15)
    made = list(values)
    for place, shape in shapes.items():
        same = isinstance(values[place], np.ndarray) and values[place].shape == shape
        if not same:
            made[place] = np.asarray(rng.uniform(0.4, 1.6, size=shape))
    return made
