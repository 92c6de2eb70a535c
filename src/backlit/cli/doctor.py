"""``backlit doctor``."""

from typing import Annotated

import typer

from backlit.cli.options import ReportFormat


def doctor(
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How it is written.")
    ] = ReportFormat.table,
    bench: Annotated[
        bool, typer.Option("--bench", help="Time a few trainings, too; some seconds.")
    ] = False,
) -> None:
    """Say what this installation runs on.

    The engine and why it is that one, versions, cores, the width of vectors, caches and extras;
    and what would make it faster. To be pasted into a report of a fault.
    """
    from backlit import _terminal as terminal
    from backlit.cli.timing import time_steps
    from backlit.console import note, show_rows
    from backlit.doctor import examine

    terminal.require_output()
    found = examine()
    timings = time_steps() if bench else []
    if form is ReportFormat.json:
        times = {"steps": [timing._asdict() for timing in timings]} if bench else {}
        terminal.print_json(found.data | times, indent=2)
        return
    show_rows([*found.rows, *(timing.row() for timing in timings)])
    for text in found.advice:
        note(text)
