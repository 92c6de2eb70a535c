"""`check_backward`: one pair of functions, from the call to the report."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError, SettingError
from backlit.gradcheck.axes import (
    Dimension,
    Examples,
    dimension_names,
    distinct_sizes,
    find_dimensions,
    find_examples,
    resized,
    sizes_of,
    try_run,
)
from backlit.gradcheck.calls import CallFailed, Inputs, Pass, Subject, make_subject
from backlit.gradcheck.diagnose import Diagnosis, Probe, diagnose, right_at
from backlit.gradcheck.numeric import rms
from backlit.gradcheck.raising import (
    COUNTS,
    Rebound,
    WithCount,
    explain,
    is_shape_error,
    known_names,
    missing_name,
    place_of,
)
from backlit.gradcheck.report import Finding, Report
from backlit.gradcheck.source import line_of, upstream_name
from backlit.gradcheck.state import first_call, other_inputs, same, second_call, stale_gradients
from backlit.gradcheck.truth import (
    Comparison,
    Point,
    Projection,
    Truth,
    compare,
    draw_upstream,
    make_point,
    project,
    regime_of,
    search,
)
from backlit.gradcheck.words import sentence, unknown_sentence

Array = NDArray[Any]

_EXPLAINS_SHAPE_ERROR = {"transpose", "elementwise", "unsummed", "shape", "swapped", "unknown"}


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    seed: int = 0,
) -> Report:
    """Check a backward function against the numbers, and say what is wrong with it.

    The truth is the numerical derivative of sum(d_output * output), d_output being random: complex
    steps where they agree with central differences, else central differences extrapolated to step
    zero. It needs nothing but calls of `forward`.

    Parameters
    ----------
    forward : callable
        ``forward(**inputs) -> (output, cache)``; the output an array or a tuple of arrays.
    backward : callable or None
        backward(d_output, cache) -> the gradients: a tuple in the order of `inputs`, or a dict with
        keys "d<name>" or "<name>", or a bare array where there is one. None where `forward` is a
        JAX custom_vjp function or a PyTorch autograd.Function, which brings its own.
    inputs : dict
        forward's arguments by name. Floating arrays are differentiated, all else is handed on.
    mean_over : {"auto", "columns", "rows", None}
        Where the examples are in the output, if the cost is their mean: gradients of inputs that
        have that axis carry no 1/m, all others carry it once. "auto" finds the axis by varying m,
        and takes the mean or the sum, whichever makes fewer gradients wrong (on a tie the mean).
        None: there is no mean.
    wrt : sequence of str, optional
        The inputs whose gradients are checked; all floating arrays by default.
    seed : int
        Makes the check repeatable.

    Returns
    -------
    Report
        `report.ok`, `report.findings`, `report.problems`; print it.

    Raises
    ------
    SettingError
        Where the arguments make no sense, such as a forward that returns no (output, cache).

    Examples
    --------
    >>> import numpy as np
    >>> def forward(A_prev, W):
    ...     return W @ A_prev, (A_prev, W)
    >>> def backward(dZ, cache):
    ...     A_prev, W = cache
    ...     m = A_prev.shape[1]
    ...     return W.T @ dZ / m, dZ @ A_prev.T / m
    >>> rng = np.random.default_rng(0)
    >>> inputs = {"A_prev": rng.normal(size=(4, 3)), "W": rng.normal(size=(2, 4))}
    >>> report = check_backward(forward, backward, inputs)
    >>> [(f.gradient, f.relation, f.factor_name) for f in report.problems]
    [('A_prev', 'scale', '1/m')]
    """
    if mean_over not in ("auto", "columns", "rows", None):
        raise SettingError(
            f"check_backward: mean_over is {mean_over!r}, expected 'auto', 'columns', 'rows' or "
            "None."
        )
    if backward is None:
        from backlit.gradcheck.adapters import own_backward

        forward, backward = own_backward(forward)
    subject = make_subject(forward, backward, inputs, wrt)
    begun = time.perf_counter()
    with quiet():
        report = run_check(subject, mean_over, seed)
    return replace(report, seconds=time.perf_counter() - begun)


def assert_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    seed: int = 0,
) -> None:
    """Check a backward function and raise AssertionError, with the report, if it is wrong.

    Takes what `check_backward` takes.

    Raises
    ------
    AssertionError
        Where a gradient is wrong.
    SettingError
        As `check_backward`.
    """
    report = check_backward(forward, backward, inputs, mean_over=mean_over, wrt=wrt, seed=seed)
    if not report.ok:
        raise AssertionError("\n" + str(report))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what the user's functions warn of, and give back the global generators' states."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - the user's functions may draw from it
    python_state = random.getstate()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


@dataclass(frozen=True)
class Reading:
    """One way to read where the mean lives."""

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


@dataclass
class Work:
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
    probes: list[Probe] | None = None
    named: dict[str, Dimension] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def all_dimensions(self) -> list[Dimension]:
        """Return the function's dimensions, found on first use."""
        if self.dimensions is None:
            self.dimensions = find_dimensions(
                self.subject, self.subject.inputs, self.base, self.rng
            )
        return self.dimensions


