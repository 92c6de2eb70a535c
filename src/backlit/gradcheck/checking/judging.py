"""The reading with the fewest wrong gradients, and the report under it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backlit.gradcheck.checking.explaining import explain_verdict
from backlit.gradcheck.checking.readings import Reading, Verdict, readings
from backlit.gradcheck.checking.work import Work
from backlit.gradcheck.finding import Finding
from backlit.gradcheck.projection import project
from backlit.gradcheck.report import Report
from backlit.gradcheck.source import line_of
from backlit.gradcheck.truth import compare


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
                explain_verdict(work, reading, verdict)
        total = sum(v.complexity for v in row)
        if best is None or total < best[0] - 0.5:
            best = (total, reading, row)
        if fewest == 0:
            break
    if best is None:
        raise AssertionError("no reading")
    _, reading, row = best
    findings = tuple(_finish(work, reading, verdict) for verdict in row)
    parameters = reading.parameters(work.subject.wrt)
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
