"""Which axes belong together, and which of them counts the examples.

Nothing is concluded from equal lengths: an axis is made longer, alone or together with others, and
forward is run. The smallest sets of axes that can grow together are the function's dimensions. One
of them counts the examples if the output grows along its rows or its columns with it, and if
shuffling it shuffles the output in the same way and changes nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.probing.calls import CallFailed, Inputs, Pass, Subject

Axis = tuple[str, int]  # an input's name and one of its axes


_TRIALS = 300


@dataclass(frozen=True)
class Dimension:
    """Axes that have one length because forward needs it, and the output axes they give."""

    axes: tuple[Axis, ...]
    size: int
    out_axes: tuple[tuple[int, int], ...]  # (which output, which axis)
    out_rank: int = 2


def array_axes(inputs: Mapping[str, Any]) -> list[Axis]:
    """List every axis of every array."""
    return [
        (name, axis)
        for name, value in inputs.items()
        if isinstance(value, np.ndarray)
        for axis in range(value.ndim)
    ]


def resized(
    inputs: Mapping[str, Any], sizes: Mapping[Axis, int], rng: np.random.Generator
) -> Inputs:
    """Return the inputs with some axes cut or continued by repeats of what is there.

    Repeats of numbers that are not whole are changed by some percent, so that no two examples are
    the same. A one-hot array stays one.
    """
    made: Inputs = {}
    for name, value in inputs.items():
        if not isinstance(value, np.ndarray):
            made[name] = value
            continue
        array = value
        grown = False
        for axis in range(value.ndim):
            size = sizes.get((name, axis))
            if size is None or size == array.shape[axis]:
                continue
            old = array.shape[axis]
            extra = rng.integers(0, old, size=max(0, size - old))
            order = np.concatenate([np.arange(min(old, size)), extra]).astype(int)
            array = np.take(array, order, axis=axis)
            grown = grown or size > old
        hot = one_hot_axis(value) if array is not value else None
        if hot is not None:
            array = _one_hot(array, hot, rng)
        if grown and array.dtype.kind == "f" and np.any(array != np.round(array)):
            array = array * rng.uniform(0.85, 1.0, size=array.shape)
        if array is not value and _lost_repeat(value, array):
            array.reshape(-1)[-1] = array.reshape(-1)[0]
        made[name] = array.copy() if array is value else np.ascontiguousarray(array)
    return made


def _lost_repeat(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Say whether whole numbers, such as the ids of words, came twice and come once each now."""
    if before.dtype.kind not in "iu" or after.size < 2:
        return False
    return np.unique(before).size < before.size and np.unique(after).size == after.size


def one_hot_axis(value: NDArray[Any]) -> int | None:
    """Return the axis along which an array has a single one among zeros; None where there is none.

    Where both axes of a square have it, it is the last.
    """
    if value.ndim < 2 or value.dtype.kind not in "fiub" or np.any((value != 0) & (value != 1)):
        return None
    axes = [a for a in range(value.ndim) if value.shape[a] > 1 and np.all(value.sum(axis=a) == 1)]
    return axes[-1] if axes else None


