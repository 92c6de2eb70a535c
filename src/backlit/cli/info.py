"""``backlit info``."""

from pathlib import Path
from typing import Annotated

import typer

from backlit.cli.options import ReportFormat


def info(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model file.", show_default=False)
    ],
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How it is written.")
    ] = ReportFormat.table,
) -> None:
    """Say what a model file holds.

    Its kind, classes and features, what it was trained on and when, the versions that wrote it,
    and its figures. The whole file is checked; nothing in it is run.
    """
    from backlit import _terminal as terminal
    from backlit.console import show_rows
    from backlit.model_information import model_information

    terminal.require_output()
    found = model_information(model)
    if form is ReportFormat.json:
        terminal.print_json(found.data, indent=2)
    else:
        show_rows(found.rows)
