"""Columns of a table, as pandas, Polars, Arrow, NumPy and SciPy hold them.

A column becomes numbers, NaN where one is missing, or categories: text by which each level is
known, None where it is missing. Dates are refused: what they mean (an age, an hour, a weekday) only
the caller knows.
"""

import datetime
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from backlit.errors import DTypeError, NonFiniteError, ShapeError

_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
_ADVICE = "make numbers of it that mean something (a year, an hour, a weekday), or leave it out."


class Column(NamedTuple):
    """A column that was read.

    Attributes
    ----------
    name : str or int
        Its name; its place in an array.
    numbers : float64 array, shape (m,), or None
        NaN where missing; None for categories.
    codes : int64 array, shape (m,), or None
        Each row's place in `levels`, -1 where missing; None for numbers.
    levels : tuple of str
        What is known of the categories.
    """

    name: Any
    numbers: NDArray[np.float64] | None
    codes: NDArray[np.int64] | None = None
    levels: tuple[str, ...] = ()

    def rows(self, which: NDArray[np.int64]) -> "Column":
        """Return some rows, in an order."""
        if self.numbers is not None:
            return self._replace(numbers=self.numbers[which])
        assert self.codes is not None
        return self._replace(codes=self.codes[which])

    def as_categories(self) -> "Column":
        """Return the column with each number as a level."""
        if self.numbers is None:
            return self
        found = self.numbers
        missing = np.isnan(found)
        values, places = np.unique(found[~missing], return_inverse=True)
        codes = np.full(len(found), -1, dtype=np.int64)
        codes[~missing] = places
        return Column(self.name, None, codes, tuple(key_of(value) for value in values))

    def as_numbers(self) -> "Column | None":
        """Return the column with each level read as a number, or None where one is not."""
        if self.numbers is not None:
            return self
        assert self.codes is not None
        try:
            values = np.array([*map(_number_of, self.levels), np.nan])
        except ValueError:
            return None
        return Column(self.name, values[self.codes])


class Table(NamedTuple):
    """A table that was read.

    Attributes
    ----------
    columns : list of Column
        In the caller's order.
    n_rows : int
        How many rows.
    named : bool
        Whether columns have names, or only places.
    """

    columns: list[Column]
    n_rows: int
    named: bool

    def rows(self, which: NDArray[np.int64]) -> "Table":
        """Return some rows, in an order."""
        return Table([column.rows(which) for column in self.columns], len(which), self.named)


def read_table(owner: str, X: Any) -> Table:
    """Read a frame, an array or a sparse matrix.

    Parameters
    ----------
    owner : str
        On whose behalf, for messages.
    X : Table, DataFrame, array-like or sparse matrix, shape (m, n_features)
        Rows are examples: of pandas, Polars, Arrow, NumPy or SciPy.

    Raises
    ------
    DTypeError
        If a column holds dates.
    ValueError
        If one holds complex numbers.
    ShapeError
        If there are no two axes.
    NonFiniteError
        If a number is infinite.
    """
    if isinstance(X, Table):
        return X
    library = type(X).__module__.partition(".")[0]
    if scipy.sparse.issparse(X):
        table = _from_array(owner, X.toarray())
    elif library == "pandas" and hasattr(X, "iloc") and hasattr(X, "columns"):
        columns = [_from_pandas(owner, name, X.iloc[:, i]) for i, name in enumerate(X.columns)]
        table = Table(columns, len(X), True)
    elif library == "polars" and hasattr(X, "get_columns"):
        columns = [_from_polars(owner, series) for series in X.get_columns()]
        table = Table(columns, len(X), True)
    elif library == "pyarrow" and hasattr(X, "column_names"):
        pairs = zip(X.column_names, X.columns, strict=True)
        columns = [_from_arrow(owner, name, column) for name, column in pairs]
        table = Table(columns, X.num_rows, True)
    else:
        table = _from_array(owner, X)
    for column in table.columns:
        if column.numbers is not None and np.isinf(column.numbers).any():
            raise NonFiniteError(
                f"{owner}: column {column.name!r} contains infinity, expected finite numbers, or "
                "NaN where one is missing. Input X contains infinity or a value too large."
            )
    return table


