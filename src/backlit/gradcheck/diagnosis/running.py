"""One check: call forward and backward, patch what raises, judge the gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.diagnosis.check_state import (
    SQUARE,
    CheckState,
    readings,
    square_state,
    watch_state,
)
from backlit.gradcheck.diagnosis.diagnose import repair_sentence
from backlit.gradcheck.diagnosis.repair import find_repairs, without_assertions
from backlit.gradcheck.diagnosis.verdicts import TWO_READINGS, judge
from backlit.gradcheck.probing.axes import (
    Dimension,
    Examples,
    distinct_sizes,
    find_examples,
    resized,
    try_run,
)
from backlit.gradcheck.probing.calls import (
    CallFailed,
    Pass,
    Subject,
    first_call,
    keeps_own_state,
    rounds_inside,
)
from backlit.gradcheck.probing.truth import Point, draw_upstream, regime_of
from backlit.gradcheck.probing.user_code import (
    COUNTS,
    Rebound,
    WithCount,
    explain,
    is_shape_error,
    known_names,
    missing_name,
    place_of,
    upstream_name,
)
from backlit.gradcheck.reporting.report import Finding, Repair, Report


def check_subject(subject: Subject, mean_over: str | None, seed: int) -> Report:
    """Check one pair of functions, from the first call to the report."""
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
    subject.rounded = subject.narrow or rounds_inside(subject, base)
    examples = _examples(subject, base, mean_over, rng)
    reached = reach_backward(subject, base, examples, rng, mean_over, seed)
    found += reached.raised
    if reached.report is not None:
        return replace(reached.report, findings=(*found, *reached.report.findings))
    if reached.called is None:
        return Report(tuple(found))
    done, d_outs, gradients, changed, again = reached.called
    by_contract = keeps_own_state(base.cache, subject.backward)
    for name in changed:
        finding = _mutation(subject, name, "backward")
        found.append(replace(finding, level="style") if by_contract else finding)
    point = Point(subject, subject.inputs, done, d_outs, gradients, regime_of(done, subject))
    state = CheckState(subject, rng, base, examples, point, seed)
    watch_state(state, again, changed)
    report = judge(state, mean_over)
    report = replace(report, findings=(*found, *report.findings))
    if report.ok and examples and examples[0].m == 1:
        return _with_more_examples(state, mean_over, report)
    report = _with_distinct_sizes(state, mean_over, report)
    if report.problems and subject.repair:
        return with_repairs(state, mean_over, report)
    return report


def with_repairs(state: CheckState, mean_over: str | None, report: Report) -> Report:
    """Search for the edit that makes every gradient right, and name the line by it."""
    wrong = [f for f in report.problems if f.gradient is not None]
    if not wrong:
        return report
    seconds = 0.6 * state.subject.seconds
    tried = readings(state.examples, mean_over)
    search = find_repairs(state, tried, seconds)
    if search.repairs and any(note.startswith(TWO_READINGS) for note in report.notes):
        # an edit towards the other reading alone would change a line that is right under this one
        meant = [r for r in tried if r.mean == (report.convention == "mean")]
        first_of = find_repairs(state, meant, seconds).repairs
        search = replace(search, repairs=tuple(dict.fromkeys([*first_of, *search.repairs])))
    notes = list(report.notes)
    if search.tried < search.of:
        notes.append(
            f"The search for a repair ended after {seconds:g} s: {search.tried} of {search.of} "
            "edits were tried."
        )
    if not search.repairs:
        return replace(report, notes=tuple(notes))
    first = search.repairs[0]
    findings = [f if f not in wrong else repaired(f, first) for f in report.findings]
    return replace(report, findings=tuple(findings), notes=tuple(notes), repairs=search.repairs)


def repaired(finding: Finding, repair: Repair) -> Finding:
    """Point a finding at the line of the repair, and name an unknown relation by its kind."""
    relation, relations = finding.relation, finding.relations
    if relations in (("unknown",), ("subset",)) and len(repair.kinds) == 1:
        relation = RELATION_OF.get(repair.kinds[0], relation)
        relations = (relation,)
    source = repair.before.splitlines()[0] if repair.before else ""
    message = finding.sentence
    if relations != finding.relations:
        named = repair_sentence(f"d{finding.gradient}", repair.kinds[0], source)
        message = named or message
    return replace(
        finding,
        relation=relation,
        relations=relations,
        line=repair.line,
        source=source,
        file=repair.file,
        message=f"{message} (Line {repair.line}: {source})" if source else message,
    )


RELATION_OF = {
    "transpose": "transpose",
    "square": "square",
    "order": "order",
    "step": "step",
    "path": "path",
    "overwritten": "overwritten",
    "last step": "last step",
    "stride": "stride",
    "repeated": "repeated",
    "output": "output",
    "activation": "activation",
    "function": "activation",
}


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


def _with_distinct_sizes(state: CheckState, mean_over: str | None, report: Report) -> Report:
    """Check once more where m is another dimension's size as well: 1/m would be two things."""
    subject = state.subject
    if not state.examples or not all(state.point.small(n) for n in subject.arity):
        return report
    dimensions = state.all_dimensions()
    alike = [
        e
        for e in state.examples
        if e.m > 1
        and any(d.size == e.m and not set(d.axes) & set(e.dimension.axes) for d in dimensions)
    ]
    if not alike:
        return report
    examples = alike[0]
    sizes = distinct_sizes(dimensions, examples)
    inputs = resized(subject.inputs, sizes, state.rng)
    done = try_run(subject, inputs)
    if done is None or not all(np.all(np.isfinite(out)) for out in done.outs):
        return report
    again = check_subject(replace(subject, inputs=inputs, repair=False), mean_over, state.seed)
    wrong = {f.gradient for f in report.problems}
    if {f.gradient for f in again.problems} == wrong or any(
        f.relation != "scale" for f in again.problems
    ):
        return report
    m = examples.m
    note = f"m and another size are both {m} as given; judged with every size different."
    called = [f for f in report.findings if f.gradient is None]
    kept = [f for f in called if f.relation not in {g.relation for g in again.findings}]
    return replace(again, findings=(*kept, *again.findings), notes=(*again.notes, note))


