"""What a check found, as data; printed, it is a page for people.

For another process it is plain data, and back.
"""

from __future__ import annotations

import html
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from backlit._locks import importing
from backlit._terminal import as_text, has_colours, output
from backlit._text import printable_lines

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text
from dataclasses import is_dataclass

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
    "clipped",
    "ties",
    "square",
    "order",
    "step",
    "path",
    "overwritten",
    "last step",
    "stride",
    "repeated",
    "logits",
    "output",
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
    level : str
        "right"; "wrong"; "fragile": right at ordinary numbers, NaN where something saturates;
        "style": right where the object is used as its contract says, such as a gradient that adds
        up until it is zeroed.
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
    level: str = ""

    def __post_init__(self) -> None:
        if not self.level:
            object.__setattr__(self, "level", "right" if self.relation == "correct" else "wrong")
        if not self.relations:
            object.__setattr__(self, "relations", (self.relation,))

    @property
    def ok(self) -> bool:
        """Whether this is not a problem: everything but "wrong"."""
        return self.level != "wrong"

    @property
    def right(self) -> bool:
        """Whether there is nothing to say."""
        return self.level == "right"

    @property
    def sentence(self) -> str:
        """The message without the line of source at its end."""
        return self.message.removesuffix(f" (Line {self.line}: {self.source})")

    @property
    def label(self) -> str:
        """The relation with its company, for people: "scale × 1/m", "wrong" where it is unknown."""
        text = " + ".join("wrong" if name == "unknown" else name for name in self.relations)
        if self.factor_name is not None:
            text += f" × {self.factor_name}" if "scale" in self.relations else ""
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "function": self.function,
            "gradient": self.gradient,
            "relation": self.relation,
            "level": self.level,
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


@dataclass(frozen=True)
class Repair:
    """The smallest change of the source that makes every gradient right.

    Attributes
    ----------
    line : int
        The first line that changes, in `file`.
    before, after : str
        The lines as they are, and as they would be.
    diff : str
        Both, with the lines' numbers.
    kinds : tuple of str
        What changes: "transpose", "square", "order", ...
    gradients : int
        How many gradients are right with it.
    """

    line: int
    file: str
    before: str
    after: str
    diff: str
    kinds: tuple[str, ...]
    gradients: int

    @property
    def sentence(self) -> str:
        """What to change, in a sentence."""
        if "\n" in self.before or "\n" in self.after or not self.after:
            return f"With this change all {self.gradients} gradients are right:"
        whole = f"all {self.gradients} gradients are" if self.gradients > 1 else "it is"
        return f"line {self.line}: `{self.before}`: with `{self.after}` {whole} right."

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "line": self.line,
            "file": self.file,
            "before": self.before,
            "after": self.after,
            "diff": self.diff,
            "kinds": list(self.kinds),
            "gradients": self.gradients,
        }


def _plain(value: float | None) -> float | None:
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return float(value)


