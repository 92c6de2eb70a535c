"""The state of one check: its points, the readings of the mean, and what the functions remember.

Where a product with a wrong .T stops at shapes that do not fit, the same check runs once more with
all dimensions equal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.diagnosis.diagnose import Diagnosis, Probe, diagnose, right_at
from backlit.gradcheck.probing.axes import (
    Axis,
    Dimension,
    Examples,
    dimension_names,
    distinct_sizes,
    find_dimensions,
    resized,
    sizes_of,
    try_run,
)
from backlit.gradcheck.probing.calls import (
    CallFailed,
    Inputs,
    OutOfTime,
    Pass,
    Subject,
    first_call,
    keeps_own_state,
    other_inputs,
    same,
    second_call,
    stale_gradients,
)
from backlit.gradcheck.probing.numeric import rms
from backlit.gradcheck.probing.truth import (
    Point,
    Projection,
    compare,
    draw_upstream,
    make_point,
    regime_of,
)
from backlit.gradcheck.reporting.report import Finding

Array = NDArray[Any]


@dataclass
class CheckState:
    """What one check knows so far."""

    subject: Subject
    rng: np.random.Generator
    base: Pass
    examples: list[Examples]
    point: Point
    seed: int
    square: bool = False
    dimensions: list[Dimension] | None = None
    projections: dict[str, Projection] = field(default_factory=dict)
    accumulating: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)  # the second call gives exactly twice the first
    probes: list[Probe] | None = None
    search_until: float | None = None
    unguarded: list[tuple[Point, tuple[float, ...]]] | None = None
    named: dict[str, Dimension] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def by_contract(self) -> bool:
        """Whether an object keeps the state of the pass."""
        return keeps_own_state(self.base.cache, self.subject.backward)

    def all_dimensions(self) -> list[Dimension]:
        """Return the function's dimensions, found on first use."""
        if self.dimensions is None:
            self.dimensions = find_dimensions(
                self.subject, self.subject.inputs, self.base, self.rng
            )
        return self.dimensions


def watch_state(state: CheckState, again: Pass | None, changed: list[str]) -> None:
    """Look for gradients that add up over calls, or follow the last forward pass."""
    subject, point = state.subject, state.point
    twice = second_call(subject, point.d_outs, again)
    if twice is None and not changed:
        twice = second_call(subject, point.d_outs, None)
    if twice is None:
        return
    for name in subject.wrt:
        first, second = point.gradients[name], twice[name]
        if same(first, second):
            continue
        state.accumulating.add(name)
        if first is None or second is None or first.shape != second.shape:
            continue
        step = second - first
        if same(step, first):
            state.doubled.add(name)
        if _looks_right(state, name, step) and not _looks_right(state, name, first):
            point.gradients[name] = step
            state.doubled.add(name)
    steady = [n for n in subject.wrt if n not in state.accumulating]
    if steady:
        state.stale = stale_gradients(subject, point.d_outs, steady, state.rng)


def _looks_right(state: CheckState, name: str, gradient: Array) -> bool:
    point = state.point
    if not point.small(name) or gradient.shape != np.shape(point.inputs[name]):
        return False
    truth = point.truth(name)
    factors = {1.0, *(1.0 / e.m for e in state.examples if e.m)}
    return any(compare(gradient, truth, f, point.regime).ok for f in factors)


@dataclass(frozen=True)
class Reading:
    """One reading of where 1/m is applied."""

    examples: Examples | None
    mean: bool

    def factor(self, point: Point, name: str) -> float:
        """Return 1/m for a parameter under the mean convention, else 1."""
        if not self.mean or self.examples is None or name in self.examples.holders:
            return 1.0
        holder, axis = self.examples.dimension.axes[0]
        return 1.0 / int(np.shape(point.inputs[holder])[axis])

    @property
    def axis(self) -> tuple[str, int] | None:
        """Label and axis of the output's examples."""
        return None if self.examples is None else (self.examples.label, self.examples.axis)

    def parameters(self, names: Sequence[str]) -> list[str]:
        """Pick the inputs that are parameters: those without the examples axis, if there is one."""
        if self.examples is None:
            return []
        return [name for name in names if name not in self.examples.holders]


