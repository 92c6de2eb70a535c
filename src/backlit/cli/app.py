"""The commands together, and how their errors are shown."""

import os
from typing import Annotated, Any

import typer

from backlit import _terminal as terminal
from backlit._signals import INTERRUPTED
from backlit.cli.check import check
from backlit.cli.doctor import doctor
from backlit.cli.evaluate import evaluate
from backlit.cli.explain import explain
from backlit.cli.export import export
from backlit.cli.grade import grade
from backlit.cli.info import info
from backlit.cli.pages import open_app
from backlit.cli.predict import predict
from backlit.cli.refusals import Command, is_usage_error, show_usage_error
from backlit.cli.report import report
from backlit.cli.table import table
from backlit.cli.train import train

app = typer.Typer(
    name="backlit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (train, predict, evaluate, explain, report, info, export, check, grade, doctor):
    app.command(cls=Command)(_command)
app.command("app", cls=Command)(open_app)
app.add_typer(table, name="table")


def _version(wanted: bool) -> None:
    if wanted:
        from backlit import __version__

        terminal.require_output()
        terminal.print_line(f"backlit {__version__}")
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
    """Dense networks with the backward pass in the open: check one, train on tables or pictures."""


def main() -> None:
    """Run the command line; leaves with an exit code."""
    from backlit.errors import OutputError

    with terminal.guarded_streams():
        try:
            code = _run()
            terminal.flush()
        except OutputError as error:
            _complain(str(error))
            code = 1
        except BrokenPipeError:  # the reader of our output has gone
            code = 1
        except KeyboardInterrupt:  # who typed it does not wait for a slow reader
            code = INTERRUPTED
        _leave(code)


def _run() -> int:
    """Run a command, and say what went wrong; returns the exit code."""
    from backlit.errors import BacklitError, OutputError, SettingError

    try:
        left: Any = app(standalone_mode=False)
        return left if isinstance(left, int) else 0
    except OutputError:
        raise
    except SettingError as error:
        _complain(str(error))
        return 2
    except BacklitError as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            _complain("the system lets this process begin no further thread (see ulimit -u).")
            return 1
        if not is_usage_error(error):
            raise
        return show_usage_error(error)


def _complain(text: str) -> None:
    from backlit.console import complain

    complain(text)


def _leave(code: int) -> None:
    """Leave at once, without waiting for threads that are still decoding."""
    os._exit(code)
