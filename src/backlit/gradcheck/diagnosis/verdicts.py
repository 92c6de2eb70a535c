"""Which gradients are right under the best reading of the mean, and what the others lack.

Guard epsilons, clipping and rounded constants are no faults.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.diagnosis.check_state import (
    CheckState,
    Reading,
    Verdict,
    diagnose_gradient,
    diagnose_on_squares,
    probes_of,
    readings,
    right_when_moderate,
)
from backlit.gradcheck.diagnosis.diagnose import (
    Diagnosis,
    apart,
    right_at,
    sentence,
    unknown_sentence,
)
from backlit.gradcheck.diagnosis.relations import make_case, simple_matches
from backlit.gradcheck.probing.calls import CallFailed
from backlit.gradcheck.probing.truth import (
    Comparison,
    Point,
    compare,
    make_point,
    over_counted,
    project,
    search,
    tolerance,
)
from backlit.gradcheck.probing.user_code import line_of, text_of, upstream_name, without_guards
from backlit.gradcheck.reporting.report import Finding, Report


def guards_behind(state: CheckState, reading: Reading, name: str) -> tuple[float, ...]:
    """Return the guards without which a gradient is right; none where they do not explain it."""
    point = state.point
    gradient = point.gradients[name]
    if gradient is None or gradient.shape != point.inputs[name].shape or not point.small(name):
        return ()
    if state.unguarded is None:
        state.unguarded = _unguarded(state)
    if not state.unguarded:
        return ()
    there, guards = state.unguarded[0]
    if not there.small(name) or not right_at(there, name, reading.factor):
        return ()
    case = make_case(point, name, reading.factor, reading.axis)
    if case is not None and any(m.relations[0] == "penalty" for m in simple_matches(case)):
        return ()  # a small L2 term that one of them lacks
    return guards


def _unguarded(state: CheckState) -> list[tuple[Point, tuple[float, ...]]]:
    found = without_guards(state.subject)
    if found is None:
        return []
    subject, guards = found
    try:
        there = make_point(subject, state.point.inputs, state.rng, state.point.d_outs)
    except (CallFailed, BacklitError):
        return []
    return [(there, guards)]


def rounded_constants(state: CheckState, reading: Reading, name: str) -> bool:
    """Say whether a gradient differs so little as constants of a few digits explain.

    0.797885 for sqrt(2 / pi) is off by 7e-7: sums of such terms stay below 1e-5.
    """
    point = state.point
    gradient = point.gradients[name]
    if gradient is None or gradient.shape != point.inputs[name].shape or not point.small(name):
        return False
    text = text_of(inspect.unwrap(state.subject.backward))
    if not re.search(r"\d\.\d{4,8}(?!\d)", text):
        return False
    right = point.truth(name).value * reading.factor(point, name)
    return float(np.max(np.abs(gradient - right))) <= 1e-5 * float(np.max(np.abs(right)))


def clipping(state: CheckState, reading: Reading, name: str) -> Finding | None:
    """Say whether a gradient is the right one, clipped: inside two bounds equal, outside at them.

    The bounds of one point have to hold at the others.
    """
    gradient = state.point.gradients[name]
    if gradient is None or gradient.shape != state.point.inputs[name].shape:
        return None
    low, high = float(np.min(gradient)), float(np.max(gradient))
    bound = max(abs(low), abs(high))
    if bound == 0 or not np.isfinite(bound):
        return None
    seen = False
    for probe in probes_of(state):
        point = probe.point
        given = point.gradients.get(name)
        if given is None or given.shape != point.inputs[name].shape:
            return None
        truth = point.truth(name)
        factor = reading.factor(point, name)
        right, allowed = truth.value * factor, tolerance(truth, factor, point.regime)
        if np.any(np.abs(given - np.clip(right, -bound, bound)) > allowed + 1e-9 * bound):
            return None
        seen = seen or int(np.sum(np.abs(right) > bound + allowed)) >= 1
    if not seen:
        return None
    text = (
        f"d{name} is clipped to [{-bound:.6g}, {bound:.6g}]: it is right inside and at the bound "
        "outside. That is usual against exploding gradients, and no fault where it is meant."
    )
    return Finding(name, "clipped", text, residual=0.0, level="style")


def judge(state: CheckState, mean_over: str | None) -> Report:
    """Choose the reading with the fewest wrong inputs, and say what is wrong under it."""
    tried = readings(state.examples, mean_over)
    verdicts = [[_verdict(state, reading, name) for name in state.subject.wrt] for reading in tried]
    fewest = min(sum(not v.ok for v in row) for row in verdicts)
    tied = [
        (reading, row)
        for reading, row in zip(tried, verdicts, strict=True)
        if sum(not v.ok for v in row) == fewest
    ]
    if fewest and mean_over == "auto":
        # where examples are rows the 1/m usually comes from above, with the loss's gradient
        tied.sort(
            key=lambda row: row[0].mean and row[0].axis is not None and row[0].axis[0] == "rows"
        )
    best: tuple[float, Reading, list[Verdict]] | None = None
    least = 0  # gradients that are more than fragile under the best reading
    totals: list[tuple[float, Reading, list[Verdict]]] = []
    for reading, row in tied:
        for verdict in row:
            if not verdict.ok:
                explain_verdict(state, reading, verdict)
        total = sum(v.complexity for v in row)
        totals.append((total, reading, row))
        wrong = sum(v.finding is not None and v.finding.level == "wrong" for v in row)
        if best is None or wrong < least or (wrong == least and total < best[0] - 0.5):
            best, least = (total, reading, row), wrong
        if fewest == 0:
            break
    if best is None:
        raise AssertionError("no reading")
    _, reading, row = best
    findings = tuple(_finish(state, reading, verdict) for verdict in row)
    parameters = reading.parameters(state.subject.wrt)
    convention = None
    if reading.examples is not None and parameters:
        convention = "mean" if reading.mean else "sum"
        borne_out = any(v.ok for v in row if v.name in parameters) or mean_over != "auto"
        if not borne_out or reading.examples.m == 1:
            convention = None
    kinks = _kinks(state)
    notes = list(state.notes)
    notes += [
        f"d{v.name} differs by {v.off:.1g} of its size: a guard of "
        f"{', '.join(f'{g:g}' for g in v.guards)} that only one of forward and backward has."
        for v in row
        if v.guards
    ]
    notes += _other_readings(best, totals)
    if kinks:
        notes.append(kinks)
    notes += _lost(state)
    if state.point.regime.single:
        notes.append("The functions compute in float32, and are judged at its accuracy.")
    return Report(
        findings,
        mean_over=reading.examples.label if reading.examples is not None else None,
        convention=convention,
        notes=tuple(notes),
        accuracy="float32" if state.point.regime.single else "float64",
    )


TWO_READINGS = "Two readings explain this."


def _other_readings(
    best: tuple[float, Reading, list[Verdict]], totals: list[tuple[float, Reading, list[Verdict]]]
) -> list[str]:
    """Say what is wrong where the mean is read in another way that explains the call as well."""
    total, reading, row = best
    wrong = {v.name for v in row if not v.ok}
    said = []
    for other, another, verdicts in totals:
        there = [v for v in verdicts if not v.ok and v.finding is not None]
        if reading.mean == another.mean or other - total > 1 or {v.name for v in there} == wrong:
            continue
        cost = "mean" if another.mean else "sum"
        sentences = " ".join(v.finding.message for v in there if v.finding is not None)
        said.append(
            f"{TWO_READINGS} If the cost is the {cost} over the examples instead: {sentences}"
        )
    return said[:1] if wrong else []


def _kinks(state: CheckState) -> str:
    said = []
    for name in state.subject.wrt:
        if state.point.small(name) and state.point.measured(name):
            count = int(np.sum(state.point.truth(name).kinked))
            if count:
                said.append(f"{count} of {name}'s {state.point.inputs[name].size}")
    if not said:
        return ""
    return f"On a kink: {', '.join(said)} entries. There any slope between the two sides is right."


def _lost(state: CheckState) -> list[str]:
    lost = {
        name: int(np.sum(state.point.truth(name).lost))
        for name in state.subject.wrt
        if state.point.small(name) and state.point.measured(name)
    }
    return [
        f"{count} of {name}'s entries could not be judged: forward gives no numbers around them."
        for name, count in lost.items()
        if count
    ]


def _verdict(state: CheckState, reading: Reading, name: str) -> Verdict:
    point = state.point
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
    if name not in state.projections:
        state.projections[name] = project(point, name, gradient, state.rng)
    seen_along = state.projections[name]
    off = seen_along.off(factor)
    size = abs(factor * seen_along.truth) or 1.0
    ok = bool(off <= seen_along.limit(factor)) and not seen_along.kinked
    return Verdict(name, ok, off / size)


def _finish(state: CheckState, reading: Reading, verdict: Verdict) -> Finding:
    """Turn a verdict into a finding; what the function remembers comes first."""
    name = verdict.name
    if name in state.accumulating:
        gradient = state.point.gradients[name]
        right = verdict.ok
        text = (
            f"d{name} changes when backward is called again with the same cache: it adds to "
            "what an earlier call left, or changes an array of the cache in place; begin each call "
            "with a fresh array (= for +=)."
        )
        relations: tuple[str, ...] = ("accumulates",)
        level = "wrong"
        if not right:
            relations = ("accumulates", "unknown")
            text += " The first call's is wrong as well."
        elif name in state.doubled and state.by_contract:
            level = "style"
            text = (
                f"d{name} adds up until it is zeroed, as PyTorch's .grad does: the first call's is "
                "right, the second's exactly twice it."
            )
        residual = verdict.off if gradient is not None and not right else 0.0
        found = Finding(
            name, "accumulates", text, residual=residual, relations=relations, level=level
        )
        return _pointed(state, found) if level == "wrong" else found
    if name in state.stale and verdict.ok and state.by_contract:
        text = (
            f"d{name} is right, and belongs to the last forward pass of its object: call backward "
            "before the next forward."
        )
        return Finding(name, "stale", text, residual=0.0, level="style")
    if name in state.stale:
        text = (
            f"d{name} belongs to the last forward pass and not to the cache that backward was "
            "given: take the arrays from the cache, not from self or a global."
        )
        return _pointed(state, Finding(name, "stale", text, residual=0.0))
    if verdict.finding is not None:
        return _pointed(state, verdict.finding)
    tie = _tie(state, name)
    if tie is not None:
        return _pointed(state, tie)
    return Finding(name, "correct", "agrees.", residual=verdict.off)


def _tie(state: CheckState, name: str) -> Finding | None:
    """Say where equal entries of one maximum each take the whole gradient."""
    point = state.point
    if not point.small(name) or not point.measured(name):
        return None
    found = over_counted(point, name, point.gradients[name])
    if found is None:
        return None
    places = ", ".join(str(list(place)) for place in found.entries[:4])
    more = ", ..." if len(found.entries) > 4 else ""
    text = (
        f"d{name} gives each of {len(found.entries)} equal entries ({places}{more}) the whole "
        f"gradient: along all of them together the slope is {found.slope:.6g}, and yours sum to "
        f"{found.given:.6g}. Split it among them, or give it to one."
    )
    residual = abs(found.given - found.slope) / (abs(found.slope) or 1.0)
    return Finding(name, "ties", text, residual=residual)


def _pointed(state: CheckState, finding: Finding) -> Finding:
    """Add the likely line to change."""
    name = finding.gradient
    if name is None or finding.line is not None:
        return finding
    names = tuple(state.subject.inputs)
    position = names.index(name) if name in names else None
    function = state.subject.backward
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


Array = NDArray[Any]


def explain_verdict(state: CheckState, reading: Reading, verdict: Verdict) -> None:
    """Find out what is wrong with one gradient under one reading; it may turn out right."""
    name, point = verdict.name, state.point
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
        _explain_nonfinite(state, reading, verdict)
        return
    if not point.small(name) and gradient.shape == point.inputs[name].shape:
        _explain_large(state, reading, verdict)
        return
    guards = guards_behind(state, reading, name)
    if guards:
        verdict.ok, verdict.complexity = True, 1.0
        verdict.guards = guards
        return
    diagnosis = diagnose_gradient(state, reading, name)
    if diagnosis is not None:
        verdict.finding = _diagnosed(state, reading, name, diagnosis)
        verdict.complexity = diagnosis.complexity
        return
    if rounded_constants(state, reading, name):
        verdict.ok, verdict.complexity = True, 1.0
        state.notes.append(
            f"d{name} differs by {verdict.off:.1g} of its size, as constants that are rounded to a "
            "few digits give."
        )
        return
    clipped = clipping(state, reading, name)
    if clipped is not None:
        verdict.finding, verdict.complexity = clipped, 6.0
        return
    shape = point.inputs[name].shape
    if gradient.shape != shape:
        diagnosis = diagnose_on_squares(state, reading, name)
        if diagnosis is not None:
            verdict.finding = _diagnosed(state, reading, name, diagnosis)
            verdict.complexity = diagnosis.complexity
            return
        text = f"d{name} has shape {gradient.shape}, expected {shape}, the shape of {name}"
        text += _wrong_axis(state, reading, name)
        verdict.finding = Finding(name, "unknown", text + ".", residual=1.0)
        return
    truth = point.truth(name)
    seen = compare(gradient, truth, factor, point.regime)
    verdict.finding = _unknown(name, gradient, truth.value * factor, seen)
    verdict.complexity = 30.0 + float(np.mean(seen.wrong))


def _unknown(name: str, gradient: Array, right: Array, seen: Comparison) -> Finding:
    text, details = unknown_sentence(name, np.asarray(gradient), right, seen)
    return Finding(name, "unknown", text, residual=seen.difference, details=details)


def _wrong_axis(state: CheckState, reading: Reading, name: str) -> str:
    """Say whether a sum went over the wrong axis, or over all of them."""
    point = state.point
    gradient = point.gradients[name]
    if not point.small(name) or reading.axis is None:
        return ""
    truth = point.truth(name).value * reading.factor(point, name)
    if gradient.size == 1 and np.allclose(gradient.sum(), truth.sum(), rtol=1e-7):
        return ": everything was summed; sum over the examples only (axis=..., keepdims=True)"
    if gradient.size != truth.size and np.allclose(gradient.sum(), truth.sum(), rtol=1e-7):
        return "; the sum was taken over another axis"
    return ""


def _explain_nonfinite(state: CheckState, reading: Reading, verdict: Verdict) -> None:
    name, point = verdict.name, state.point
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
    details, level = "", "wrong"
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
        if relations == ("nonfinite",) and right_when_moderate(state, reading, name):
            level = "fragile"
            text = f"d{name} is right at ordinary numbers; " + text.replace(f"d{name} is", "it is")
        first = np.argwhere(bad)[0]
        place = tuple(int(i) for i in first)
        details = f"{list(place)}: yours {gradient[place]}, right {truth.value[place] * factor:.6g}"
    verdict.finding = Finding(
        name,
        "nonfinite",
        text,
        residual=0.0,
        relations=relations,
        details=details,
        level=level,
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


def _diagnosed(state: CheckState, reading: Reading, name: str, diagnosis: Diagnosis) -> Finding:
    gradient = state.point.gradients[name]
    examples = reading.examples
    per_example = examples is not None and name in examples.holders
    parameters = reading.parameters(state.subject.wrt)
    convention = ("mean" if reading.mean else "sum") if parameters else None
    text = sentence(
        name,
        diagnosis,
        tuple(gradient.shape),
        tuple(state.point.inputs[name].shape),
        convention,
        per_example,
    )
    others = [p for p in parameters if p != name]
    if others and convention == "mean" and per_example:
        listed = " and ".join(f"d{p}" for p in others[:2])
        text = text.replace("the parameters' gradients", listed)
    text = text.replace("d_output", upstream_name(state.subject.backward))
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


def _explain_large(state: CheckState, reading: Reading, verdict: Verdict) -> None:
    """Diagnose a large array: on a small copy of the problem first, then where it is wrong."""
    name, point = verdict.name, state.point
    gradient = point.gradients[name]
    factor = reading.factor(point, name)
    diagnosis = diagnose_gradient(state, reading, name)
    if diagnosis is not None:
        verdict.finding = _diagnosed(state, reading, name, diagnosis)
        verdict.complexity = diagnosis.complexity
        return
    found = search(point, name, gradient, factor, state.rng)
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
        yours, wanted = apart(given[index], right[index])
        lines.append(f"{place}: yours {yours}, right {wanted}")
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
