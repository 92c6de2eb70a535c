"""What a check found, as data and as a page for people."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

RELATIONS = (
    "correct",
    "scale",
    "transpose",
    "unsummed",
    "shape",
    "subset",
    "activation",
    "elementwise",
    "penalty",
    "accumulates",
    "stale",
    "mutates",
    "nonfinite",
    "swapped",
    "raises",
    "unknown",
)


@dataclass(frozen=True)
class Finding:
    """What was found about one gradient, or about the call as a whole.

    Attributes
    ----------
    gradient : str or None
        The input's name, such as "A_prev"; None for what concerns the call as a whole.
    relation : str
        One of `RELATIONS`.
    factor : float or None
        The constant, where there is one: the gradient is `factor` times the right value (for a
        penalty: the right value plus `factor` times the input).
    factor_name : str or None
        The constant's name: "1/m", "m", "2", "-1", "1/n_out", ...
    residual : float or None
        What is left after undoing the relation, relative to the gradient's largest entry; for
        "unknown", the error itself.
    message : str
        One sentence: what is wrong and what to change.
    relations : tuple of str
        All relations at work, the main one first.
    function : str or None
        The function, where several were checked.
    line : int or None
        The line to look at, with its text in `source`, in `file` (a path, or a notebook's cell).
    details : str
        Further lines: the worst entries.
    """

    gradient: str | None
    relation: str
    message: str
    factor: float | None = None
    factor_name: str | None = None
    residual: float | None = None
    relations: tuple[str, ...] = ()
    function: str | None = None
    line: int | None = None
    source: str | None = None
    file: str | None = None
    details: str = ""

    def __post_init__(self) -> None:
        if not self.relations:
            object.__setattr__(self, "relations", (self.relation,))

    @property
    def ok(self) -> bool:
        """Whether this is not a problem."""
        return self.relation == "correct"

    @property
    def sentence(self) -> str:
        """The message without the line of source at its end."""
        return self.message.removesuffix(f" (Line {self.line}: {self.source})")

    @property
    def label(self) -> str:
        """The relation with its company, for a table: "scale × 1/m"."""
        text = " + ".join(self.relations)
        if self.factor_name is not None:
            text += f" × {self.factor_name}" if "scale" in self.relations else ""
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "function": self.function,
            "gradient": self.gradient,
            "relation": self.relation,
            "relations": list(self.relations),
            "factor": _plain(self.factor),
            "factor_name": self.factor_name,
            "residual": _plain(self.residual),
            "message": self.message,
            "line": self.line,
            "source": self.source,
            "file": self.file,
            "details": self.details or None,
        }


def _plain(value: float | None) -> float | None:
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return float(value)


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
        from rich.console import Console

        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        width = Console().width if sys.stdout.isatty() else 100
        console = Console(
            width=max(60, min(width, 120)),
            force_terminal=colour,
            color_system="standard" if colour else None,
            no_color=not colour,
            highlight=False,
            emoji=False,
            markup=False,
        )
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        from backlit.gradcheck.page import rich_lines

        yield from rich_lines(self)

    def _repr_html_(self) -> str:
        rows = []
        for f in self.findings:
            colour = "#1a7f37" if f.ok else "#b42318"
            name = f"{f.function}: " if f.function else ""
            name += f"d{f.gradient}" if f.gradient else "the call"
            where = f"<br><code>line {f.line}: {html.escape(f.source)}</code>" if f.source else ""
            text = html.escape(f.sentence)
            if not f.ok:
                text += where
            if f.details:
                text += f"<pre style='margin:4px 0'>{html.escape(f.details)}</pre>"
            rows.append(
                "<tr>"
                f"<td style='text-align:left;vertical-align:top;color:{colour}'>"
                f"{'✓' if f.ok else '✗'}</td>"
                f"<td style='text-align:left;vertical-align:top'><code>{html.escape(name)}</code>"
                "</td>"
                f"<td style='text-align:left;vertical-align:top;color:{colour};white-space:nowrap'>"
                f"<b>{html.escape(f.label)}</b></td>"
                f"<td style='text-align:left;vertical-align:top'>{text}</td></tr>"
            )
        notes = [n for n in (self.convention_text(), *self.notes) if n]
        return (
            f"<div><p><b>{html.escape(self.verdict())}</b></p><table>"
            "<thead><tr><th></th><th style='text-align:left'>gradient</th>"
            "<th style='text-align:left'>relation</th>"
            "<th style='text-align:left'>what it means</th></tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
            + "".join(f"<p><small>{html.escape(n)}</small></p>" for n in notes)
            + "</div>"
        )
