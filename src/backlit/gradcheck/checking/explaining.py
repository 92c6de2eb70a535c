"""What is wrong with one gradient, in words and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.checking.probing import diagnose_gradient, diagnose_on_squares
from backlit.gradcheck.checking.readings import Reading, Verdict
from backlit.gradcheck.checking.work import Work
from backlit.gradcheck.diagnose import Diagnosis
from backlit.gradcheck.finding import Finding
from backlit.gradcheck.projection import search
from backlit.gradcheck.source import upstream_name
from backlit.gradcheck.truth import Comparison, compare
from backlit.gradcheck.words import sentence, unknown_sentence

Array = NDArray[Any]


def explain_verdict(work: Work, reading: Reading, verdict: Verdict) -> None:
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
    diagnosis = diagnose_gradient(work, reading, name)
    if diagnosis is not None:
        verdict.finding = _diagnosed(work, reading, name, diagnosis)
        verdict.complexity = diagnosis.complexity
        return
    shape = point.inputs[name].shape
    if gradient.shape != shape:
        diagnosis = diagnose_on_squares(work, reading, name)
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
    parameters = reading.parameters(work.subject.wrt)
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
    diagnosis = diagnose_gradient(work, reading, name)
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