def run_check(subject: Subject, mean_over: str | None, seed: int) -> Report:
    """Check a subject."""
    rng = np.random.default_rng(seed)
    try:
        base, found = _watch_forward(subject)
    except CallFailed as failed:
        return Report((_raise_finding(subject, failed, None),))
    if not _repeats(subject, base):
        subject.seeded = True
        base = subject.run(subject.inputs)
        if not _repeats(subject, base):
            text = (
                "forward gives another output each time for the same inputs, so its derivative "
                "cannot be measured: hand the random mask or the seed in."
            )
            return Report((*found, Finding(None, "unknown", text)))
    if not all(np.all(np.isfinite(out)) for out in base.outs):
        text = (
            "forward itself gives NaN or infinity at these inputs, so that there is no derivative "
            "to compare with: check it there, or choose other inputs."
        )
        return Report((*found, Finding(None, "nonfinite", text)))
    examples = _examples(subject, base, mean_over, rng)
    reached = _reach_backward(subject, base, examples, rng, mean_over, seed)
    found += reached.raised
    if reached.report is not None:
        return replace(reached.report, findings=(*found, *reached.report.findings))
    if reached.called is None:
        return Report(tuple(found))
    done, d_outs, gradients, changed, again = reached.called
    for name in changed:
        found.append(_mutation(subject, name, "backward"))
    point = Point(subject, subject.inputs, done, d_outs, gradients, regime_of(done))
    work = Work(subject, rng, base, examples, point, seed)
    _watch_state(work, again, changed)
    report = judge(work, mean_over)
    report = replace(report, findings=(*found, *report.findings))
    if report.ok and examples and examples[0].m == 1:
        return _with_more_examples(work, mean_over, report)
    return report


def _watch_forward(subject: Subject) -> tuple[Pass, list[Finding]]:
    """Run forward, and see whether it changes its inputs."""
    given = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in subject.inputs.items()}
    base = subject.run(given)
    base = replace(base, outs=[np.array(out) for out in base.outs])
    changed = [
        n
        for n, v in subject.inputs.items()
        if isinstance(v, np.ndarray) and not np.array_equal(v, given[n], equal_nan=True)
    ]
    subject.mutates = bool(changed)
    return base, [_mutation(subject, name, "forward") for name in changed]


def _mutation(subject: Subject, name: str, where: str) -> Finding:
    if name == "d_output":
        own = upstream_name(subject.backward)
        text = (
            f"{where} changes the incoming gradient {own} in place: another name for it is the "
            f"same array, not a copy; begin with np.array({own}, copy=True), or multiply by a mask."
        )
    else:
        text = (
            f"{where} changes its input {name} in place: another name for an array is the same "
            "array; write x = x * y for x *= y, or copy first."
        )
    return Finding(None, "mutates", text)


def _repeats(subject: Subject, base: Pass) -> bool:
    again = subject.run(subject.inputs)
    return all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
        for a, b in zip(base.outs, again.outs, strict=True)
    )


