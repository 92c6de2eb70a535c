"""Which axes belong together.

Nothing is concluded from equal lengths: an axis is made longer, alone or together with others, and
forward is run. The smallest sets of axes that can grow together are the function's dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from backlit.errors import BacklitError
from backlit.gradcheck.calls import CallFailed, Inputs, Pass, Subject

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
    the same.
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
        if grown and array.dtype.kind == "f" and np.any(array != np.round(array)):
            array = array * rng.uniform(0.85, 1.0, size=array.shape)
        made[name] = array.copy() if array is value else np.ascontiguousarray(array)
    return made


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
