"""Shapes for arguments that fit together, found by calling.

Where no likely values work, every argument has a list of shapes. A call that stops says how far it
came; the argument whose other shape brings it further is changed, until the call goes through.
"""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.user_code import is_users
from backlit.gradcheck.sources.guesses import (
    EXAMPLES,
    HIDDEN,
    INPUTS,
    OUTPUTS,
    Argument,
    parameters_for,
    size_of,
)
from backlit.gradcheck.sources.hints import Hint, tree_of

Array = NDArray[Any]
Score = tuple[int, ...]

FITTING_SECONDS = 1.5  # for each form of shapes that are found out by calling
_MOST_BEGINNINGS = 200
_STEPS = 3  # two would hide what the first step has no state for
_MOST_LINES = 20_000  # of one call, after which it is taken for endless


class TooLong(Exception):
    """A call runs more lines than a call of small arrays may."""


@dataclass(frozen=True)
class Way:
    """How far a call came.

    Attributes
    ----------
    lines : int
        How many different lines of the user's ran.
    place : int
        How far it came in the line that stopped it.
    numbers : int
        How many numbers their variables held: shapes that broadcast by chance make more.
    result : object
        What the call returned.
    error : Exception or None
        What it raised.
    """

    lines: int
    place: int
    numbers: int
    result: Any = None
    error: Exception | None = None


def how_far(call: Callable[[], Any]) -> Way:
    """Call, and return how far that came."""
    lines: set[tuple[int, int]] = set()
    count = numbers = 0

    def watch(frame: FrameType, event: str, given: Any) -> Any:
        nonlocal count, numbers
        if not is_users(frame.f_code):
            return None
        if event == "line":
            lines.add((id(frame.f_code), frame.f_lineno))
            count += 1
            if count > _MOST_LINES:
                raise TooLong
        elif event == "return":
            numbers += sum(v.size for v in frame.f_locals.values() if isinstance(v, np.ndarray))
        return watch

    result, error = None, None
    before = sys.gettrace()
    sys.settrace(watch)
    try:
        result = call()
    except Exception as raised:
        error = raised
    finally:
        sys.settrace(before)
    return Way(len(lines), _place_in(error), numbers, result, error)


def _place_in(error: Exception | None) -> int:
    """Return the instruction at which the innermost function stopped; 0 where none did."""
    trace = error.__traceback__ if error is not None else None
    place = 0
    while trace is not None:
        place = trace.tb_lasti
        trace = trace.tb_next
    return place


def fitted(
    score: Callable[[list[Any]], tuple[Score, bool]],
    choices: Sequence[Sequence[Any]],
    deadline: float,
) -> Iterator[list[Any]]:
    """Yield values, one of each argument's choices, with which a call goes through.

    From a beginning, one argument at a time is changed while the call comes further; where none
    helps, it is begun again elsewhere.

    Parameters
    ----------
    score : callable
        values -> (how far a call came, whether it went through).
    choices : sequence of sequences
        For each argument, the likeliest first.
    deadline : float
        On time.thread_time(): a machine that is busy finds the same.
    """
    if not all(choices):
        return
    rng = np.random.default_rng(12)
    seen: dict[tuple[int, ...], tuple[Score, bool]] = {}

    def at(where: list[int]) -> tuple[Score, bool]:
        key = tuple(where)
        if key not in seen:
            seen[key] = score([c[i] for c, i in zip(choices, where, strict=True)])
        return seen[key]

    place = [0] * len(choices)
    for number in range(_MOST_BEGINNINGS):
        if number == 1:
            place = [_gated(c) for c in choices]
        found = _climbed(at, choices, place, deadline)
        if found is not None:
            yield [c[i] for c, i in zip(choices, found, strict=True)]
            return
        if time.thread_time() > deadline:
            return
        place = [int(len(c) * rng.uniform() ** 2) for c in choices]