def key_of(value: Any) -> str:
    """Return the text by which a level is known: the same for 1, 1.0 and "1"."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if value == int(value) else repr(float(value))
    return str(value)


def _number_of(text: str) -> float:
    return {"True": 1.0, "False": 0.0}[text] if text in ("True", "False") else float(text)


def _from_array(owner: str, X: Any) -> Table:
    array = X if isinstance(X, np.ndarray) else _as_array(owner, X)
    if array.ndim != 2:
        raise ShapeError(
            f"{owner}: X has shape {array.shape}, expected two axes, (m, n_features). Reshape your "
            "data: X.reshape(-1, 1) if it is one feature, X.reshape(1, -1) if it is one example."
        )
    if array.dtype.kind == "c":
        raise ValueError(f"{owner}: X is complex. Complex data not supported, expected numbers.")
    if isinstance(array, np.ma.MaskedArray):
        raise DTypeError(
            f"{owner}: X is a masked array, expected a plain one; fill it with NaN, which stands "
            "for what is missing."
        )
    if array.dtype.kind in "mM":
        raise DTypeError(f"{owner}: X holds dates (dtype {array.dtype}); {_ADVICE}")
    if array.dtype.kind in "fiub":
        numbers = np.asarray(array, np.float64)
        columns = [Column(i, numbers[:, i]) for i in range(array.shape[1])]
    else:
        columns = [_from_objects(owner, i, array[:, i]) for i in range(array.shape[1])]
    return Table(columns, len(array), False)


def _as_array(owner: str, X: Any) -> NDArray[Any]:
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ShapeError(f"{owner}: X has rows of several lengths ({error}).") from error
    if array.dtype.kind in "US" and not isinstance(X, np.ndarray):
        return np.asarray(X, dtype=object)  # or every number among text would be text
    return array


def _refuse_dates(owner: str, name: Any, dtype: Any) -> None:
    raise DTypeError(f"{owner}: column {name!r} holds dates ({dtype}); {_ADVICE}")


def _from_pandas(owner: str, name: Any, series: Any) -> Column:
    dtype = series.dtype
    kind = getattr(dtype, "kind", "O")
    if kind in "mM" or str(dtype).startswith("period"):
        _refuse_dates(owner, name, dtype)
    if hasattr(series, "cat") and hasattr(dtype, "categories"):
        if getattr(dtype.categories.dtype, "kind", "O") in "mM":
            _refuse_dates(owner, name, dtype)
        codes = np.asarray(series.cat.codes, dtype=np.int64)
        return _compacted(name, codes, [key_of(level) for level in dtype.categories])
    if kind == "c":
        raise ValueError(f"{owner}: column {name!r} is complex. Complex data not supported.")
    if kind == "b":
        return _from_truths(name, series.to_numpy(dtype=object, na_value=None))
    if kind in "fiu":
        return Column(name, series.to_numpy(dtype=np.float64, na_value=np.nan))
    return _from_objects(owner, name, series.to_numpy(dtype=object, na_value=None))


def _from_polars(owner: str, series: Any) -> Column:
    dtype, name = series.dtype, series.name
    if dtype.is_temporal():
        _refuse_dates(owner, name, dtype)
    if str(dtype) == "Boolean":
        return _from_truths(name, series.to_list())
    if dtype.is_numeric():
        return Column(name, np.array(series.cast(float).to_numpy(), dtype=np.float64))
    return _from_objects(owner, name, series.to_list())


def _from_arrow(owner: str, name: str, column: Any) -> Column:
    import pyarrow.types as kinds

    kind = column.type
    if kinds.is_temporal(kind):
        _refuse_dates(owner, name, kind)
    if kinds.is_boolean(kind):
        return _from_truths(name, column.to_pylist())
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind):
        values = [np.nan if value is None else float(value) for value in column.to_pylist()]
        return Column(name, np.array(values, dtype=np.float64))
    return _from_objects(owner, name, column.to_pylist())


def _from_truths(name: Any, values: Iterable[Any]) -> Column:
    codes = np.array([-1 if value is None else int(value) for value in values], dtype=np.int64)
    return Column(name, None, codes, ("False", "True"))


def _from_objects(owner: str, name: Any, values: Sequence[Any] | NDArray[Any]) -> Column:
    """Read Python's values: all numbers are numbers, anything else is categories."""
    kinds = {type(value) for value in values}
    if any(issubclass(kind, _DATES) for kind in kinds):
        kind = next(kind for kind in kinds if issubclass(kind, _DATES))
        _refuse_dates(owner, name, kind.__name__)
    if any(issubclass(kind, (complex, np.complexfloating)) for kind in kinds):
        raise ValueError(f"{owner}: column {name!r} is complex. Complex data not supported.")
    missing = [_is_missing(value) for value in values]
    present = {type(value) for value, gone in zip(values, missing, strict=True) if not gone}
    pairs = zip(values, missing, strict=True)
    if present and all(issubclass(kind, (bool, np.bool_)) for kind in present):
        return _from_truths(name, [None if gone else value for value, gone in pairs])
    if all(_is_number(kind) for kind in present):
        numbers = [np.nan if gone else float(value) for value, gone in pairs]
        return Column(name, np.array(numbers, dtype=np.float64))
    return categories_of(name, [None if gone else key_of(value) for value, gone in pairs])


def categories_of(name: Any, keys: Sequence[str | None]) -> Column:
    """Return a column of categories from each row's level, None where it is missing."""
    levels = sorted({key for key in keys if key is not None})
    place: dict[str | None, int] = {key: i for i, key in enumerate(levels)}
    codes = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
    return Column(name, None, codes, tuple(levels))


def _is_number(kind: type) -> bool:
    import decimal
    import fractions

    return issubclass(
        kind, (int, float, np.integer, np.floating, np.bool_, decimal.Decimal, fractions.Fraction)
    )


def _is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, pandas's NA and NaT."""
    if value is None:
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return type(value).__name__ in ("NAType", "NaTType")


def _compacted(name: Any, codes: NDArray[np.int64], keys: list[str]) -> Column:
    """Leave out levels that no row has, and sort the others."""
    used = np.unique(codes[codes >= 0])
    levels = sorted({keys[i] for i in used})
    place = {key: i for i, key in enumerate(levels)}
    moved = np.full(len(keys) + 1, -1, dtype=np.int64)
    for i in used:
        moved[i] = place[keys[i]]
    moved[-1] = -1
    return Column(name, None, moved[codes], tuple(levels))
