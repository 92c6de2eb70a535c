"""``backlit explain``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from backlit.cli.options import Model, ReportFormat
from backlit.cli.report import check_page
from backlit.cli.saving import photo_classifier


def explain(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture.", show_default=False)],
    model: Model = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Draw it there: the picture, and over it what speaks for its label.",
            show_default="words only",
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The class to explain.", show_default="the likeliest")
    ] = None,
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How the words are written.")
    ] = ReportFormat.table,
) -> None:
    """Say what a photograph shows, and why the network says so.

    The network's gradient is carried back through the features to the pixels.
    Groups of features push the log-odds of the label up or down; the pushes add up.
    """
    from backlit import _terminal as terminal
    from backlit.console import note, show_explanation
    from backlit.errors import PhotoError, UnknownNameError
    from backlit.photos.saliency.drawing import explanation_picture, picture_format
    from backlit.photos.saliency.explaining import explain as explain_photo
    from backlit.photos.writing import explanation_data

    terminal.require_output()
    if photo.is_dir():
        raise PhotoError(f"{photo} is a folder, expected a picture.")
    if output is not None:
        check_page(output, "--output")
        picture_format(output)  # says before the work that it cannot be written
    classifier = photo_classifier(model)
    try:
        found = explain_photo(photo, classifier, label=label)
    except UnknownNameError as error:
        raise typer.BadParameter(str(error), param_hint="--label") from error
    if form is ReportFormat.json:
        terminal.print_json(explanation_data(found))
    else:
        show_explanation(found)
    if output is None:
        if form is not ReportFormat.json:
            note("Add --output explained.png to see where in the picture.")
        return
    try:
        explanation_picture(found).save(output, format=picture_format(output))
    except OSError as error:
        reason = error.strerror or str(error)
        raise PhotoError(f"cannot be written ({reason})", os.fspath(output)) from error
    note(f"Drawn: {output}")
