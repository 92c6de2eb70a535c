"""The commands together, and what an error of theirs looks like to whoever typed one."""

import os
import sys
from typing import Annotated

import typer

from backlit.cli.check import check
from backlit.cli.evaluate import evaluate
from backlit.cli.explain import explain
from backlit.cli.pages import open_app
from backlit.cli.predict import predict
from backlit.cli.refusals import Command
from backlit.cli.report import report
from backlit.cli.termination import INTERRUPTED
from backlit.cli.train import train

app = typer.Typer(
    name="backlit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (train, predict, evaluate, explain, report, check):
    app.command(cls=Command)(_command)
app.command("app", cls=Command)(open_app)


def _version(wanted: bool) -> None:
    if wanted:
        from backlit import __version__

        typer.echo(f"backlit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """Small dense networks, with the backward pass in the open: day or night in photographs."""


def main() -> None:
    """Run the command line; leaves with an exit code."""
    from backlit.errors import BacklitError, SettingError

    try:
        app()
    except SettingError as error:
        _complain(str(error))
        code = 2
    except BacklitError as error:
        _complain(str(error))
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BrokenPipeError:
        code = 1
    _leave(code)


def _complain(text: str) -> None:
    from backlit.console import complain

    complain(text)


def _leave(code: int) -> None:
    """Leave at once, without waiting for threads that are still decoding."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, KeyboardInterrupt):  # whoever read our output has gone, or will not wait
        pass
    os._exit(code)