@dataclass(frozen=True)
class Unchecked:
    """Something that looks like a backward pass and was not checked.

    Attributes
    ----------
    name : str
        The function, or `Class.method`.
    reason : str
        Why, in a sentence.
    python : str
        The line of Python that checks it with given arrays.
    line : int or None
        Where it is defined, in `file` (a path, or a notebook's cell).
    abstract : bool
        Whether it is only declared, so that there was nothing to check.
    """

    name: str
    reason: str
    python: str
    line: int | None = None
    file: str | None = None
    abstract: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "function": self.name,
            "reason": self.reason,
            "python": self.python,
            "line": self.line,
            "file": self.file,
            "abstract": self.abstract,
        }


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
    unchecked : tuple of Unchecked
        What looks like a backward pass and was not checked, with the reason.
    repairs : tuple of Repair
        The smallest edit of the source that makes every gradient right; several where they are
        equally small.
    """

    findings: tuple[Finding, ...]
    mean_over: str | None = None
    convention: str | None = None
    notes: tuple[str, ...] = ()
    title: str = "backward pass"
    seconds: float = field(default=0.0, compare=False)
    accuracy: str = "float64"
    unchecked: tuple[Unchecked, ...] = ()
    repairs: tuple[Repair, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings of level "wrong"."""
        return tuple(f for f in self.findings if not f.ok)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """The findings of level "fragile" or "style": no faults, but worth knowing."""
        return tuple(f for f in self.findings if f.ok and not f.right)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def exit_code(self) -> int:
        """0: all that was found is right; 1: some is wrong; 2: nothing checked; 3: some not."""
        return self.exit_code_for(strict=False)

    def exit_code_for(self, *, strict: bool) -> int:
        """Return the exit code; where `strict`, what is fragile or a matter of style is wrong."""
        if self.problems or (strict and self.remarks):
            return 1
        if not self.findings:
            return 2
        return 3 if any(not u.abstract for u in self.unchecked) else 0

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
            "remarks": [f.as_dict() for f in self.remarks],
            "first": self.first.as_dict() if self.first else None,
            "notes": list(self.notes),
            "unchecked": [u.as_dict() for u in self.unchecked],
            "repairs": [r.as_dict() for r in self.repairs],
            "exit_code": self.exit_code,
        }

    def verdict(self) -> str:
        """Return one line: right, or how much is wrong and where to begin."""
        functions = len({f.function for f in self.findings if f.function})
        scope = f"{functions} functions" if functions > 1 else self.title
        left = len([u for u in self.unchecked if not u.abstract])
        if not self.findings and self.unchecked:
            return f"– {self.title}: nothing was checked."
        if not self.findings:
            return (
                f"– {self.title}: nothing in it looks like a backward pass. From Python: "
                "backlit.check_backward(forward, backward, inputs)."
            )
        said = len(self.remarks)
        aside = f" ({said} remark{'s' if said > 1 else ''})" if said else ""
        if self.ok and left:
            return (
                f"✓ {scope}: every gradient that was checked is right{aside}; {left} not checked."
            )
        if self.ok:
            return f"✓ {scope}: every gradient is right{aside}."
        count = len(self.problems)
        text = f"✗ {scope}: {count} problem{'s' if count > 1 else ''}."
        if functions > 1 and self.first is not None and self.first.function:
            place = self.first.function
            if self.first.gradient:
                place += f", d{self.first.gradient}"
            text += f" The first wrong place going backward: {place}."
        return text

    def convention_text(self) -> str:
        """Return one sentence about where 1/m is applied."""
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
            [
                (
                    printable_lines(u.name),
                    u.line,
                    printable_lines(u.reason),
                    printable_lines(u.python),
                )
                for u in self.unchecked
            ],
            [printable_lines(f"Repair, tried: {r.sentence}\n{r.diff}") for r in self.repairs],
        )

    def _repr_html_(self) -> str:
        left = [f"Repair, tried: {r.sentence} {r.diff}" for r in self.repairs]
        left += [
            f"Not checked: {u.name}: {u.reason}. From Python: {u.python}" for u in self.unchecked
        ]
        return html_of(self.verdict(), self.findings, [*left, *self._said_beside()])


def _printable(finding: Finding) -> Finding:
    """Escape in names and in exceptions what would steer a terminal."""
    values: dict[str, Any] = {one.name: getattr(finding, one.name) for one in fields(finding)}
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = printable_lines(value)
    return replace(finding, **values)


def rich_lines(
    verdict: str,
    findings: Sequence[Finding],
    notes: Sequence[str],
    unchecked: Sequence[tuple[str, int | None, str, str]] = (),
    repairs: Sequence[str] = (),
) -> Iterator[RenderableType]:
    """Yield what the console prints for a report."""
    with importing:  # a process that is forked meanwhile would wait for ever
        from rich import box, panel, table  # noqa: F401 - those of the tables below
        from rich.padding import Padding
        from rich.text import Text

    ok = all(finding.ok for finding in findings)
    colour = "bold green" if ok and findings else "bold yellow" if ok else "bold red"
    yield Text(verdict, style=colour)
    several = len({f.function for f in findings if f.function}) > 1
    if findings:
        yield from _of_functions(findings) if several else _of_gradients(findings)
    for repair in repairs:
        head, _, diff = repair.partition("\n")
        text = Text(head, style="bold")
        for row in diff.splitlines():
            style = {"-": "red", "+": "green"}.get(row[:1], "dim")
            text.append("\n" + row, style=style)
        yield Padding(text, (0, 0, 0, 1))
    for name, line, reason, python in unchecked:
        text = Text(f"– not checked: {name}", style="yellow")
        text.append(f" (line {line})" if line else "", style="dim")
        text.append(f": {reason}", style="none")
        text.append("\nFrom Python: ", style="dim")
        text.append(python, style="cyan")
        yield Padding(text, (0, 0, 0, 1))
    for note in notes:
        yield Padding(Text(note, style="dim"), (0, 0, 0, 1))


