"""What an interrupted run has written: which pictures are done, and where to go on."""

import csv
import io
import json
import os
from dataclasses import dataclass

from backlit.errors import SettingError
from backlit.photos.writing import CSV_COLUMNS


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
        Where the file is not one of predictions.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return Done(frozenset(), 0)
    whole = data[: _complete(data, quotes=form == "csv")]
    text = whole.decode("utf-8", errors="surrogateescape")
    try:
        rows = _csv_rows(text) if form == "csv" else _jsonl_rows(text)
    except (ValueError, KeyError, TypeError) as error:
        raise SettingError(
            f"{os.fspath(path)} holds no predictions in {form} to go on from ({error}); "
            "give another --output or leave --resume out."
        ) from error
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return Done(frozenset(path for path, _ in rows), sum(bool(error) for _, error in rows))


def _complete(data: bytes, quotes: bool) -> int:
    """Length up to the end of the last whole row: a line break outside quotes."""
    end = len(data)
    while True:
        end = data.rfind(b"\n", 0, end) + 1
        if end == 0 or not quotes or data.count(b'"', 0, end) % 2 == 0:
            return end
        end -= 1


def _csv_rows(text: str) -> list[tuple[str, str]]:
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if rows and tuple(rows[0]) != CSV_COLUMNS:
        raise ValueError(f"its columns are {','.join(rows[0])[:60]}")
    return [(row[0], row[3]) for row in rows[1:]]


def _jsonl_rows(text: str) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    return [(row["path"], row["error"] or "") for row in rows]
