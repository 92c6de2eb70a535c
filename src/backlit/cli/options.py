"""Options, formats and exit codes that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SOME_FAILED = 3
INTERRUPTED = 130
TERMINATED = 143


class ReportFormat(StrEnum):
    """How an evaluation is written."""

    table = "table"
    json = "json"


Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Threads that read pictures.", show_default="one a core"),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m", help="A model file.", show_default="day and night, on any camera"
    ),
]