def _examples(
    subject: Subject, base: Pass, mean_over: str | None, rng: np.random.Generator
) -> list[Examples]:
    found = find_examples(subject, subject.inputs, base, rng)
    if mean_over in ("auto", None):
        return found
    stated = [e for e in found if e.label == mean_over]
    if stated:
        return stated
    if all(out.ndim == 1 for out in base.outs) and found:
        return found[:1]
    if any(out.ndim == 0 for out in base.outs):
        return []
    axis = -1 if mean_over == "columns" else 0
    size = base.outs[0].shape[axis]
    axes = tuple(
        (n, axis % v.ndim)
        for n, v in subject.inputs.items()
        if isinstance(v, np.ndarray) and v.ndim and v.shape[axis] == size
    )
    if not axes:
        return []
    return [Examples(str(mean_over), axis, Dimension(axes, size, ((0, axis),)))]


@dataclass
class Reached:
    """What came of the first backward call: its result, or what it raised, or a whole report."""

    raised: list[Finding]
    called: tuple[Pass, list[Array], dict[str, Any], list[str], Pass | None] | None = None
    report: Report | None = None


def _reach_backward(
    subject: Subject,
    base: Pass,
    examples: list[Examples],
    rng: np.random.Generator,
    mean_over: str | None,
    seed: int,
) -> Reached:
    """Call backward; where a name is missing or shapes do not fit, find a way behind that."""
    reached = Reached([])
    bound: set[str] = set()
    while True:
        try:
            reached.called = first_call(subject, None, lambda p: draw_upstream(subject, p, rng))
            return reached
        except CallFailed as failed:
            if failed.where == "forward":
                reached.raised.append(_raise_finding(subject, failed, None))
                return reached
            name = missing_name(failed.error)
            if name is not None and name not in bound:
                reached.raised.append(_raise_finding(subject, failed, examples or None))
                if name in COUNTS:
                    axis = examples[0].axis if examples else None
                    subject.backward = WithCount(subject.backward, name, axis)
                elif name == "np":
                    subject.backward = Rebound(subject.backward, {"np": np})
                else:
                    return reached
                bound.add(name)
                continue
            finding = _raise_finding(subject, failed, examples or None)
            if is_shape_error(failed.error):
                report = _on_squares(subject, base, examples, rng, mean_over, seed, finding)
                if report is not None:
                    reached.report = report
                    return reached
            reached.raised.append(finding)
            return reached


def _raise_finding(
    subject: Subject, failed: CallFailed, examples: list[Examples] | None
) -> Finding:
    count = "the number of examples in A_prev"
    if examples:
        name, axis = examples[0].dimension.axes[0]
        count = f"{name}.shape[{axis}]"
    function = subject.backward if failed.where == "backward" else subject.forward
    text = explain(failed.error, failed.where, count, known_names(function))
    place = place_of(failed.error)
    return Finding(
        None,
        "raises",
        text if place is None or not place.text else f"{text} (Line {place.line}: {place.text})",
        line=None if place is None else place.line,
        source=None if place is None else place.text or None,
        file=None if place is None else place.file,
    )


_SQUARE = 4


def _square_work(
    subject: Subject,
    base: Pass,
    examples: list[Examples],
    rng: np.random.Generator,
    seed: int,
) -> Work | None:
    """Set the check up with all dimensions equal, where products with a wrong .T still run."""
    dimensions = find_dimensions(subject, subject.inputs, base, rng)
    if not dimensions:
        return None
    sizes = {axis: _SQUARE for d in dimensions for axis in d.axes}
    for e in examples:
        sizes.update(dict.fromkeys(e.dimension.axes, _SQUARE))
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
    point = Point(square, inputs, done, d_outs, gradients, regime_of(done))
    there = [_examples_at(e, inputs) for e in examples]
    work = Work(square, rng, done, there, point, seed, square=True)
    work.dimensions = [replace(d, size=_SQUARE) for d in dimensions]
    _watch_state(work, again, [])
    return work


