"""Options, formats and exit codes that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SOME_FAILED = 3


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
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Work on a Dask cluster: a scheduler's address, or local[:N] for N processes here.",
        metavar="ADDRESS|local[:N]",
        rich_help_panel="Cluster",
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(help="Certificate authority of the cluster (PEM).", rich_help_panel="Cluster"),
]
TlsCert = Annotated[
    Path | None, typer.Option(help="Our certificate (PEM).", rich_help_panel="Cluster")
]
TlsKey = Annotated[Path | None, typer.Option(help="Its key (PEM).", rich_help_panel="Cluster")]
