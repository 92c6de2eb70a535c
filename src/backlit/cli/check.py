"""``backlit check``."""

from typing import Annotated

import typer

from backlit.cli.options import ReportFormat


def check(
    target: Annotated[
        str,
        typer.Argument(
            help="A .py file, an .ipynb notebook, or package.module; with :function for one of it."
        ),
    ],
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How the report is written.")
    ] = ReportFormat.table,
) -> None:
    """Say what is wrong with a backward pass of your own (its functions are run).

    Of a notebook only functions, imports and constants are taken: no cell that trains, plots,
    downloads or installs is run. Exit code 0: every gradient is right; 1: some are wrong.
    """
    from backlit import _terminal as terminal
    from backlit.gradcheck.sources.target import check_target

    terminal.require_output()
    stdout = terminal.data_output() if form is ReportFormat.json else terminal.output()
    code = check_target(target, format=form.value, stdout=stdout, stderr=terminal.errors())
    if code:
        raise typer.Exit(code)
