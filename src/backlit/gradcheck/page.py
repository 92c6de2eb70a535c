"""The report in a terminal: a table of what was checked, and a sentence for each problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backlit.gradcheck.finding import Finding

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def rich_lines(
    verdict: str, findings: Sequence[Finding], notes: Sequence[str]
) -> Iterator[RenderableType]:
    """Yield what the console prints for a report."""
    from rich.padding import Padding
    from rich.text import Text

    ok = all(finding.ok for finding in findings)
    yield Text(verdict, style="bold green" if ok else "bold red")
    several = len({f.function for f in findings if f.function}) > 1
    yield from _of_functions(findings) if several else _of_gradients(findings)
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
            _mark(finding.ok),
            Text(_name(finding), style="bold"),
            Text(finding.label, style="green" if finding.ok else "red"),
            Text(finding.message, style="dim") if finding.ok else _meaning(finding),
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
            _mark(not wrong),
            Text(function or "", style="bold"),
            Text(", ".join(_name(f) for f in own if f.ok), style="green"),
            Text(", ".join(wrong), style="red"),
        )
    yield table
    for finding in [f for f in findings if not f.ok]:
        title = Text(f"{finding.function}, {_name(finding)}: ", style="bold")
        title.append(finding.label, style="red")
        yield Panel(_meaning(finding), title=title, title_align="left", border_style="red")


def _name(finding: Finding) -> str:
    return f"d{finding.gradient}" if finding.gradient else "the call"


def _mark(ok: bool) -> Text:
    from rich.text import Text

    return Text("✓", style="green") if ok else Text("✗", style="bold red")


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
