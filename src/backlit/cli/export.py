"""``backlit export``."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Numbers(StrEnum):
    """What an exported model computes in."""

    float32 = "float32"
    float64 = "float64"
    int8 = "int8"
    q15 = "q15"


def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A model file that backlit saved.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="What to write: .onnx, .h (C), .js or .mjs, or .py (NumPy alone).",
            show_default=False,
        ),
    ],
    dtype: Annotated[
        Numbers | None,
        typer.Option(
            help="What it computes in; int8 and q15 are whole numbers, in C.",
            show_default="float32 in ONNX and C, else float64",
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="Examples such as the model will see, CSV or .npy: they give the ranges for which "
            "the error is bounded, and calibrate whole numbers.",
            show_default="what the model knows of its training data",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What the names in C begin with.", show_default="the file's name"),
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Compile or run what was written, and compare its test vectors.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a trained network in another language, with test vectors and a bound of its error.

    Scalers and encoders go with it. A photo classifier goes from a picture's features on.
    """
    from backlit import _terminal as terminal
    from backlit.console import note, warn
    from backlit.formats.export.exporting import export as write
    from backlit.formats.export.exporting import form_of
    from backlit.formats.export.registry import describe
    from backlit.formats.export.rows_file import read_examples
    from backlit.formats.export.testing import run_self_test
    from backlit.saving import load

    terminal.require_output()
    chosen = None if dtype is None else dtype.value
    form_of(output, chosen)
    _check_output(output, force)
    described = describe(load(model))
    examples = None
    if inputs is not None:
        examples = read_examples(inputs, [column.name for column in described.columns])
    write(described, output, dtype=chosen, inputs=examples, name=name)
    note(f"Exported: {output} ({os.path.getsize(output):,} bytes)")
    if not self_test:
        return
    found = run_self_test(output)
    for line in found.text.splitlines():
        terminal.print_line(line)
    if found.passed is None:
        warn("the file was written, and not tested.")
    if not found.passed:
        raise typer.Exit(1)


def _check_output(output: Path, force: bool) -> None:
    """Say before the work that a file cannot be written."""
    if not output.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.parent}.", param_hint="OUTPUT")
    if output.is_dir():
        raise typer.BadParameter(f"{output} is a folder; give a file name.", param_hint="OUTPUT")
    if os.path.lexists(output) and not force:
        raise typer.BadParameter(
            f"{output} is there already; give another name, or --force to replace it.",
            param_hint="OUTPUT",
        )
