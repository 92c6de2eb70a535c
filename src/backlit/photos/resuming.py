"""What an interrupted run has written: which pictures are done, and where to go on."""

import csv
import io
import json
import os
from dataclasses import dataclass

from backlit._text import printable
from backlit.errors import PhotoError, SettingError
from backlit.photos.writing import CSV_COLUMNS

#: how a file of predictions begins
_BEGINNINGS = {"csv": ",".join(CSV_COLUMNS).encode() + b"\n", "jsonl": b'{"path": "'}


@dataclass(frozen=True)
class Done:
    """What a file of predictions holds already.

    Attributes
    ----------
    paths : frozenset of str
        Pictures that have a row.
    failed : int
        Rows with an error.
    """

    paths: frozenset[str]
    failed: int


def resume(path: str | os.PathLike[str], form: str) -> Done:
    """Read a file of predictions and cut off a last row that is incomplete.

    Parameters
    ----------
    path : path
        The file; it may be missing.
    form : {"csv", "jsonl"}
        Its format.

    Returns
    -------
    Done

    Raises
    ------
    SettingError
        Where the file is not one of predictions; it is left as it is then.
    PhotoError
        Where it cannot be read.
    """
    if not os.path.lexists(path):
        return Done(frozenset(), 0)
    if not os.path.isfile(path):  # the open of a named pipe would wait for a writer
        raise PhotoError("not a regular file", os.fspath(path))
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror})", os.fspath(path)) from error
    whole = data[: _complete(data, quotes=form == "csv")]
    text = whole.decode("utf-8", errors="surrogateescape")
    beginning = _BEGINNINGS[form]
    try:
        if not whole and data[: len(beginning)] != beginning[: len(data)]:
            raise ValueError("it has no whole row")
        rows = _csv_rows(text) if form == "csv" else _jsonl_rows(text)
    except (ValueError, LookupError, TypeError, RecursionError, csv.Error) as error:
        raise SettingError(
            f"{os.fspath(path)} holds no predictions in {form} to go on from "
            f"({printable(str(error))}); "
            "give another --output or leave --resume out."
        ) from error
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return Done(frozenset(path for path, _ in rows), sum(bool(error) for _, error in rows))


def _complete(data: bytes, quotes: bool) -> int:
    """Length up to the end of the last whole row: a line break outside quotes."""
    end = len(data)
    odd = data.count(b'"') % 2
    while True:
        begin = data.rfind(b"\n", 0, end) + 1
        odd ^= data.count(b'"', begin, end) % 2  # now that of the quotes before `begin`
        if begin == 0 or not quotes or not odd:
            return begin
        end = begin - 1


def _csv_rows(text: str) -> list[tuple[str, str]]:
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if rows and tuple(rows[0]) != CSV_COLUMNS:
        raise ValueError(f"its columns are {','.join(rows[0])[:60]}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(CSV_COLUMNS):
            raise ValueError(f"row {number} has {len(row)} columns, expected {len(CSV_COLUMNS)}")
    return [(row[0], row[3]) for row in rows[1:]]


def _jsonl_rows(text: str) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    for number, row in enumerate(rows, 1):
        if not isinstance(row["path"], str) or not isinstance(row["error"], str | None):
            raise ValueError(f"row {number} has no text as path and error")
    return [(row["path"], row["error"] or "") for row in rows]
