"""Points from a CSV file: x, y and a label in each row."""

import csv
import io
from math import isfinite
from typing import Any

import numpy as np

from backlit.errors import SettingError

MOST_ROWS = 1000
"""Points that are taken."""

_MOST_COMPLAINTS = 3


def read_table(data: bytes) -> dict[str, Any]:
    """Read points and labels from a CSV file.

    Parameters
    ----------
    data : bytes
        UTF-8; comma, semicolon or tab between x, y and the label. A first row of names is passed
        over; where they are ``x``, ``y`` and ``label``, the columns may stand in any order.

    Returns
    -------
    dict
        ``X``, two rows of m coordinates, of mean 0 and standard deviation 1; ``Y``, m labels, 0 or
        1; ``scaling``, the mean and standard deviation that were there; ``classes``, the two
        labels' names.

    Raises
    ------
    SettingError
        Where it cannot be read, with the row.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingError(f"The file is no UTF-8 text (byte {error.start}).") from error
    if "\0" in text:
        raise SettingError("The file is no text: it holds zero bytes.")
    rows = _rows(text)
    if not rows:
        raise SettingError("The file is empty; expected rows of x, y, label.")
    columns, rows = _header(rows)
    if not rows:
        raise SettingError("The file has names of columns, but no rows.")
    if len(rows) > MOST_ROWS:
        raise SettingError(f"The file has {len(rows):,} rows, at most {MOST_ROWS:,} are taken.")
    points, labels, complaints = [], [], []
    for number, row in rows:
        try:
            point, label = _point(row, columns)
        except SettingError as error:
            complaints.append(f"row {number}: {error}")
            continue
        points.append(point)
        labels.append(label)
    if complaints:
        more = len(complaints) - _MOST_COMPLAINTS
        rest = f"; and {more} more" if more > 0 else ""
        raise SettingError(f"{'; '.join(complaints[:_MOST_COMPLAINTS])}{rest}.")
    classes = _sorted(set(labels))
    if len(classes) != 2:
        shown = ", ".join(map(repr, classes[:5])) + (", ..." if len(classes) > 5 else "")
        raise SettingError(
            f"The labels are {shown}: {len(classes)} kind{'s' * (len(classes) != 1)}, expected two."
        )
    X = np.array(points).T  # (2, m)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = X.mean(axis=1), X.std(axis=1)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise SettingError("The coordinates are too large to compute with.")
    scale[scale == 0] = 1.0
    return {
        "X": ((X - mean[:, None]) / scale[:, None]).tolist(),
        "Y": [classes.index(label) for label in labels],
        "scaling": {"mean": mean.tolist(), "scale": scale.tolist()},
        "classes": classes,
    }


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with the number of its line."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max("\t;,", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    found = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if delimiter == ";":  # where it separates columns, a comma may separate decimals
                cells = [_with_point(cell) for cell in cells]
            if any(cells):
                found.append((reader.line_num, cells))
    except csv.Error as error:
        raise SettingError(f"row {reader.line_num}: {error}.") from error
    return found


def _header(
    rows: list[tuple[int, list[str]]],
) -> tuple[tuple[int, int, int], list[tuple[int, list[str]]]]:
    """Return where x, y and label stand, and the rows below a first one of names."""
    names = [cell.casefold() for cell in rows[0][1]]
    if len(names) < 3 or _is_number(names[0]) or _is_number(names[1]):
        return (0, 1, 2), rows  # a number beside something broken is a row that says so
    if {"x", "y", "label"} <= set(names):
        return (names.index("x"), names.index("y"), names.index("label")), rows[1:]
    return (0, 1, 2), rows[1:]


def _point(row: list[str], columns: tuple[int, int, int]) -> tuple[tuple[float, float], str]:
    if len(row) != 3 and len(row) <= max(columns):
        raise SettingError(f"{len(row)} column{'s' * (len(row) != 1)}, expected x, y and label")
    if len(row) > 3 and columns == (0, 1, 2):
        raise SettingError(f"{len(row)} columns, expected x, y and label")
    numbers = []
    for name, place in zip("xy", columns[:2], strict=True):
        cell = row[place]
        if not _is_number(cell):
            raise SettingError(f"{name} is {_short(cell)}, expected a number")
        if not isfinite(float(cell)):
            raise SettingError(f"{name} is {_short(cell)}, expected a finite number")
        numbers.append(float(cell))
    label = row[columns[2]]
    if not label:
        raise SettingError("the label is missing")
    if len(label) > 60:
        raise SettingError("the label is longer than 60 letters")
    # 1 and 1.0 are the same label
    if _is_number(label) and isfinite(float(label)):
        label = f"{float(label):.15g}"
    return (numbers[0], numbers[1]), label


def _sorted(labels: set[str]) -> list[str]:
    if all(_is_number(label) for label in labels):
        return sorted(labels, key=float)
    return sorted(labels)


def _with_point(cell: str) -> str:
    decimal = cell.replace(",", ".", 1)
    return decimal if _is_number(decimal) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _short(text: str) -> str:
    return repr(text if len(text) <= 24 else text[:21] + "...")
