"""Tables in files: CSV, read without a further library, and Parquet."""

import csv
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backlit._extras import require
from backlit._files import unreadable
from backlit._text import counted, printable
from backlit.errors import BacklitError
from backlit.tables.columns import Column, Table, categories_of, read_table

#: what stands for a missing value, in any case
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?", "-", "nil", "<na>", "#n/a"))

_TRUTHS = {"true": 1, "false": 0}
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?"
    rf"|{_MONTH} \d{{1,2}},? \d{{4}}|\d{{1,2}} {_MONTH},? \d{{4}}",
    re.IGNORECASE,
)
#: a number with separated thousands, a currency or a percent sign
_DRESSED = re.compile(
    r"(?P<sign>[-+−]?)\s?[$€£¥]?\s?(?P<whole>\d{1,3}(,\d{3})+|\d+)(?P<rest>\.\d+)?\s?[%$€£¥]?"
)
#: names, in lower case, that columns have which number the rows: R's, pandas's, and people's
_NUMBERING = frozenset(
    (
        *("", "rownames", "row.names", "rowname", "unnamed: 0", "__index_level_0__", "index"),
        *("id", "obs", "row", "rowid", "row_id", "no", "no.", "nr", "number", "#", "case"),
    )
)
#: of these, the ones that a program wrote for a column without a name
_UNNAMED = frozenset(("", "rownames", "row.names", "unnamed: 0", "__index_level_0__"))
#: a column with any name numbers the rows if it counts so many or more: grades of a few do, too
_COUNTING_FROM = 10
_EXCHANGED = str.maketrans(".,", ",.")
#: what separates columns, the likeliest first
_SEPARATORS = ",;\t|"


class TableFileError(BacklitError, ValueError):
    """A file is no table that can be read."""


class TableFile:
    """A table that was read from a file.

    Attributes
    ----------
    table : Table
        Its columns, without those that hold dates.
    dates : list of str
        Columns that hold dates.
    numbering : list of str
        Columns of the table that only number the rows, or name them: those that count from 0 or 1
        in the order of the rows, and a first one without a name whose values all differ. In fewer
        than ten rows, columns count only where they are named as if they did.
    """

    def __init__(self, table: Table, dates: list[str]) -> None:
        self.table, self.dates = table, dates
        self.numbering = [
            str(column.name) for i, column in enumerate(table.columns) if _is_numbering(column, i)
        ]

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [str(column.name) for column in self.table.columns]

    def without(self, *names: str) -> Table:
        """Return the table without some columns."""
        kept = [column for column in self.table.columns if column.name not in names]
        return Table(kept, self.table.n_rows, True)

    def column(self, name: str) -> Column:
        """Return a column."""
        return next(column for column in self.table.columns if column.name == name)


