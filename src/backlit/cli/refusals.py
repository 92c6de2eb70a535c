"""What is said of arguments that typer refuses."""

from typing import Any

import typer
from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose complaints about a value say what came.

    Where typer leaves the checking of values to pydantic, the message says what was expected only.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; see click's command."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            errors = getattr(error.__cause__, "errors", None)
            if errors is not None:
                error.message = _words(errors()[0])
            raise


def _words(error: dict[str, Any]) -> str:
    """Word one of pydantic's errors: what came, and what was expected."""
    came = repr(error["input"])
    said = error["msg"].removeprefix("Value error, ")
    if said.startswith(came):  # an enumeration's does
        return str(said)
    expected = said.removeprefix("Input should be ").split(", unable to")[0]
    return f"{came}, expected {expected}."


def is_usage_error(error: Any) -> bool:
    """Tell whether an exception is typer's word on arguments; its classes have no public name."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def show_usage_error(error: Any) -> int:
    """Say what is wrong with the arguments, and how they go.

    Parameters
    ----------
    error : exception
        What typer has raised; nothing is said of the one after which it has shown the help.

    Returns
    -------
    int
        The exit code.
    """
    from backlit.console import complain, note

    if type(error).__name__ != "NoArgsIsHelpError":
        context = getattr(error, "ctx", None)
        if context is not None:
            for line in context.get_usage().splitlines():
                note(line)
            note(f"Try '{context.command_path} {context.help_option_names[0]}' for help.")
        complain(_message(error))
    return int(error.exit_code)


def _message(error: Any) -> str:
    """Word an error; of options that were meant, the one whose name is nearest."""
    meant = getattr(error, "possibilities", None)
    if meant:
        return f"No such option: {error.option_name}. Did you mean {meant[0]!r}?"
    return str(error.format_message())