def _gated(values: Sequence[Any]) -> int:
    """Return the place of the first value with four stacked gates, which change together."""
    for i, value in enumerate(values):
        if isinstance(value, np.ndarray) and 4 * HIDDEN in value.shape:
            return i
    return 0


def _climbed(
    at: Callable[[list[int]], tuple[Score, bool]],
    choices: Sequence[Sequence[Any]],
    place: list[int],
    deadline: float,
) -> list[int] | None:
    """Change one argument at a time while the call gains; None where it does not go through."""
    best, through = at(place)
    while not through:
        chosen: list[int] | None = None
        for slot, values in enumerate(choices):
            for i in range(len(values)):
                there = place.copy()
                there[slot] = i
                gained, through = at(there)
                if through:
                    return there
                if gained > best:
                    best, chosen = gained, there
                if time.thread_time() > deadline:
                    return None
        if chosen is None:
            return None
        place = chosen
        best, through = at(place)
    return place


@dataclass(frozen=True)
class Sizes:
    """How long the axes are that fit together: every one another, or as the source says."""

    inputs: int = INPUTS
    hidden: int = HIDDEN
    outputs: int = OUTPUTS
    further: tuple[int, ...] = ()  # constants of the source, such as 3 of np.zeros((3, 1))

    @property
    def all(self) -> list[int]:
        """Every size, those of the source first."""
        hidden = self.further or (self.hidden,)
        return list(dict.fromkeys([*hidden, self.inputs, self.outputs]))


def sizes_in(*functions: Callable[..., Any], arrays: Iterable[Array] = ()) -> Sizes:
    """Read the sizes that functions have as constants, in np.zeros((3, 1)) or x.reshape(-1, 8).

    Those of arrays that are given, such as globals, come first.
    """
    found: list[int] = [k for array in arrays for k in array.shape if k > 1]
    for function in functions:
        tree = tree_of(function)
        for node in ast.walk(tree) if tree is not None else ():
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in _SIZED:
                found += [
                    n.value
                    for argument in [*node.args, *[k.value for k in node.keywords]]
                    for n in ast.walk(argument)
                    if isinstance(n, ast.Constant) and type(n.value) is int and 1 < n.value <= 64
                ]
    return Sizes(further=tuple(dict.fromkeys(found)))


_SIZED = ("zeros", "ones", "empty", "full", "eye", "identity", "reshape", "randn", "rand")


def shapes_for(
    argument: Argument,
    rng: np.random.Generator,
    sizes: Sizes,
    form: str,
    hint: Hint | None = None,
    first: bool = False,
    others: Sequence[str] = (),
) -> list[Any]:
    """List values of many shapes for an argument, by what its name says that it is.

    `form` is "columns" or "rows": whether one example is a column or a row. Mixed they would
    broadcast by chance.
    """
    hint = hint or Hint()
    if not argument.required and argument.default is not None:
        return [argument.default]
    if hint.keys:
        return [parameters_for(hint.keys, form, rng)]
    if argument.required and (size := size_of(argument.name)) is not None:
        return [size]
    role = "data" if first and argument.role in ("unknown", "upstream", "bias") else argument.role
    found = _values(role, argument.name, rng, sizes, form)
    if any(size_of(n) is not None for n in others) and np.ndim(found[0]):
        lengths = (HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1), HIDDEN * (INPUTS + OUTPUTS))
        found = [*[_drawn(rng, n) for n in lengths], *found]  # all of a net in one vector
    if not argument.required:
        found = [None, *found]
    if hint.ndim is not None:
        found = [v for v in found if np.ndim(v) == hint.ndim] or found
    return found


FORMS = ("columns", "rows")