def _on_squares(
    subject: Subject,
    base: Pass,
    examples: list[Examples],
    rng: np.random.Generator,
    mean_over: str | None,
    seed: int,
    finding: Finding,
) -> Report | None:
    """Check with all dimensions equal what stops at shapes that do not fit."""
    work = _square_work(subject, base, examples, rng, seed)
    if work is None:
        return None
    report = judge(work, mean_over)
    wrong = {f.relation for f in report.problems}
    note = (
        "With the shapes given, backward stops at a product that does not fit; the gradients were "
        f"compared with every dimension {_SQUARE}."
    )
    if not wrong & _EXPLAINS_SHAPE_ERROR:
        return replace(report, findings=(finding, *report.findings), notes=(*report.notes, note))
    return replace(report, notes=(*report.notes, note))


def _diagnose_on_squares(work: Work, reading: Reading, name: str) -> Diagnosis | None:
    """Diagnose a gradient of another shape with all dimensions equal, where its shape is right."""
    if work.square:
        return None
    examples = [] if reading.examples is None else [reading.examples]
    square = _square_work(work.subject, work.base, examples, work.rng, work.seed)
    if square is None or name in square.accumulating:
        return None
    there = Reading(square.examples[0] if square.examples else None, reading.mean)
    return _diagnose(square, there, name)


def _examples_at(examples: Examples, inputs: Inputs) -> Examples:
    name, axis = examples.dimension.axes[0]
    size = int(np.shape(inputs[name])[axis])
    return replace(examples, dimension=replace(examples.dimension, size=size))


def _watch_state(work: Work, again: Pass | None, changed: list[str]) -> None:
    """Look for gradients that add up over calls, or follow the last forward pass."""
    subject, point = work.subject, work.point
    twice = second_call(subject, point.d_outs, again)
    if twice is None and not changed:
        twice = second_call(subject, point.d_outs, None)
    if twice is None:
        return
    for name in subject.wrt:
        first, second = point.gradients[name], twice[name]
        if same(first, second):
            continue
        work.accumulating.add(name)
        if first is None or second is None or first.shape != second.shape:
            continue
        step = second - first
        if _looks_right(work, name, step) and not _looks_right(work, name, first):
            point.gradients[name] = step
    steady = [n for n in subject.wrt if n not in work.accumulating]
    if steady:
        work.stale = stale_gradients(subject, point.d_outs, steady, work.rng)


def _looks_right(work: Work, name: str, gradient: Array) -> bool:
    point = work.point
    if not point.small(name) or gradient.shape != np.shape(point.inputs[name]):
        return False
    truth = point.truth(name)
    factors = {1.0, *(1.0 / e.m for e in work.examples if e.m)}
    return any(compare(gradient, truth, f, point.regime).ok for f in factors)


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


def judge(work: Work, mean_over: str | None) -> Report:
    """Choose the reading with the fewest wrong inputs, and say what is wrong under it."""
    tried = readings(work.examples, mean_over)
    verdicts = [[_verdict(work, reading, name) for name in work.subject.wrt] for reading in tried]
    fewest = min(sum(not v.ok for v in row) for row in verdicts)
    tied = [
        (reading, row)
        for reading, row in zip(tried, verdicts, strict=True)
        if sum(not v.ok for v in row) == fewest
    ]
    best: tuple[float, Reading, list[Verdict]] | None = None
    for reading, row in tied:
        for verdict in row:
            if not verdict.ok:
                _explain(work, reading, verdict)
        total = sum(v.complexity for v in row)
        if best is None or total < best[0] - 0.5:
            best = (total, reading, row)
        if fewest == 0:
            break
    if best is None:
        raise AssertionError("no reading")
    _, reading, row = best
    findings = tuple(_finish(work, reading, verdict) for verdict in row)
    parameters = _parameters(work, reading)
    convention = None
    if reading.examples is not None and parameters:
        convention = "mean" if reading.mean else "sum"
        borne_out = any(v.ok for v in row if v.name in parameters) or mean_over != "auto"
        if not borne_out or reading.examples.m == 1:
            convention = None
    kinks = _kinks(work)
    notes = list(work.notes)
    if kinks:
        notes.append(kinks)
    notes += _lost(work)
    if work.point.regime.single:
        notes.append("The functions compute in float32, and are judged at its accuracy.")
    return Report(
        findings,
        mean_over=reading.examples.label if reading.examples is not None else None,
        convention=convention,
        notes=tuple(notes),
        accuracy="float32" if work.point.regime.single else "float64",
    )