def _one_hot(array: NDArray[Any], axis: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return an array with a single one along an axis: where it was lost, at a random place."""
    moved = np.moveaxis(array.copy(), axis, -1)
    places = np.where(
        moved.sum(axis=-1) == 1,
        moved.argmax(axis=-1),
        rng.integers(0, moved.shape[-1], size=moved.shape[:-1]),
    )
    moved[...] = 0
    np.put_along_axis(moved, places[..., None], 1, axis=-1)
    return np.moveaxis(moved, -1, axis)


def try_run(subject: Subject, inputs: Inputs) -> Pass | None:
    """Run forward; None where it raises."""
    try:
        return subject.run(inputs)
    except (CallFailed, BacklitError):
        return None


def grow(
    subject: Subject, inputs: Inputs, base: Pass, axes: tuple[Axis, ...], rng: np.random.Generator
) -> Dimension | None:
    """Lengthen `axes` by one, together; None unless forward still runs and the output fits."""
    old = np.shape(inputs[axes[0][0]])[axes[0][1]]
    new = old + 1 if old > 1 else 3
    done = try_run(subject, resized(inputs, dict.fromkeys(axes, new), rng))
    if done is None or len(done.outs) != len(base.outs):
        return None
    out_axes = []
    for index, (before, after) in enumerate(zip(base.outs, done.outs, strict=True)):
        if before.ndim != after.ndim:
            return None
        for axis, (a, b) in enumerate(zip(before.shape, after.shape, strict=True)):
            if a != b:
                if (a, b) != (old, new):
                    return None
                out_axes.append((index, axis))
    return Dimension(axes, old, tuple(out_axes), base.outs[0].ndim)


def candidates(inputs: Inputs, length: int, limit: int) -> Iterator[tuple[Axis, ...]]:
    """Yield sets of axes of one length, the small ones first."""
    axes = [(n, a) for n, a in array_axes(inputs) if np.shape(inputs[n])[a] == length]
    count = 0
    for size in range(1, min(5, len(axes)) + 1):
        for chosen in combinations(axes, size):
            count += 1
            if count > limit:
                break
            yield chosen
    for position in (0, -1):  # many inputs, all with their rows, or their columns
        same = tuple((n, a) for n, a in axes if a == position % np.ndim(inputs[n]))
        if len(same) > 5:
            yield same
    if len(axes) > 5:
        yield tuple(axes)


def find_dimensions(
    subject: Subject, inputs: Inputs, base: Pass, rng: np.random.Generator
) -> list[Dimension]:
    """Find the function's dimensions: smallest sets of axes that can grow together.

    Long axes come first, and are cut once they are known, so that the rest goes fast.
    """
    found: list[Dimension] = []
    lengths = sorted({np.shape(inputs[n])[a] for n, a in array_axes(inputs)}, reverse=True)
    cut = 33
    for length in lengths:
        if length < 2:
            continue
        for axes in candidates(inputs, length, _TRIALS):
            if any(set(old.axes) & set(axes) for old in found):
                continue
            dimension = grow(subject, inputs, base, axes, rng)
            if dimension is None:
                continue
            found.append(dimension)
            if length > 64:
                shorter = resized(inputs, dict.fromkeys(axes, cut), rng)
                done = try_run(subject, shorter)
                if done is not None:
                    inputs, base, cut = shorter, done, cut + 1
    return found


_PARAMETER = re.compile(
    r"^(w|b|wx|wh|wq|wk|wv|wo|gamma|beta|theta|bias|biases|weights?|kernel|filters?|emb\w*|table"
    r"|scale|shift|e)([\d_].*)?$",
    re.IGNORECASE,
)


_DATA = re.compile(
    r"^(x|a|z|h|s|y|al|inputs?|data|images?|logits|scores|targets?|labels?|ids|idx|indices|tokens"
    r"|activations?|[xhac]t?_?prev\w*)([\d_].*)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Examples:
    """The examples axis: `label` is the output's "rows" (axis 0) or "columns" (the last)."""

    label: str
    axis: int
    dimension: Dimension
    score: float = 0.0

    @property
    def m(self) -> int:
        """The number of examples."""
        return self.dimension.size

    @property
    def holders(self) -> dict[str, int]:
        """The inputs that have the axis, and where."""
        return dict(self.dimension.axes)


def find_examples(
    subject: Subject, inputs: Inputs, base: Pass, rng: np.random.Generator
) -> list[Examples]:
    """Find which output axis counts the examples; the likeliest first, none for a scalar."""
    found: list[Examples] = []
    if any(out.ndim == 0 for out in base.outs):
        return []
    sides = [("columns", -1), ("rows", 0)]
    if all(out.ndim == 1 for out in base.outs):
        sides = [("rows", 0)]
    sides.sort(key=lambda side: base.outs[0].shape[side[1]] == 1)
    for label, axis in sides:
        lengths = {out.shape[axis] for out in base.outs}
        if len(lengths) != 1 or (lengths == {1} and found and found[0].score > 0):
            continue
        best: Examples | None = None
        for axes in candidates(inputs, lengths.pop(), _TRIALS):
            if len({name for name, _ in axes}) < len(axes):
                continue
            if best is not None and len(axes) > len(best.dimension.axes):
                break
            candidate = _as_examples(subject, inputs, base, axes, label, axis, rng)
            if candidate is not None and (best is None or candidate.score > best.score):
                best = candidate
        if best is not None:
            found.append(best)
    found.sort(key=lambda examples: -examples.score)
    if len(found) == 2 and found[0].score - found[1].score >= 2:
        found = found[:1]
    return found


def _as_examples(
    subject: Subject,
    inputs: Inputs,
    base: Pass,
    axes: tuple[Axis, ...],
    label: str,
    axis: int,
    rng: np.random.Generator,
) -> Examples | None:
    dimension = grow(subject, inputs, base, axes, rng)
    if dimension is None:
        return None
    if dimension.out_axes != tuple((i, axis % out.ndim) for i, out in enumerate(base.outs)):
        return None
    if not _shuffles_with(subject, inputs, base, axes, axis, rng):
        return None
    score = _evidence(inputs, base, dict(axes), axis)
    score += _independent(subject, inputs, base, axes, axis)
    return Examples(label, axis, dimension, score)


def _shuffles_with(
    subject: Subject,
    inputs: Inputs,
    base: Pass,
    axes: tuple[Axis, ...],
    axis: int,
    rng: np.random.Generator,
) -> bool:
    size = np.shape(inputs[axes[0][0]])[axes[0][1]]
    if size < 2:
        return True
    order = rng.permutation(size)
    if np.all(order == np.arange(size)):
        order = np.roll(order, 1)
    shuffled = dict(inputs)
    for name, own in axes:
        shuffled[name] = np.ascontiguousarray(np.take(inputs[name], order, axis=own))
    done = try_run(subject, shuffled)
    if done is None:
        return False
    return all(
        after.shape == before.shape
        and np.allclose(after, np.take(before, order, axis=axis), rtol=1e-4, atol=1e-5)
        for before, after in zip(base.outs, done.outs, strict=True)
    )


def _evidence(inputs: Inputs, base: Pass, holders: Mapping[str, int], axis: int) -> float:
    """Weigh what speaks for this axis: names, the order of arguments, what is broadcast."""
    score = 0.0
    arrays = [name for name, value in inputs.items() if isinstance(value, np.ndarray)]
    for name in holders:
        score -= 2.0 * bool(_PARAMETER.match(name))
        score += 1.0 * bool(_DATA.match(name))
    score += 1.0 * (arrays[0] in holders)
    out = base.outs[0]
    for name in arrays:
        if name in holders:
            continue
        shape = np.shape(inputs[name])
        if len(shape) == out.ndim and shape[axis] == 1 and out.shape[axis] != 1:
            score += 1.0  # (n, 1) beside (n, m): the same for all examples
        if len(shape) == 1 and out.ndim == 2 and axis == 0 and shape[0] == out.shape[-1]:
            score += 1.0  # (n,) beside (m, n)
    return score


def _independent(
    subject: Subject, inputs: Inputs, base: Pass, axes: tuple[Axis, ...], axis: int
) -> float:
    """Return 1 where a change of the first example changes the first of the output only."""
    size = np.shape(inputs[axes[0][0]])[axes[0][1]]
    moved = dict(inputs)
    for name, own in axes:
        value = inputs[name]
        if value.dtype.kind == "f" and size > 1:
            changed = value.copy()
            first = [slice(None)] * value.ndim
            first[own] = slice(0, 1)
            ramp = np.linspace(0.9, 0.97, changed[tuple(first)].size)
            changed[tuple(first)] *= ramp.reshape(changed[tuple(first)].shape)
            moved[name] = changed
    done = try_run(subject, moved)
    if done is None or size < 2:
        return 0.0
    rest = [np.delete(np.asarray(o), 0, axis=axis) for o in done.outs]
    before = [np.delete(np.asarray(o), 0, axis=axis) for o in base.outs]
    return float(
        all(np.allclose(a, b, rtol=1e-9, atol=0) for a, b in zip(rest, before, strict=True))
    )


def dimension_names(
    dimensions: list[Dimension], examples: Examples | None, inputs: Mapping[str, Any]
) -> dict[str, Dimension]:
    """Name the dimensions as a student would: m, n_out, n_in, else by an array's shape."""
    named: dict[str, Dimension] = {}
    holders = examples.holders if examples else {}
    if examples is not None:
        named["m"] = examples.dimension
    data = list(holders) or [n for n, v in inputs.items() if isinstance(v, np.ndarray)][:1]
    scalar = not any(d.out_axes for d in dimensions)
    rest = [
        d for d in dimensions if examples is None or set(d.axes) != set(examples.dimension.axes)
    ]
    for dimension in rest:
        name, axis = dimension.axes[0]
        label = f"{name}.shape[{axis}]"
        if dimension.out_axes and dimension.out_rank <= 2 and "n_out" not in named:
            label = "n_out"
        elif any(n in data for n, _ in dimension.axes):
            name, axis = next(a for a in dimension.axes if a[0] in data)
            short = "n_out" if scalar else "n_in"
            if scalar and examples is None:
                short = label  # which of several counts the examples nobody can tell
            if np.ndim(inputs[name]) <= 2 and short not in named:
                label = short
        named[label] = dimension
    return named


def sizes_of(named: Mapping[str, Dimension], inputs: Mapping[str, Any]) -> dict[str, int]:
    """Look up how long each dimension is in these inputs."""
    return {label: int(np.shape(inputs[d.axes[0][0]])[d.axes[0][1]]) for label, d in named.items()}


def distinct_sizes(
    dimensions: list[Dimension], examples: Examples | None, start: int = 3
) -> dict[Axis, int]:
    """Give every dimension another small size, unlike its own where possible."""
    sizes: dict[Axis, int] = {}
    taken: set[int] = set()
    everything = list(dimensions)
    if examples is not None and all(
        set(d.axes) != set(examples.dimension.axes) for d in dimensions
    ):
        everything.append(examples.dimension)
    for dimension in everything:
        size = start
        while size in taken or size == dimension.size:
            size += 1
        taken.add(size)
        for axis in dimension.axes:
            sizes[axis] = size
    return sizes
