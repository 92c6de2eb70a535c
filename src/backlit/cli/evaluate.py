"""``backlit evaluate``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from backlit.cli.options import SOME_FAILED, Model, ReportFormat, Workers
from backlit.cli.saving import photo_classifier


class SplitName(StrEnum):
    """Which part of a folder with splits."""

    train = "train"
    validation = "validation"
    test = "test"


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="FOLDER/<class>/*, or a folder with splits."),
    ],
    model: Model = None,
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How results are written.")
    ] = ReportFormat.table,
    split: Annotated[
        SplitName | None,
        typer.Option(help="Which split.", show_default="test, else validation, else train"),
    ] = None,
    workers: Workers = None,
) -> None:
    """Judge a model by photographs whose classes are known."""
    from backlit import _terminal as terminal
    from backlit._progress import ProgressBar
    from backlit.console import show_evaluation, warn
    from backlit.photos.judging import evaluate as judge
    from backlit.photos.writing import evaluation_data

    terminal.require_output()
    with ProgressBar("evaluating", unit="pictures") as bar:
        found = judge(
            folder,
            photo_classifier(model),
            split=split.value if split else None,
            workers=workers,
            tick=bar.tick,
        )
    for path, reason in found.broken:
        warn(f"left out {path}: {reason}")
    if found.learnt_from:
        n = found.evaluation.n + len(found.broken)
        warn(
            f"the model has learnt from {found.learnt_from:,} of these {n:,} pictures: what "
            "follows flatters it. Judge it by others, or by what train said of cross-validation."
        )
    if form is ReportFormat.json:
        terminal.print_json(evaluation_data(found), indent=2)
    else:
        show_evaluation(found)
    if found.broken:
        raise typer.Exit(SOME_FAILED)
