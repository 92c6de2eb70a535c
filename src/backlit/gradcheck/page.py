"""The report in a terminal: one table, one sentence for each problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from backlit.gradcheck.report import Finding, Report


def rich_lines(report: Report) -> Iterator[RenderableType]:
    """Yield what the console prints for a report."""
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    several = len({f.function for f in report.findings if f.function}) > 1
    style = "bold green" if report.ok else "bold red"
    yield Text(report.verdict(), style=style)
    table = Table(box=box.ROUNDED, expand=False, border_style="dim", header_style="bold")
    table.add_column("", width=1)
    table.add_column("gradient", no_wrap=not several, max_width=28 if several else None)
    table.add_column("relation", no_wrap=True)
    table.add_column("what it means", overflow="fold")
    last = None
    for group in _rows(report, several):
        finding = group[0]
        if several and finding.function != last:
            if last is not None:
                table.add_section()
            table.add_row("", Text(finding.function or "", style="bold cyan"), "", "")
        last = finding.function
        names = ", ".join(f"d{f.gradient}" if f.gradient else "(call)" for f in group)
        table.add_row(
            _mark(finding),
            Text(names, style="bold"),
            Text(finding.label, style="green" if finding.ok else "red"),
            _meaning(finding),
        )
    yield table
    for note in (report.convention_text(), *report.notes):
        if note:
            yield Padding(Text(note, style="dim"), (0, 0, 0, 1))


def _rows(report: Report, several: bool) -> list[list[Finding]]:
    """Put the right gradients of one function into one row where there are many functions."""
    rows: list[list[Finding]] = []
    for finding in report.findings:
        if (
            several
            and finding.ok
            and rows
            and rows[-1][0].ok
            and rows[-1][0].function == finding.function
        ):
            rows[-1].append(finding)
        else:
            rows.append([finding])
    return rows


def _mark(finding: Finding) -> RenderableType:
    from rich.text import Text

    return Text("✓", style="green") if finding.ok else Text("✗", style="bold red")


def _meaning(finding: Finding) -> RenderableType:
    from rich.text import Text

    if finding.ok:
        return Text(finding.message, style="dim")
    text = Text(finding.sentence)
    if finding.source:
        where = f"{finding.file}, " if finding.file and "cell" in finding.file else ""
        text.append(f"\n{where}line {finding.line}: ", style="dim")
        text.append(finding.source, style="cyan")
    if finding.details:
        text.append("\n" + finding.details, style="dim")
    return text
