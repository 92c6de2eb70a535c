"""What an interrupted run has written: which pictures are done, and where to go on."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backlit._files import unreadable
from backlit._text import printable
from backlit.errors import PhotoError, SettingError
from backlit.photos.classifier import Stamp
from backlit.photos.filing import Promise
from backlit.photos.writing import csv_line, row_columns


@dataclass(frozen=True)
class Done:
    """What a file of predictions holds already.

    Attributes
    ----------
    paths : frozenset of str
        Pictures that have a row.
    failed : int
        Rows with an error.
    promises : tuple of Promise
        Where rows say that their pictures go.
    labels : dict of str to int
        How many rows have each label.
    """

    paths: frozenset[str] = frozenset()
    failed: int = 0
    promises: tuple[Promise, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


def resume(
    path: str | os.PathLike[str], form: str, classes: Sequence[str] = (), *, filing: bool = False
) -> Done:
    """Read a file of predictions and cut off a last row that is incomplete.

    Parameters
    ----------
    path : path
        The file; it may be missing.
    form : {"csv", "jsonl"}
        Its format.
    classes : sequence of str, optional
        The model's classes, which have columns in CSV.
    filing : bool, optional
        Whether its rows say where their pictures go.

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
        return Done()
    if not os.path.isfile(path):  # the open of a named pipe would wait for a writer
        raise PhotoError("not a regular file", os.fspath(path))
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise PhotoError(unreadable(error), os.fspath(path)) from error
    whole = data[: _complete(data, quotes=form == "csv")]
    text = whole.decode("utf-8", errors="surrogateescape")
    columns = row_columns(classes, filing)
    head = csv_line(columns).encode("utf-8", errors="surrogateescape")
    beginning = b'{"path": "' if form == "jsonl" else head
    try:
        if not whole and data[: len(beginning)] != beginning[: len(data)]:
            raise ValueError("it has no whole row")
        rows = _csv_rows(text, columns) if form == "csv" else _jsonl_rows(text)
        promises = tuple(_promise(row) for row in rows if row.get("target")) if filing else ()
    except (ValueError, LookupError, TypeError, RecursionError, csv.Error) as error:
        raise SettingError(
            f"{os.fspath(path)} holds no predictions in {form} to go on from "
            f"({printable(str(error))}); "
            "give another --output or leave --resume out."
        ) from error
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    paths = frozenset(row["path"] for row in rows)
    labels = Counter(row["label"] for row in rows if not row["error"])
    return Done(paths, sum(bool(row["error"]) for row in rows), promises, labels)


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


def _csv_rows(text: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if rows and tuple(rows[0]) != columns:
        raise ValueError(f"its columns are {','.join(rows[0])[:60]}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} columns, expected {len(columns)}")
    return [dict(zip(columns, row, strict=True)) for row in rows[1:]]


def _jsonl_rows(text: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    for number, row in enumerate(rows, 1):
        texts = row["path"], row["label"] or "", row["error"] or ""
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"row {number} has no text as path, label and error")
    return rows


def _promise(row: dict[str, Any]) -> Promise:
    """Return where a row's picture goes, or raise a ValueError, KeyError or TypeError."""
    size, modified_ns = _integer(row["bytes"]), _integer(row["modified_ns"])
    if not isinstance(row["target"], str) or size < 0 or "\0" in row["target"] + row["path"]:
        raise ValueError("a row's target, bytes and modified_ns are none")
    return Promise(row["path"], row["target"], Stamp(size, modified_ns))


def _integer(value: object) -> int:
    if isinstance(value, str):
        return int(value)
    if type(value) is not int:
        raise TypeError(f"found {type(value).__name__}, expected a whole number")
    return value