def readings(examples: list[Examples], mean_over: str | None) -> list[Reading]:
    """List the readings that are to be tried, the preferred one first."""
    if mean_over is None:
        return [Reading(examples[0] if examples else None, mean=False)]
    if mean_over != "auto":
        return [Reading(examples[0] if examples else None, mean=bool(examples))]
    if not examples:
        return [Reading(None, mean=False)]
    means = [Reading(e, mean=True) for e in examples]
    return [*means, Reading(examples[0], mean=False)]


@dataclass
class Verdict:
    """What one reading says of one input."""

    name: str
    ok: bool
    off: float
    finding: Finding | None = None
    complexity: float = 0.0
    guards: tuple[float, ...] = ()  # tiny constants that are all that it differs by


SQUARE = 4


def square_state(
    subject: Subject,
    base: Pass,
    examples: list[Examples],
    rng: np.random.Generator,
    seed: int,
) -> CheckState | None:
    """Set the check up with all dimensions equal, where products with a wrong .T still run."""
    dimensions = find_dimensions(subject, subject.inputs, base, rng)
    if not dimensions:
        return None
    sizes = {axis: SQUARE for d in dimensions for axis in d.axes}
    for e in examples:
        sizes.update(dict.fromkeys(e.dimension.axes, SQUARE))
    inputs = resized(subject.inputs, sizes, rng)
    done = try_run(subject, inputs)
    if done is None or not all(np.all(np.isfinite(out)) for out in done.outs):
        return None
    square = replace(subject, inputs=inputs)
    try:
        called = first_call(square, None, lambda p: draw_upstream(square, p, rng))
    except (CallFailed, BacklitError):
        return None
    done, d_outs, gradients, _, again = called
    point = Point(square, inputs, done, d_outs, gradients, regime_of(done, square))
    there = [_examples_at(e, inputs) for e in examples]
    state = CheckState(square, rng, done, there, point, seed, square=True)
    state.dimensions = [replace(d, size=SQUARE) for d in dimensions]
    watch_state(state, again, [])
    return state


def _examples_at(examples: Examples, inputs: Inputs) -> Examples:
    name, axis = examples.dimension.axes[0]
    size = int(np.shape(inputs[name])[axis])
    return replace(examples, dimension=replace(examples.dimension, size=size))


def diagnose_on_squares(state: CheckState, reading: Reading, name: str) -> Diagnosis | None:
    """Diagnose a gradient of another shape with all dimensions equal, where its shape is right."""
    if state.square or not state.subject.explain:
        return None
    examples = [] if reading.examples is None else [reading.examples]
    square = square_state(state.subject, state.base, examples, state.rng, state.seed)
    if square is None or name in square.accumulating:
        return None
    there = Reading(square.examples[0] if square.examples else None, reading.mean)
    return diagnose_gradient(square, there, name)


def diagnose_gradient(state: CheckState, reading: Reading, name: str) -> Diagnosis | None:
    """Diagnose a gradient at several points; None where it is right at the first, or unclear."""
    if name in state.accumulating or not state.subject.explain:
        return None
    probes = probes_of(state)
    if not probes:
        return None
    if reading.examples is not None:
        for probe in probes:
            probe.point.memo["holders"] = reading.examples.holders
    if right_at(probes[0].point, name, reading.factor):
        return None
    given = sizes_of(state.named, state.subject.inputs)
    if state.search_until is None:
        state.search_until = time.monotonic() + 0.3 * state.subject.seconds
    state.subject.deadline = state.search_until
    try:
        return diagnose(probes, name, reading.factor, reading.axis, given)
    except OutOfTime:
        note = f"The search for a relation of d{name} ended: its time was over."
        if note not in state.notes:
            state.notes.append(note)
        return None
    finally:
        state.subject.deadline = None


def probes_of(state: CheckState) -> list[Probe]:
    """Return the points for a diagnosis, made on first use."""
    if state.probes is None:
        state.probes = _make_probes(state)
    return state.probes


