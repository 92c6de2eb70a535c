"""What is said of an option's value that typer refuses."""

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
