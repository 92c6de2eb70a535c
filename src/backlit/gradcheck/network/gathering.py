"""What the checks of a notebook's functions have found so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from backlit.gradcheck.finding import Finding
from backlit.gradcheck.network.namespace import Namespace
from backlit.gradcheck.report import Report


@dataclass
class State:
    """The functions, what was found about them so far, and which convention they follow."""

    space: Namespace
    seed: int
    found: list[Finding]
    notes: list[str]
    convention: str | None = None
    broken: bool = False  # a wrong part could not be replaced


def add_findings(state: State, function: str, reports: Iterator[tuple[str, Report]]) -> bool:
    """Merge the reports on one function: every problem once, right gradients once.

    Returns whether all is right.
    """
    problems: dict[tuple[Any, ...], Finding] = {}
    right: dict[str | None, Finding] = {}
    for where, report in reports:
        for finding in report.findings:
            if finding.ok:
                right.setdefault(finding.gradient, finding)
                continue
            key = (finding.gradient, finding.relation, finding.factor_name)
            if key in problems or (
                finding.relation == "unknown" and any(k[0] == finding.gradient for k in problems)
            ):
                continue
            message = finding.sentence
            if message.startswith("backward "):
                message = function + message.removeprefix("backward")
            if where and "reaches 0 or 1" not in message:
                message += f" Seen {where}."
            if finding.source:
                message += f" (Line {finding.line}: {finding.source})"
            problems[key] = replace(finding, message=message)
        state.notes += [n for n in report.notes if "float32" in n or "dimension" in n]
    wrong = {key[0] for key in problems}
    merged = list(problems.values())
    merged += [f for gradient, f in right.items() if gradient not in wrong]
    state.found += [replace(f, function=function) for f in merged]
    return not problems


def stand_in(state: State, name: str, function: Callable[..., Any], fits: bool) -> None:
    """Put a right function in the place of a wrong one; `fits`: it takes the user's cache."""
    if fits:
        state.space.replaced[name] = function
    else:
        state.broken = True
