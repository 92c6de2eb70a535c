"""Check a target in a child process; where the code ends that, the check goes on without it."""

from __future__ import annotations

import linecache
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from backlit.gradcheck.reporting.finding import Finding, Unchecked
from backlit.gradcheck.reporting.report import Report
from backlit.gradcheck.reporting.transfer import from_data
from backlit.gradcheck.sources.by_hand import ANY_PAIR
from backlit.gradcheck.sources.feeds import SECONDS
from backlit.gradcheck.sources.isolation import Child, Ended, Ending, Limits

_MOST_ENDINGS = 6  # of one target, after which the rest of it is not checked


@dataclass(frozen=True)
class Apart:
    """What came of a target: a report, or why there is none; and what its code printed."""

    report: Report | None
    problem: str = ""
    printed: str = ""


def check_apart(target: str, limits: Limits, seconds: float = SECONDS) -> Apart:
    """Check a target in a child process.

    Parameters
    ----------
    target : str
        What `load_target` takes.
    limits : Limits
        What the child may take; a function that takes more, or ends the child, is a finding.
    seconds : float
        The budget of one function's check: what was not searched in it is said.

    Returns
    -------
    Apart
    """
    begun = time.perf_counter()
    found: list[Finding] = []
    left: list[Unchecked] = []
    without: list[str] = []
    printed = ""
    while True:
        with Child(limits) as child:
            answer, (name, python), ending = _one_run(child, target, without, seconds)
        printed += child.printed()
        if ending is None:
            break
        note_ending(ending, name, python, found, left)
        if name is None or name in without or len(without) >= _MOST_ENDINGS:
            break
        without.append(name)
    if "error" in answer and not found and not left:
        return Apart(None, str(answer["error"]), printed)
    report = answer.get("report", Report((), title=target))
    if ending is not None and name is not None:
        left.append(Unchecked("the rest of it", "too much of it ends the program", python))
    report = replace(
        report,
        findings=(*report.findings, *found),
        unchecked=(*report.unchecked, *left),
        seconds=time.perf_counter() - begun,
    )
    return Apart(report, "", printed)


def _one_run(
    child: Child, target: str, without: Sequence[str], seconds: float
) -> tuple[dict[str, Any], tuple[str | None, str], Ending | None]:
    """Return the answer, which function was being checked, and how the child ended if it did."""
    name: str | None = None
    python = ANY_PAIR
    answer: dict[str, Any] = {}
    child.ask(
        {
            "target": target,
            "without": list(without),
            "seconds": child.limits.seconds,
            "budget": seconds,
        }
    )
    try:
        for one in child.answers():
            if "begin" in one:
                name, python = str(one["begin"]), str(one["python"])
            else:
                answer = one
        if "report" in answer:
            answer = {"report": from_data(answer["report"])}
            if not isinstance(answer["report"], Report):
                raise ValueError("no report")
        elif "error" not in answer:
            raise ValueError("no answer")
    except ValueError:
        return {}, (name, python), Ending("answers with what is no complete answer")
    except Ended as error:
        return {}, (name, python), error.ending
    return answer, (name, python), None


def note_ending(
    ending: Ending, name: str | None, python: str, found: list[Finding], left: list[Unchecked]
) -> None:
    """Add a finding where the user's code ended the child; what was not checked elsewhere."""
    if ending.line is None and "still running" in ending.what:
        reason = "the check itself took longer than it may"
        left.append(Unchecked(name or "the file", reason, python))
        return
    function = name
    if ending.line is None or ending.file is None:
        message = f"{name or 'the file, while it was read,'} {ending.what}."
        found.append(Finding(None, "raises", message, function=function))
        return
    source = linecache.getline(ending.file, ending.line).strip() or None
    message = f"{name or 'the file'}: line {ending.line} {ending.what}."
    found.append(
        Finding(
            None,
            "raises",
            message,
            function=function,
            line=ending.line,
            source=source,
            file=ending.file,
        )
    )