def _of_gradients(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Yield one row for each finding."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ROUNDED, border_style="dim", header_style="bold")
    table.add_column("", width=1)
    table.add_column("gradient", no_wrap=True)
    table.add_column("relation", no_wrap=True)
    table.add_column("what it means", overflow="fold")
    for finding in findings:
        table.add_row(
            _mark(finding.level),
            Text(_name(finding), style="bold"),
            Text(finding.label, style=_COLOURS[finding.level]),
            Text(finding.message, style="dim") if finding.right else _meaning(finding),
        )
    yield table


def _of_functions(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Yield one row for each function, then every problem in a frame of its own."""
    from rich import box
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ROUNDED, border_style="dim", header_style="bold")
    table.add_column("", width=1)
    table.add_column("function", no_wrap=True)
    table.add_column("right")
    table.add_column("wrong")
    for function in dict.fromkeys(f.function for f in findings):
        own = [f for f in findings if f.function == function]
        wrong = list(dict.fromkeys(_name(f) for f in own if not f.ok))
        table.add_row(
            _mark("wrong" if wrong else "right"),
            Text(function or "", style="bold"),
            Text(", ".join(dict.fromkeys(_name(f) for f in own if f.ok)), style="green"),
            Text(", ".join(wrong), style="red"),
        )
    yield table
    for finding in [f for f in findings if not f.ok]:
        title = Text(f"{finding.function}, {_name(finding)}: ", style="bold")
        title.append(finding.label, style="red")
        yield Panel(_meaning(finding), title=title, title_align="left", border_style="red")
    for finding in [f for f in findings if f.ok and not f.right]:
        title = Text(f"{finding.function}, {_name(finding)}: ", style="bold")
        title.append(f"{finding.label} ({finding.level})", style="yellow")
        yield Panel(_meaning(finding), title=title, title_align="left", border_style="yellow")


def _name(finding: Finding) -> str:
    return f"d{finding.gradient}" if finding.gradient else "the call"


_COLOURS = {"right": "green", "style": "yellow", "fragile": "yellow", "wrong": "red"}
_MARKS = {"right": "✓", "style": "!", "fragile": "!", "wrong": "✗"}


def _mark(level: str) -> Text:
    from rich.text import Text

    return Text(_MARKS[level], style=f"bold {_COLOURS[level]}")


def _meaning(finding: Finding) -> Text:
    from rich.text import Text

    text = Text(finding.sentence)
    if finding.source:
        where = f"{finding.file}, " if finding.file and "cell" in finding.file else ""
        text.append(f"\n{where}line {finding.line}: ", style="dim")
        text.append(finding.source, style="cyan")
    if finding.details:
        text.append("\n" + finding.details, style="dim")
    return text


def html_of(verdict: str, findings: Sequence[Finding], notes: Sequence[str]) -> str:
    """Return a report as a piece of HTML."""
    rows = []
    for f in findings:
        colour = {"right": "#1a7f37", "wrong": "#b42318"}.get(f.level, "#9a6700")
        name = f"{f.function}: " if f.function else ""
        name += f"d{f.gradient}" if f.gradient else "the call"
        where = f"<br><code>line {f.line}: {html.escape(f.source)}</code>" if f.source else ""
        text = html.escape(f.sentence)
        if not f.right:
            text += where
        if f.details:
            text += f"<pre style='margin:4px 0'>{html.escape(f.details)}</pre>"
        rows.append(
            "<tr>"
            f"<td style='text-align:left;vertical-align:top;color:{colour}'>"
            f"{_MARKS[f.level]}</td>"
            f"<td style='text-align:left;vertical-align:top'><code>{html.escape(name)}</code>"
            "</td>"
            f"<td style='text-align:left;vertical-align:top;color:{colour};white-space:nowrap'>"
            f"<b>{html.escape(f.label)}</b></td>"
            f"<td style='text-align:left;vertical-align:top'>{text}</td></tr>"
        )
    return (
        f"<div><p><b>{html.escape(verdict)}</b></p><table>"
        "<thead><tr><th></th><th style='text-align:left'>gradient</th>"
        "<th style='text-align:left'>relation</th>"
        "<th style='text-align:left'>what it means</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        + "".join(f"<p><small>{html.escape(n)}</small></p>" for n in notes)
        + "</div>"
    )


_KINDS: dict[str, type] = {kind.__name__: kind for kind in (Finding, Repair, Unchecked, Report)}
_PLAIN = (str, int, float, bool, type(None))


def to_data(value: Any) -> Any:
    """Return a report, or what is in one, as data for JSON.

    Parameters
    ----------
    value : Report, Finding, Unchecked, or numbers, text and sequences of them

    Returns
    -------
    object
    """
    if is_dataclass(value) and not isinstance(value, type):
        found = {one.name: to_data(getattr(value, one.name)) for one in fields(value)}
        return {"kind": type(value).__name__, **found}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    if isinstance(value, dict):
        return {"kind": "dict", "items": [[str(k), to_data(v)] for k, v in value.items()]}
    if isinstance(value, _PLAIN):
        return value if isinstance(value, (str, int, type(None))) else float(value)
    return value.item() if hasattr(value, "item") else str(value)


def from_data(data: Any) -> Any:
    """Return what `to_data` was given; sequences are tuples.

    Raises
    ------
    ValueError
        Where the data are not of that form.
    """
    if isinstance(data, list):
        return tuple(from_data(item) for item in data)
    if not isinstance(data, dict):
        return data
    if data.get("kind") == "dict":
        return {key: from_data(item) for key, item in data["items"]}
    kind = _KINDS.get(str(data.get("kind")))
    if kind is None:
        raise ValueError(f"{data.get('kind')!r} is no part of a report")
    try:
        return kind(**{key: from_data(item) for key, item in data.items() if key != "kind"})
    except TypeError as error:
        raise ValueError(str(error)) from error