def _with_more_examples(state: CheckState, mean_over: str | None, report: Report) -> Report:
    """Check once more with three examples: with one, a factor 1/m cannot be seen."""
    subject = state.subject
    axes = state.examples[0].dimension.axes
    inputs = resized(subject.inputs, dict.fromkeys(axes, 3), state.rng)
    done = try_run(subject, inputs)
    if done is None or not all(np.all(np.isfinite(out)) for out in done.outs):
        return report
    again = check_subject(replace(subject, inputs=inputs, repair=False), mean_over, state.seed)
    if again.ok or any(f.relation == "raises" for f in again.problems):
        return report
    note = "There is one example only; with three, what is reported above shows."
    return replace(again, notes=(*again.notes, note))


Array = NDArray[Any]


_EXPLAINS_SHAPE_ERROR = {"transpose", "elementwise", "unsummed", "shape", "swapped", "unknown"}


@dataclass
class Reached:
    """What came of the first backward call: its result, or what it raised, or a whole report."""

    raised: list[Finding]
    called: tuple[Pass, list[Array], dict[str, Any], list[str], Pass | None] | None = None
    report: Report | None = None


def reach_backward(
    subject: Subject,
    base: Pass,
    examples: list[Examples],
    rng: np.random.Generator,
    mean_over: str | None,
    seed: int,
) -> Reached:
    """Call backward once; if it raises, patch the fault and check the rest."""
    reached = Reached([])
    bound: set[str] = set()
    while True:
        try:
            reached.called = first_call(subject, None, lambda p: draw_upstream(subject, p, rng))
            return reached
        except CallFailed as failed:
            if failed.where == "forward":
                reached.raised.append(raise_finding(subject, failed, None))
                return reached
            name = missing_name(failed.error)
            if name is not None and name not in bound:
                reached.raised.append(raise_finding(subject, failed, examples or None))
                if name in COUNTS:
                    axis = examples[0].axis if examples else None
                    subject.backward = WithCount(subject.backward, name, axis)
                elif name == "np":
                    subject.backward = Rebound(subject.backward, {"np": np})
                else:
                    return reached
                bound.add(name)
                continue
            finding = raise_finding(subject, failed, examples or None)
            if isinstance(failed.error, AssertionError) and "assert" not in bound:
                bound.add("assert")
                reached.raised.append(finding)
                subject.backward = without_assertions(subject.backward)
                continue
            if isinstance(failed.error, AssertionError):
                return reached
            if is_shape_error(failed.error):
                report = _on_squares(subject, base, examples, rng, mean_over, seed, finding)
                if report is not None:
                    reached.report = report
                    return reached
            reached.raised.append(finding)
            return reached


def raise_finding(subject: Subject, failed: CallFailed, examples: list[Examples] | None) -> Finding:
    """Say what one of the functions raised, and at which line."""
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
    state = square_state(subject, base, examples, rng, seed)
    if state is None:
        return None
    report = judge(state, mean_over)
    wrong = {f.relation for f in report.problems}
    note = (
        "With the shapes given, backward stops at a product that does not fit; the gradients were "
        f"compared with every dimension {SQUARE}."
    )
    if not wrong & _EXPLAINS_SHAPE_ERROR:
        return replace(report, findings=(finding, *report.findings), notes=(*report.notes, note))
    return replace(report, notes=(*report.notes, note))