def _parameters(work: Work, reading: Reading) -> list[str]:
    if reading.examples is None:
        return []
    return [n for n in work.subject.wrt if n not in reading.examples.holders]


def _kinks(work: Work) -> str:
    said = []
    for name in work.subject.wrt:
        if work.point.small(name) and work.point.measured(name):
            count = int(np.sum(work.point.truth(name).kinked))
            if count:
                said.append(f"{count} of {name}'s {work.point.inputs[name].size}")
    if not said:
        return ""
    return f"On a kink: {', '.join(said)} entries. There any slope between the two sides is right."


def _lost(work: Work) -> list[str]:
    lost = {
        name: int(np.sum(work.point.truth(name).lost))
        for name in work.subject.wrt
        if work.point.small(name) and work.point.measured(name)
    }
    return [
        f"{count} of {name}'s entries could not be judged: forward gives no numbers around them."
        for name, count in lost.items()
        if count
    ]


def _verdict(work: Work, reading: Reading, name: str) -> Verdict:
    point = work.point
    gradient = point.gradients[name]
    x = point.inputs[name]
    if gradient is None or gradient.shape != x.shape:
        return Verdict(name, ok=False, off=np.inf)
    factor = reading.factor(point, name)
    if point.small(name):
        seen = compare(gradient, point.truth(name), factor, point.regime)
        return Verdict(name, seen.ok, seen.difference)
    if not np.all(np.isfinite(gradient)):
        return Verdict(name, ok=False, off=np.inf)
    if name not in work.projections:
        work.projections[name] = project(point, name, gradient, work.rng)
    seen_along = work.projections[name]
    off = seen_along.off(factor)
    size = abs(factor * seen_along.truth) or 1.0
    ok = bool(off <= seen_along.limit(factor)) and not seen_along.kinked
    return Verdict(name, ok, off / size)


def _explain(work: Work, reading: Reading, verdict: Verdict) -> None:
    """Find out what is wrong with one gradient under one reading; it may turn out right."""
    name, point = verdict.name, work.point
    gradient = point.gradients[name]
    factor = reading.factor(point, name)
    verdict.complexity = 30.0
    if gradient is None:
        verdict.finding = Finding(
            name,
            "unknown",
            f"no gradient of numbers came back for {name}: backward has to return d{name}.",
            residual=1.0,
        )
        return
    if not np.all(np.isfinite(gradient)):
        _explain_nonfinite(work, reading, verdict)
        return
    if not point.small(name) and gradient.shape == point.inputs[name].shape:
        _explain_large(work, reading, verdict)
        return
    diagnosis = _diagnose(work, reading, name)
    if diagnosis is not None:
        verdict.finding = _diagnosed(work, reading, name, diagnosis)
        verdict.complexity = diagnosis.complexity
        return
    shape = point.inputs[name].shape
    if gradient.shape != shape:
        diagnosis = _diagnose_on_squares(work, reading, name)
        if diagnosis is not None:
            verdict.finding = _diagnosed(work, reading, name, diagnosis)
            verdict.complexity = diagnosis.complexity
            return
        text = f"d{name} has shape {gradient.shape}, expected {shape}, the shape of {name}"
        text += _wrong_axis(work, reading, name)
        verdict.finding = Finding(name, "unknown", text + ".", residual=1.0)
        return
    truth = point.truth(name)
    seen = compare(gradient, truth, factor, point.regime)
    verdict.finding = _unknown(name, gradient, truth.value * factor, seen)
    verdict.complexity = 30.0 + float(np.mean(seen.wrong))


def _unknown(name: str, gradient: Array, right: Array, seen: Comparison) -> Finding:
    text, details = unknown_sentence(name, np.asarray(gradient), right, seen)
    return Finding(name, "unknown", text, residual=seen.difference, details=details)


