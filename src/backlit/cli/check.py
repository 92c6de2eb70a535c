"""``backlit check``."""

from typing import Annotated

import typer

from backlit.cli.options import ReportFormat


def check(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="A .py file, an .ipynb notebook, a folder of them, or package.module; a file with "
            ":function, :Class or :Class.method for one of it.",
        ),
    ],
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How the report is written.")
    ] = ReportFormat.table,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Count what is fragile or a matter of style as wrong."),
    ] = False,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="The budget of one function: for ways to call it, and for the name and the repair "
            "of what is wrong. What was not searched is said.",
        ),
    ] = 10.0,
    time_limit: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", help="After how long the check of one function is ended."
        ),
    ] = 60.0,
    memory_limit: Annotated[
        float, typer.Option(min=1, metavar="MB", help="How much memory the code may take.")
    ] = 4096.0,
) -> None:
    """Say what is wrong with a backward pass of your own (its functions are run).

    Layer classes, nets with their cost and pairs of functions are found by themselves. Of a file or
    a notebook only functions, classes, imports and constants are taken: no line that trains, plots,
    downloads or installs is run. Exit code 0: everything that was found is right; 1: something is
    wrong; 2: nothing was checked; 3: what was checked is right, and some could not be checked.
    What is only fragile (NaN where something saturates) or a matter of style (a gradient that adds
    up until it is zeroed) counts with --strict.

    The code runs in a process of its own. Where it ends that, crashes it, does not end or takes too
    much memory, this is a finding like others, with its line.
    """
    from backlit import _terminal as terminal
    from backlit.gradcheck.sources.isolation import Limits
    from backlit.gradcheck.sources.target import check_targets

    terminal.require_output()
    stdout = terminal.data_output() if form is ReportFormat.json else terminal.output()
    code = check_targets(
        targets,
        format=form.value,
        strict=strict,
        seconds=seconds,
        limits=Limits(time_limit, memory_limit),
        stdout=stdout,
        stderr=terminal.errors(),
    )
    if code:
        raise typer.Exit(code)
