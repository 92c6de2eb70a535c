"""The first call of backward, and ways behind what it raises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.calls import CallFailed, Pass, Subject
from backlit.gradcheck.checking.judging import judge
from backlit.gradcheck.checking.squares import SQUARE, square_work
from backlit.gradcheck.examples import Examples
from backlit.gradcheck.finding import Finding
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
from backlit.gradcheck.report import Report
from backlit.gradcheck.state import first_call
from backlit.gradcheck.truth import draw_upstream

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
    """Call backward; where a name is missing or shapes do not fit, find a way behind that."""
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
    work = square_work(subject, base, examples, rng, seed)
    if work is None:
        return None
    report = judge(work, mean_over)
    wrong = {f.relation for f in report.problems}
    note = (
        "With the shapes given, backward stops at a product that does not fit; the gradients were "
        f"compared with every dimension {SQUARE}."
    )
    if not wrong & _EXPLAINS_SHAPE_ERROR:
        return replace(report, findings=(finding, *report.findings), notes=(*report.notes, note))
    return replace(report, notes=(*report.notes, note))
