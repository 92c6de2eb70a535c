"""One check, from the first call to the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backlit.gradcheck.axes import Dimension, resized, try_run
from backlit.gradcheck.calls import CallFailed, Pass, Subject
from backlit.gradcheck.checking.judging import judge
from backlit.gradcheck.checking.reaching import raise_finding, reach_backward
from backlit.gradcheck.checking.work import Work, watch_state
from backlit.gradcheck.examples import Examples, find_examples
from backlit.gradcheck.finding import Finding
from backlit.gradcheck.report import Report
from backlit.gradcheck.source import upstream_name
from backlit.gradcheck.truth import Point, regime_of


def run_check(subject: Subject, mean_over: str | None, seed: int) -> Report:
    """Check a subject."""
    rng = np.random.default_rng(seed)
    try:
        base, found = _watch_forward(subject)
    except CallFailed as failed:
        return Report((raise_finding(subject, failed, None),))
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
    reached = reach_backward(subject, base, examples, rng, mean_over, seed)
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
    watch_state(work, again, changed)
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