def _make_probes(state: CheckState) -> list[Probe]:
    """Make the points for a diagnosis: this one (or a small copy), another, one of other sizes."""
    subject, point, rng = state.subject, state.point, state.rng
    examples = state.examples[0] if state.examples else None
    dimensions = state.all_dimensions()
    if examples is None:
        examples = _scalar_examples(state, dimensions)
    named = state.named = dimension_names(dimensions, examples, subject.inputs)
    first: Point | None = point
    if not all(point.small(n) for n in subject.arity):
        first = _point(
            subject, resized(subject.inputs, distinct_sizes(dimensions, examples), rng), rng
        )
    elif any(np.any(point.truth(n).kinked | point.truth(n).lost) for n in subject.wrt):
        first = _off_kinks(state) or point
    if first is None or not all(first.small(n) for n in subject.wrt):
        return []
    probes = [Probe(first, sizes_of(named, first.inputs), resized=False)]
    if subject.fixed_d_output or first.done.scalar:
        second = _point(subject, other_inputs(first.inputs, rng, subject.wrt), rng)
    else:
        second = _point(subject, first.inputs, rng)
    if second is not None:
        probes.append(Probe(second, sizes_of(named, second.inputs), resized=False))
    if state.square:
        sizes = {axis: 5 for d in dimensions for axis in d.axes}
        if examples is not None:
            sizes.update(dict.fromkeys(examples.dimension.axes, 5))
    else:
        start = 3 if first is point else 5
        sizes = distinct_sizes(dimensions, examples, start)
    further = {axis: size + 3 + index for index, (axis, size) in _by_size(sizes)}
    for varied in (sizes, further):
        third = _point(subject, resized(first.inputs, varied, rng), rng)
        if third is not None and all(third.small(n) for n in subject.wrt):
            probes.append(Probe(third, sizes_of(named, third.inputs), resized=True))
    for probe in probes:
        probe.point.memo["holders"] = examples.holders if examples is not None else {}
    return probes


def _by_size(sizes: dict[Axis, int]) -> Iterator[tuple[int, tuple[Axis, int]]]:
    """Yield each axis with its size, numbered by size."""
    known = sorted(set(sizes.values()))
    for axis, size in sizes.items():
        yield known.index(size), (axis, size)


def _point(subject: Subject, inputs: Inputs, rng: np.random.Generator) -> Point | None:
    try:
        made = make_point(subject, inputs, rng)
    except (CallFailed, BacklitError):
        return None
    return made if all(np.all(np.isfinite(out)) for out in made.done.outs) else None


def right_when_moderate(state: CheckState, reading: Reading, name: str) -> bool:
    """Say whether a gradient that is NaN here is right where the inputs are a tenth as large."""
    subject = state.subject
    smaller = {
        n: v * 0.1 if isinstance(v, np.ndarray) and v.dtype.kind == "f" and n in subject.wrt else v
        for n, v in subject.inputs.items()
    }
    there = _point(subject, smaller, state.rng)
    return there is not None and there.small(name) and right_at(there, name, reading.factor)


def _off_kinks(state: CheckState) -> Point | None:
    subject, rng = state.subject, state.rng
    moved: Inputs = {}
    for name, value in subject.inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            step = 0.02 * (rms(value) or 1.0)
            moved[name] = np.asarray(value + step * rng.normal(size=value.shape))
        else:
            moved[name] = value
    return _point(subject, moved, rng)


def _scalar_examples(state: CheckState, dimensions: list[Dimension]) -> Examples | None:
    """Guess which dimension a scalar cost averages over, to name its length m."""
    subject = state.subject
    if not state.base.scalar:
        return None
    inner = [d for d in dimensions if not d.out_axes]
    name = subject.wrt[0]
    own = [(d, name, axis) for d in inner for n, axis in d.axes if n == name]
    # where parameters are checked, the examples are an axis of the data alone
    data = [(d, *d.axes[0]) for d in inner if not any(other in subject.wrt for other, _ in d.axes)]

    def averaged(dimension: Dimension) -> bool:
        twice = {
            n: np.concatenate([v, v], axis=dict(dimension.axes)[n])
            if n in dict(dimension.axes)
            else v
            for n, v in subject.inputs.items()
        }
        done = try_run(subject, twice)
        return done is not None and bool(
            np.allclose(done.flat(), state.base.flat(), rtol=1e-6, atol=0)
        )

    means = [place for place in data if averaged(place[0])]
    means = means or [place for place in own if averaged(place[0])]
    if len(means) > 1 or not (means or own):
        return None  # of a mean over several nobody can tell which counts the examples
    dimension, name, axis = means[0] if means else max(own, key=lambda place: place[2])
    last = np.ndim(subject.inputs[name]) - 1
    return Examples("columns" if axis == last else "rows", -1 if axis == last else 0, dimension)
