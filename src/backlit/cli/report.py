"""``backlit report``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from backlit.cli.options import SOME_FAILED, Model, Workers
from backlit.cli.saving import photo_classifier


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="FOLDER/<class>/*, or a folder with splits.",
            show_default=False,
        ),
    ],
    model: Model = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the page is written.")
    ] = Path("report.html"),
    explain: Annotated[
        list[Path] | None,
        typer.Option(
            help="A picture to explain besides those chosen; may be repeated.",
            metavar="PHOTO",
            show_default=False,
        ),
    ] = None,
    workers: Workers = None,
) -> None:
    """Write a page about a model: how right it is, where it is wrong, and why.

    One HTML file, pictures included, that needs no network.
    """
    from backlit._progress import ProgressBar
    from backlit.console import note, warn
    from backlit.report.page import check_extra, write_report

    check_extra()
    check_page(output, "--output")
    from backlit.report.findings import findings_of_folder
    from backlit.report.pictures import PhotoFiles

    classifier = photo_classifier(model)
    with ProgressBar("judging", unit="pictures") as bar:
        found = findings_of_folder(folder, classifier, workers=workers, tick=bar.tick)
    for path, reason in found.broken:
        warn(f"left out {path}: {reason}")
    with ProgressBar("explaining", unit="pictures") as bar:
        write_report(
            output,
            found,
            PhotoFiles(os.fspath(folder)),
            explain=explain or (),
            tick=bar.tick,
        )
    note(f"Report written: {output}")
    if found.broken:
        raise typer.Exit(SOME_FAILED)


def check_page(output: Path, option: str) -> None:
    """Say before the work, not after it, that the page cannot be written."""
    folder = output.parent
    if output.is_dir():
        raise typer.BadParameter(f"{output} is a folder; give a file name.", param_hint=option)
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}.", param_hint=option)
    if not os.access(output if output.exists() else folder, os.W_OK):
        raise typer.BadParameter(f"{output} cannot be written to.", param_hint=option)