def _wrong_axis(work: Work, reading: Reading, name: str) -> str:
    """Say whether a sum went over the wrong axis, or over all of them."""
    point = work.point
    gradient = point.gradients[name]
    if not point.small(name) or reading.axis is None:
        return ""
    truth = point.truth(name).value * reading.factor(point, name)
    if gradient.size == 1 and np.allclose(gradient.sum(), truth.sum(), rtol=1e-7):
        return ": everything was summed; sum over the examples only (axis=..., keepdims=True)"
    if gradient.size != truth.size and np.allclose(gradient.sum(), truth.sum(), rtol=1e-7):
        return ": was the sum taken over the wrong axis?"
    return ""


def _explain_nonfinite(work: Work, reading: Reading, verdict: Verdict) -> None:
    name, point = verdict.name, work.point
    gradient = point.gradients[name]
    x = point.inputs[name]
    bad = ~np.isfinite(gradient)
    count = int(np.sum(bad))
    kind = "NaN" if np.any(np.isnan(gradient)) else "infinity"
    text = (
        f"d{name} is {kind} in {count} of {gradient.size} entries where the right value is finite: "
        f"{'0/0' if kind == 'NaN' else 'a division by 0'} or an overflow where the activation "
        "saturates"
    )
    text += (
        ". For sigmoid or softmax with cross-entropy use dZ = AL - Y; elsewhere guard the quotient."
    )
    relations: tuple[str, ...] = ("nonfinite",)
    details = ""
    if gradient.shape == x.shape and point.small(name):
        truth = point.truth(name)
        factor = reading.factor(point, name)
        seen = compare(np.where(bad, truth.value * factor, gradient), truth, factor, point.regime)
        constant = _finite_scale(gradient, truth.value * factor, ~bad)
        if not seen.ok and constant is not None:
            relations = ("nonfinite", "scale")
            text += f" The finite entries are {constant:.6g} times the right ones."
        elif not seen.ok:
            relations = ("nonfinite", "unknown")
            text += " The finite entries are wrong as well."
        first = np.argwhere(bad)[0]
        place = tuple(int(i) for i in first)
        details = f"{list(place)}: yours {gradient[place]}, right {truth.value[place] * factor:.6g}"
    verdict.finding = Finding(
        name, "nonfinite", text, residual=0.0, relations=relations, details=details
    )
    verdict.complexity = 5.0


def _finite_scale(gradient: Array, right: Array, finite: Array) -> float | None:
    """Return the constant between the finite entries and the right ones, if there is one."""
    a, b = gradient[finite], right[finite]
    weight = float(np.sum(b * b))
    if a.size < 3 or weight == 0:
        return None
    constant = float(np.sum(a * b)) / weight
    return constant if np.allclose(a, constant * b, rtol=1e-6, atol=1e-9) else None


def _diagnosed(work: Work, reading: Reading, name: str, diagnosis: Diagnosis) -> Finding:
    gradient = work.point.gradients[name]
    examples = reading.examples
    per_example = examples is not None and name in examples.holders
    parameters = _parameters(work, reading)
    convention = ("mean" if reading.mean else "sum") if parameters else None
    text = sentence(
        name,
        diagnosis,
        tuple(gradient.shape),
        tuple(work.point.inputs[name].shape),
        convention,
        per_example,
    )
    others = [p for p in parameters if p != name]
    if others and convention == "mean" and per_example:
        listed = " and ".join(f"d{p}" for p in others[:2])
        text = text.replace("the parameters' gradients", listed)
    text = text.replace("d_output", upstream_name(work.subject.backward))
    factor = diagnosis.factor
    return Finding(
        name,
        diagnosis.relations[0],
        text,
        factor=None if factor is None else factor.value,
        factor_name=None if factor is None else factor.name,
        residual=diagnosis.residual,
        relations=diagnosis.relations,
    )


