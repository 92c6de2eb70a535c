"""Which pictures a command was given: arguments, a list in a file, or standard input."""

import os
import sys
from collections.abc import Sequence

import typer

from backlit._files import unreadable
from backlit.errors import PhotoError, SettingError

STDIN = "-"


def given_names(paths: Sequence[str], listed: str | None) -> list[str]:
    """Return the names of pictures and folders that were given, in order.

    Parameters
    ----------
    paths : sequence of str
        Arguments; ``-`` stands for the names on standard input.
    listed : str or None
        A file of names, ``-`` for standard input; its names come last.

    Returns
    -------
    list of str

    Raises
    ------
    PhotoError
        Where the list cannot be read.
    SettingError
        Where no name is given, or standard input is to be read twice.
    """
    if not paths and listed is None:
        raise typer.BadParameter(
            "give pictures or folders, - for names on standard input, or --from LIST.",
            param_hint="PATHS",
        )
    sources = [*paths, *([STDIN] if listed == STDIN else [])]
    if sources.count(STDIN) > 1:
        raise SettingError("standard input can be read once; - was given twice.")
    names: list[str] = []
    for path in paths:
        names += read_names(STDIN) if path == STDIN else [path]
    if listed is not None:
        names += read_names(listed)
    return names


def read_names(source: str) -> list[str]:
    """Read names, one a line, or ended by NUL characters as ``find -print0`` writes them.

    Parameters
    ----------
    source : str
        A file, or ``-`` for standard input.

    Returns
    -------
    list of str
        Bytes that are no UTF-8 stand in them as the system's names have them.

    Raises
    ------
    PhotoError
        Where the file cannot be read.
    SettingError
        Where it holds no name.
    """
    what = "standard input" if source == STDIN else source
    try:
        if source == STDIN:
            data = b"" if sys.stdin is None else sys.stdin.buffer.read()
        else:
            with open(source, "rb") as file:
                data = file.read()
    except (OSError, ValueError) as error:
        raise PhotoError(unreadable(error), what) from error
    if b"\0" in data:
        lines = data.split(b"\0")
    else:
        lines = data.split(b"\n")
        if all(line.endswith(b"\r") for line in lines[:-1]):  # as Windows ends lines
            lines = [line.removesuffix(b"\r") for line in lines]
    names = [os.fsdecode(line) for line in lines if line]
    if not names:
        raise SettingError(f"{what} names no picture; expected a path a line.")
    return names