def _values(role: str, name: str, rng: np.random.Generator, sizes: Sizes, form: str) -> list[Any]:
    shapes: list[tuple[int, ...]]
    columns = form == "columns"
    vectors = [s for k in sizes.all for s in ([(k, 1)] if columns else [(k,), (1, k)])]
    match role:
        case "weights":
            shapes = _weights(name, sizes, columns)
        case "bias":
            k = sizes.all[0]
            shapes = [*vectors, *([(4 * k, 1)] if columns else [(4 * k,)])]
        case "state":
            several = [(k, EXAMPLES) if columns else (EXAMPLES, k) for k in sizes.all]
            shapes = [*vectors, *several]
        case "labels" | "predictions":
            return _targets(rng, sizes, columns)
        case "rate" | "strength":
            return [0.3]
        case "count":
            return [1]
        case "data":
            return _data(rng, sizes, columns)
        case _:  # it may be anything
            plain = [*_weights("", sizes, columns), *vectors]
            return [*[_drawn(rng, *s) for s in plain], *_data(rng, sizes, columns), 0.3, 2]
    found = [_drawn(rng, *shape) for shape in dict.fromkeys(shapes)]
    return [*found, 0.3] if role == "bias" else found


def _drawn(rng: np.random.Generator, *shape: int) -> Array:
    return np.asarray(rng.normal(size=shape) * 0.6)


def _weights(name: str, sizes: Sizes, columns: bool) -> list[tuple[int, ...]]:
    """List weights' shapes: all pairs of sizes, vectors, the gates of a recurrent layer stacked."""
    square = [(k, k) for k in sizes.all]
    pairs = [(a, b) for a in sizes.all for b in sizes.all if a != b]
    recurrent = re.search(r"hh|aa|rec|U|[Ww]h$", name) is not None
    shapes: list[tuple[int, ...]] = [*square, *pairs] if recurrent else [*pairs, *square]
    shapes += [(1, k) if columns else (k, 1) for k in sizes.all]
    if not columns:
        shapes += [(k,) for k in sizes.all]
    for k in sizes.all[:2]:
        both = k + sizes.inputs
        for across in (both, sizes.inputs, k):
            shapes.append((4 * k, across) if columns else (across, 4 * k))
        shapes.append((k, both) if columns else (both, k))
    return list(dict.fromkeys(shapes))


def _data(rng: np.random.Generator, sizes: Sizes, columns: bool) -> list[Any]:
    m, steps = EXAMPLES, _STEPS
    shapes: list[tuple[int, ...]] = []
    for n in dict.fromkeys([sizes.inputs, *sizes.further]):
        if columns:
            shapes += [(n, m), (steps, n, 1), (n, 1), (n, steps), (steps, n, m), (n, m, steps)]
        else:
            shapes += [(m, n), (n,), (steps, n), (1, n), (steps, m, n), (m, steps, n)]
            shapes += [(steps, 1, n), (m, n, steps)]
    tokens = [int(i) for i in rng.permutation(sizes.outputs)[:steps]]
    one = (sizes.inputs, 1) if columns else (1, sizes.inputs)
    found: list[Any] = [_drawn(rng, *s) for s in shapes]
    return [*found, [_drawn(rng, *one) for _ in range(steps)], tokens, np.array(tokens)]


def _targets(rng: np.random.Generator, sizes: Sizes, columns: bool) -> list[Any]:
    """List targets: one-hot, class numbers, one number for each."""
    found: list[Any] = []
    for size in [sizes.outputs, *[k for k in sizes.all if k != sizes.outputs], 1]:
        for count in (EXAMPLES, _STEPS):
            hot = np.zeros((count, size))
            hot[np.arange(count), rng.integers(0, size, size=count)] = 1.0
            found += [hot.T.copy(), hot.reshape(count, size, 1)] if columns else [hot]
        single = np.zeros(size)
        single[size // 2] = 1.0
        found += [single.reshape(-1, 1)] if columns else [single, single.reshape(1, -1)]
    for count in (EXAMPLES, _STEPS):
        classes = rng.integers(0, sizes.outputs, size=count)
        found += [classes, [int(c) for c in classes], rng.normal(size=count)]
    return [*found, 1, 0.7]