def _explain_large(work: Work, reading: Reading, verdict: Verdict) -> None:
    """Diagnose a large array: on a small copy of the problem first, then where it is wrong."""
    name, point = verdict.name, work.point
    gradient = point.gradients[name]
    factor = reading.factor(point, name)
    diagnosis = _diagnose(work, reading, name)
    if diagnosis is not None:
        verdict.finding = _diagnosed(work, reading, name, diagnosis)
        verdict.complexity = diagnosis.complexity
        return
    found = search(point, name, gradient, factor, work.rng)
    if not found.entries:
        verdict.ok = not found.many
        verdict.complexity = 0.0 if verdict.ok else 31.0
        if found.many:
            verdict.finding = Finding(
                name,
                "unknown",
                f"d{name} is wrong, and no simple relation to the right gradient was found.",
                residual=verdict.off,
            )
        return
    given = gradient.reshape(-1)[found.entries]
    right = np.array(found.truths)
    size = float(np.max(np.abs(right), initial=0.0)) or 1.0
    off = np.abs(given - right)
    lines = []
    for index in np.argsort(-off, kind="stable")[:3]:
        place = [int(i) for i in np.unravel_index(found.entries[index], gradient.shape)]
        lines.append(f"{place}: yours {given[index]:.6g}, right {right[index]:.6g}")
    if len(found.entries) == 1 and not found.many:
        place = [int(i) for i in np.unravel_index(found.entries[0], gradient.shape)]
        percent = 100 * (given[0] / right[0] - 1) if right[0] else np.inf
        text = f"d{name} is wrong in one entry only, {place}: {abs(percent):.3g} % too "
        text += "large." if percent > 0 else "small."
    else:
        many = "many" if found.many else str(len(found.entries))
        text = (
            f"d{name} is wrong in {many} of {gradient.size} entries, and no simple relation to the "
            "right gradient was found."
        )
    verdict.finding = Finding(
        name,
        "unknown",
        text,
        residual=float(np.max(off)) / size,
        details="\n".join(lines),
    )
    verdict.complexity = 30.0 + (1.0 if found.many else len(found.entries) / gradient.size)


def _diagnose(work: Work, reading: Reading, name: str) -> Diagnosis | None:
    if name in work.accumulating:
        return None
    if work.probes is None:
        work.probes = _make_probes(work)
    probes = work.probes
    if not probes:
        return None
    if reading.examples is not None:
        for probe in probes:
            probe.point.memo["holders"] = reading.examples.holders
    if right_at(probes[0].point, name, reading.factor):
        return None
    given = sizes_of(work.named, work.subject.inputs)
    return diagnose(probes, name, reading.factor, reading.axis, given)


def _make_probes(work: Work) -> list[Probe]:
    """Make the points for a diagnosis: this one (or a small copy), another, one of other sizes."""
    subject, point, rng = work.subject, work.point, work.rng
    examples = work.examples[0] if work.examples else None
    dimensions = work.all_dimensions()
    if examples is None:
        examples = _scalar_examples(work, dimensions)
    named = work.named = dimension_names(dimensions, examples, subject.inputs)
    first: Point | None = point
    if not all(point.small(n) for n in subject.arity):
        first = _point(
            subject, resized(subject.inputs, distinct_sizes(dimensions, examples), rng), rng
        )
    elif any(np.any(point.truth(n).kinked | point.truth(n).lost) for n in subject.wrt):
        first = _off_kinks(work) or point
    if first is None or not all(first.small(n) for n in subject.wrt):
        return []
    probes = [Probe(first, sizes_of(named, first.inputs), resized=False)]
    if subject.fixed_d_output or first.done.scalar:
        second = _point(subject, other_inputs(first.inputs, rng, subject.wrt), rng)
    else:
        second = _point(subject, first.inputs, rng)
    if second is not None:
        probes.append(Probe(second, sizes_of(named, second.inputs), resized=False))
    if work.square:
        sizes = {axis: 5 for d in dimensions for axis in d.axes}
        if examples is not None:
            sizes.update(dict.fromkeys(examples.dimension.axes, 5))
    else:
        start = 3 if first is point else 5
        sizes = distinct_sizes(dimensions, examples, start)
    third = _point(subject, resized(first.inputs, sizes, rng), rng)
    if third is not None and all(third.small(n) for n in subject.wrt):
        probes.append(Probe(third, sizes_of(named, third.inputs), resized=True))
    for probe in probes:
        probe.point.memo["holders"] = examples.holders if examples is not None else {}
    return probes


