"""What a check found in all, as data; printed, it is a page for people."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from backlit._terminal import as_text, has_colours, output
from backlit._text import printable_lines
from backlit.gradcheck.finding import Finding
from backlit.gradcheck.markup import html_of
from backlit.gradcheck.page import rich_lines

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType


@dataclass(frozen=True)
class Report:
    """The result of `check_backward` or `check_model`.

    Attributes
    ----------
    findings : tuple of Finding
        One for each input, right or wrong, and further ones for the call as a whole.
    mean_over : str or None
        The examples axis of the output, "columns" or "rows"; None where there is none.
    convention : str or None
        "mean": parameters' gradients carry 1/m; "sum": they do not; None: nothing to tell.
    notes : tuple of str
        What else is worth knowing: entries on kinks, what was not judged.
    """

    findings: tuple[Finding, ...]
    mean_over: str | None = None
    convention: str | None = None
    notes: tuple[str, ...] = ()
    title: str = "backward pass"
    seconds: float = field(default=0.0, compare=False)
    accuracy: str = "float64"

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not "correct"."""
        return tuple(f for f in self.findings if not f.ok)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def first(self) -> Finding | None:
        """The first wrong place, going backward; None where all is right."""
        return self.problems[0] if self.problems else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "ok": self.ok,
            "title": self.title,
            "mean_over": self.mean_over,
            "convention": self.convention,
            "findings": [f.as_dict() for f in self.findings],
            "problems": [f.as_dict() for f in self.problems],
            "first": self.first.as_dict() if self.first else None,
            "notes": list(self.notes),
        }

    def verdict(self) -> str:
        """Return one line: right, or how much is wrong and where to begin."""
        functions = len({f.function for f in self.findings if f.function})
        scope = f"{functions} functions" if functions > 1 else self.title
        if self.ok:
            return f"✓ {scope}: every gradient is right."
        count = len(self.problems)
        text = f"✗ {scope}: {count} problem{'s' if count > 1 else ''}."
        if functions > 1 and self.first is not None and self.first.function:
            place = self.first.function
            if self.first.gradient:
                place += f", d{self.first.gradient}"
            text += f" The first wrong place going backward: {place}."
        return text

    def convention_text(self) -> str:
        """Return one sentence about where the mean lives."""
        where = f" over the output's {self.mean_over}" if self.mean_over else ""
        if self.convention == "mean":
            return f"Convention found: the mean{where}; parameters' gradients carry 1/m, once."
        if self.convention == "sum":
            return f"Convention found: the sum{where}; no gradient carries 1/m."
        return ""

    def __str__(self) -> str:
        width = shutil.get_terminal_size().columns if output().isatty() else 100
        return as_text(self, max(60, min(width, 120)), colour=has_colours())

    def _said_beside(self) -> list[str]:
        """Return the sentences that stand below the findings."""
        return [text for text in (self.convention_text(), *self.notes) if text]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        findings = [_printable(finding) for finding in self.findings]
        yield from rich_lines(
            printable_lines(self.verdict()),
            findings,
            list(map(printable_lines, self._said_beside())),
        )

    def _repr_html_(self) -> str:
        return html_of(self.verdict(), self.findings, self._said_beside())


def _printable(finding: Finding) -> Finding:
    """Escape in names and in exceptions what would steer a terminal."""
    values: dict[str, Any] = {one.name: getattr(finding, one.name) for one in fields(finding)}
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = printable_lines(value)
    return replace(finding, **values)
