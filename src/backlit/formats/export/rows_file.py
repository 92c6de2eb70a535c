"""Files of examples: CSV with or without a header, and NumPy's."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

from backlit._files import unreadable
from backlit.errors import ExportError


def read_examples(path: str | os.PathLike[str], names: list[str]) -> Any:
    """Read examples from a file.

    Parameters
    ----------
    path : path
        ``.npy`` of shape (m, n), or CSV in UTF-8, whose first line may name the columns. An empty
        field is a missing value.
    names : list of str
        The model's columns. A header must have them, in any order; without one the columns are
        in the model's order.

    Returns
    -------
    mapping of columns by name, or array-like of shape (m, n)

    Raises
    ------
    ExportError
        If the file cannot be read, or its rows differ in length.
    """
    shown = os.fspath(path)
    try:
        if Path(path).suffix.lower() == ".npy":
            return np.load(path)  # which unpickles nothing
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise ExportError(f"{shown}: {unreadable(error)}.") from error
    except (ValueError, csv.Error) as error:
        raise ExportError(f"{shown}: no file of examples ({error}).") from error
    if not rows:
        raise ExportError(f"{shown}: no row in it, expected examples.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ExportError(
                f"{shown}: row {number} has {len(row)} fields, expected {len(rows[0])}, as the "
                "first."
            )
    fields: list[list[str | None]] = [[one or None for one in row] for row in rows]
    if set(names) <= set(rows[0]):
        columns = list(zip(*fields[1:], strict=True)) or [()] * len(rows[0])
        return dict(zip(rows[0], columns, strict=True))
    if any(name in rows[0] for name in names) and not _is_number(rows[0][0]):
        missing = next(name for name in names if name not in rows[0])
        raise ExportError(f"{shown}: there is no column {missing!r}, which the model reads.")
    of_numbers = len(rows) > 1 and all(_is_number(one) or not one for one in rows[1])
    if not _is_number(rows[0][0]) and len(rows[0]) == len(names) and of_numbers:
        fields = fields[1:]  # a header with names of its own
    array = np.empty((len(fields), len(fields[0])), object)
    array[:] = fields
    return array


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