def _point(subject: Subject, inputs: Inputs, rng: np.random.Generator) -> Point | None:
    try:
        made = make_point(subject, inputs, rng)
    except (CallFailed, BacklitError):
        return None
    return made if all(np.all(np.isfinite(out)) for out in made.done.outs) else None


def _off_kinks(work: Work) -> Point | None:
    subject, rng = work.subject, work.rng
    moved: Inputs = {}
    for name, value in subject.inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            step = 0.02 * (rms(value) or 1.0)
            moved[name] = np.asarray(value + step * rng.normal(size=value.shape))
        else:
            moved[name] = value
    return _point(subject, moved, rng)


def _scalar_examples(work: Work, dimensions: list[Dimension]) -> Examples | None:
    """Guess which dimension a scalar cost averages over, to name its length m."""
    subject = work.subject
    name = subject.wrt[0]
    own = [(d, axis) for d in dimensions for n, axis in d.axes if n == name and not d.out_axes]
    if not own or not work.base.scalar:
        return None

    def averaged(dimension: Dimension) -> bool:
        twice = {
            n: np.concatenate([v, v], axis=dict(dimension.axes)[n])
            if n in dict(dimension.axes)
            else v
            for n, v in subject.inputs.items()
        }
        done = try_run(subject, twice)
        return done is not None and bool(
            np.allclose(done.flat(), work.base.flat(), rtol=1e-6, atol=0)
        )

    own.sort(key=lambda pair: (not averaged(pair[0]), -pair[1]))
    dimension, axis = own[0]
    last = np.ndim(subject.inputs[name]) - 1
    return Examples("columns" if axis == last else "rows", -1 if axis == last else 0, dimension)


def _finish(work: Work, reading: Reading, verdict: Verdict) -> Finding:
    """Turn a verdict into a finding; what the function remembers comes first."""
    name = verdict.name
    if name in work.accumulating:
        gradient = work.point.gradients[name]
        right = verdict.ok
        text = (
            f"d{name} changes when backward is called again with the same cache: it adds to "
            "what an earlier call left, or changes an array of the cache in place; begin each call "
            "with a fresh array (= for +=)."
        )
        relations: tuple[str, ...] = ("accumulates",)
        if not right:
            relations = ("accumulates", "unknown")
            text += " The first call's is wrong as well."
        residual = verdict.off if gradient is not None and not right else 0.0
        return _pointed(
            work, Finding(name, "accumulates", text, residual=residual, relations=relations)
        )
    if name in work.stale:
        text = (
            f"d{name} belongs to the last forward pass and not to the cache that backward was "
            "given: take the arrays from the cache, not from self or a global."
        )
        return _pointed(work, Finding(name, "stale", text, residual=0.0))
    if verdict.finding is not None:
        return _pointed(work, verdict.finding)
    return Finding(name, "correct", "agrees.", residual=verdict.off)


def _pointed(work: Work, finding: Finding) -> Finding:
    """Add the likely line to change."""
    name = finding.gradient
    if name is None or finding.line is not None:
        return finding
    names = tuple(work.subject.inputs)
    position = names.index(name) if name in names else None
    function = work.subject.backward
    line = line_of(getattr(function, "__wrapped__", function), name, position)
    if line is None:
        return finding
    return replace(
        finding,
        line=line.number,
        source=line.text,
        file=line.file,
        message=f"{finding.message} (Line {line.number}: {line.text})",
    )


def _with_more_examples(work: Work, mean_over: str | None, report: Report) -> Report:
    """Check once more with three examples: with one, a factor 1/m cannot be seen."""
    subject = work.subject
    axes = work.examples[0].dimension.axes
    inputs = resized(subject.inputs, dict.fromkeys(axes, 3), work.rng)
    done = try_run(subject, inputs)
    if done is None or not all(np.all(np.isfinite(out)) for out in done.outs):
        return report
    again = run_check(replace(subject, inputs=inputs), mean_over, work.seed)
    if again.ok or any(f.relation == "raises" for f in again.problems):
        return report
    note = "There is one example only; with three, what is reported above shows."
    return replace(again, notes=(*again.notes, note))


__all__ = ["Truth", "assert_backward", "check_backward", "quiet", "run_check"]