def read_file(path: str | os.PathLike[str]) -> TableFile:
    """Read a CSV or Parquet file.

    In CSV the first line names the columns, which are separated by commas, semicolons, tabs or
    bars; with semicolons, numbers may have decimal commas. Numbers may have separated thousands, a
    currency or a percent sign. Empty cells, ``NA``, ``NaN``, ``null``,
    ``None`` and ``?`` are missing. A column is numbers if all its values are. Where the first line
    has one name less than the others have cells, as R writes it, each line begins with its row's
    name. Columns that only number the rows are told apart (see :class:`TableFile`): the order of
    rows predicts nothing about new ones.

    Parameters
    ----------
    path : path
        A file whose name ends in .parquet, or a CSV file.

    Raises
    ------
    TableFileError
        If it cannot be read, or lines have more or fewer cells than there are names.
    MissingExtraError
        For Parquet without pyarrow.
    """
    path = Path(path)
    name = printable(os.fspath(path))
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path, name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableFileError(f"{name}: {unreadable(error)}.") from error
    if content[:4] in (b"PAR1", b"PK\x03\x04") or b"\x00" in content[:4096]:
        raise TableFileError(
            f"{name} is no text, expected CSV, or Parquet with a name that ends in .parquet."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    return _read_csv(text, name)


def _read_csv(text: str, name: str) -> TableFile:
    first, _, _ = text.partition("\n")
    separator = max(_SEPARATORS, key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    if len(rows) < 2:
        raise TableFileError(
            f"{name} has {counted(len(rows), 'line')}, expected the names of columns and at least "
            "one row."
        )
    if all(len(row) == len(rows[0]) + 1 for row in rows[1:]):
        rows[0] = ["", *rows[0]]
    while not rows[0][-1].strip() and all(len(r) == len(rows[0]) and not r[-1] for r in rows[1:]):
        rows = [row[:-1] for row in rows]  # lines that end with a separator
    names = [cell.strip() for cell in rows[0]]
    twice = next((one for i, one in enumerate(names) if one in names[:i]), None)
    if twice is not None:
        raise TableFileError(f"{name} has two columns that are named {twice!r}, expected others.")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise TableFileError(
                f"{name}: row {number} (row 1 is the first below the names) has "
                f"{counted(len(row), 'cell')}, expected {len(names)} because the first line names "
                f"so many columns (separated by {separator!r})."
            )
    columns, dates = [], []
    for i, column_name in enumerate(names):
        cells = [row[i].strip() for row in rows[1:]]
        commas = separator == ";" and _has_commas(cells)
        found = _column(column_name, cells, _with_comma if commas else _with_point)
        if found is None:
            dates.append(column_name)
        else:
            columns.append(found)
    return TableFile(Table(columns, len(rows) - 1, True), dates)


def _column(name: str, cells: list[str], number_of: Callable[[str], float]) -> Column | None:
    """Return a column, or None where it holds dates."""
    values = [None if cell.lower() in MISSING else cell for cell in cells]
    present = [value for value in values if value is not None]
    try:
        numbers = np.array([np.nan if v is None else number_of(v) for v in values])
    except ValueError:
        pass
    else:
        if not np.isinf(numbers).any():
            return Column(name, numbers)
    if all(value.lower() in _TRUTHS for value in present):
        truths = [-1 if value is None else _TRUTHS[value.lower()] for value in values]
        return Column(name, None, np.array(truths, dtype=np.int64), ("False", "True"))
    if present and all(_DATE.fullmatch(value) for value in present):
        return None
    return categories_of(name, values)


def _is_numbering(column: Column, place: int) -> bool:
    """Tell whether a column only numbers the rows, or names them."""
    name = str(column.name).lower()
    named = name in _NUMBERING or column.name == "X"  # which R calls columns without a name
    if column.numbers is not None:
        numbers = column.numbers
        n_rows = len(numbers)
        counts = n_rows > 0 and bool((np.diff(numbers) == 1).all()) and numbers[0] in (0, 1)
        different = len(np.unique(numbers)) == len(numbers)
    else:
        assert column.codes is not None
        n_rows = len(column.codes)
        counts, different = False, len(column.levels) == n_rows
    return (counts and (named or n_rows >= _COUNTING_FROM)) or (
        place == 0 and name in _UNNAMED and different
    )


def _with_point(text: str) -> float:
    """Read a number such as 1200.5, 1,200.50, $1,200.50 or 12 %."""
    try:
        return float(text)
    except ValueError:
        found = _DRESSED.fullmatch(text)
        if found is None:
            raise
    number = float(found["whole"].replace(",", "") + (found["rest"] or ""))
    return -number if found["sign"] in ("-", "−") else number


def _with_comma(text: str) -> float:
    """Read a number such as 1200,5 or 1.200,50 €."""
    try:
        return _with_point(text.translate(_EXCHANGED))
    except ValueError:
        return _with_point(text)  # among others, one with a point


def _has_commas(cells: list[str]) -> bool:
    """Tell whether the numbers of a column have decimal commas, and not commas before a point."""
    return any("," in cell for cell in cells) and not any(
        "." in cell.partition(",")[2] for cell in cells
    )


def _read_parquet(path: Path, name: str) -> TableFile:
    require("A Parquet file", "parquet", "pyarrow")
    import pyarrow
    import pyarrow.parquet
    import pyarrow.types

    try:
        found = pyarrow.parquet.read_table(path)
    except FileNotFoundError as error:
        raise TableFileError(f"{name}: {unreadable(error)}.") from error
    except (OSError, pyarrow.ArrowException) as error:
        raise TableFileError(f"{name}: cannot be read ({error}).") from error
    dates = [field.name for field in found.schema if pyarrow.types.is_temporal(field.type)]
    return TableFile(read_table(name, found.drop_columns(dates)), dates)


def targets_of(column: Column, kind: str | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Return which rows have a target, these, and "classes" or "numbers".

    Parameters
    ----------
    column : Column
        What is to be predicted.
    kind : {"classes", "numbers"} or None
        What it is; by default text is classes, and so are numbers of which there are but two.

    Raises
    ------
    TableFileError
        If there is nothing to learn: no value, or one alone.
    """
    if column.numbers is not None:
        known = ~np.isnan(column.numbers)
        y = column.numbers[known]
        chosen = kind or ("classes" if len(np.unique(y)) == 2 else "numbers")
        if chosen == "classes" and (y == np.floor(y)).all():
            y = y.astype(np.int64)
    else:
        assert column.codes is not None
        known = column.codes >= 0
        y = np.array(column.levels, dtype=object)[column.codes[known]]
        chosen = kind or "classes"
        if chosen == "numbers":
            raise TableFileError(
                f"column {column.name!r} holds text, such as {column.levels[0]!r}, expected "
                "numbers; leave --kind out to predict classes."
            )
    if len(np.unique(y)) < 2:
        raise TableFileError(
            f"column {column.name!r} has {len(np.unique(y))} different values, expected at least "
            "two to learn from."
        )
    return np.flatnonzero(known), y, chosen
