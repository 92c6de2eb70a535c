"""Columns to numbers: which columns are what, one-hot columns, levels, and robust scaling.

`TableEncoder` knows the columns and their levels; it makes *features*, still unscaled, and levels.
`Scaling` is fitted to the training rows of one network alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import DTypeError, SettingError, ShapeError
from backlit.tables.columns import Column, Table

#: the largest size of a scaled number (Holzmüller et al., arXiv 2407.04491, section 3)
LARGEST = 3.0
#: distances below this have no reciprocal
_TINY = 1e-300
#: columns of text in which hardly a value occurs twice are left out: from so many rows on, and from
#: so many levels a row
_IDENTIFIERS_FROM, _IDENTIFYING = 20, 0.9


class TextAmongNumbersError(DTypeError):
    """A column that was numbers in fit holds text.

    Attributes
    ----------
    column : str or int
        Its name, or its place in an array.
    text : str
        The first one.
    row : int
        Where it is, from 0.
    """

    def __init__(self, owner: str, column: Any, text: str, row: int) -> None:
        super().__init__(
            f"{owner}: column {column!r} holds the text {text!r}, expected numbers as in fit."
        )
        self.column, self.text, self.row = column, text, row


class ColumnsError(ShapeError):
    """A table has other columns than that of fit.

    Attributes
    ----------
    lacking : list
        Names of columns that it lacks; none where columns are found by their places.
    n_columns, n_expected : int
        How many it has, and how many that of fit had.
    """

    def __init__(self, owner: str, lacking: list[Any], n_columns: int, n_expected: int) -> None:
        count = (
            f"X has {n_columns} features, but {owner} is expecting {n_expected} features as input"
        )
        if lacking:
            more = f" ({count})" if n_columns != n_expected else ""
            text = (
                f"{owner}: X lacks {listed(lacking)}, expected the columns of fit, in any order"
                f"{more}."
            )
        else:
            text = f"{count}."
        super().__init__(text)
        self.lacking, self.n_columns, self.n_expected = lacking, n_columns, n_expected


def listed(names: Sequence[Any]) -> str:
    """Return names of columns as a message has them: five at most."""
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")


class Features(NamedTuple):
    """Rows of a table as numbers that are not scaled yet, and levels.

    Attributes
    ----------
    numbers : float64 array, shape (n_numbers, m)
        First the columns of numbers, NaN where missing, then what says that they are, and one-hot
        columns.
    levels : int64 array, shape (n_categories, m)
        Of the categories that get trained vectors; 0 where missing or unknown.
    """

    numbers: NDArray[np.float64]
    levels: NDArray[np.int64]


@dataclass(frozen=True)
class ColumnPlan:
    """How a column is encoded.

    Attributes
    ----------
    name : str or int
        Its name, or its place in an array.
    treatment : {"number", "one-hot", "vectors", "left out"}
        What it becomes.
    levels : tuple of str
        The levels of categories.
    indicated : bool
        Whether a number beside it says that it is missing.
    reason : str
        Why it is left out.
    """

    name: Any
    treatment: str
    levels: tuple[str, ...] = ()
    indicated: bool = False
    reason: str = ""

    @property
    def n_numbers(self) -> int:
        """How many numbers it becomes."""
        if self.treatment == "number":
            return 1 + self.indicated
        if self.treatment == "one-hot":
            return 1 if len(self.levels) <= 2 else len(self.levels)
        return 0


@dataclass
class TableEncoder:
    """Columns to features.

    Parameters
    ----------
    owner : str
        On whose behalf, for messages.
    one_hot_levels : int or None
        Categories of up to so many levels are one-hot; None for all.

    Attributes
    ----------
    plans : list of ColumnPlan
        One for each column.
    named : bool
        Whether columns are found by name.
    """

    owner: str
    one_hot_levels: int | None
    plans: list[ColumnPlan] = field(default_factory=list)
    named: bool = False

    @property
    def n_embedded(self) -> int:
        """Columns of numbers, whose features come first."""
        return sum(plan.treatment == "number" for plan in self.plans)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """Levels of each category that gets trained vectors, with that of missing ones."""
        return tuple(len(plan.levels) + 1 for plan in self.plans if plan.treatment == "vectors")

    def fit(self, table: Table, categorical: Any) -> Features:
        """Decide how each column is encoded, and return the features.

        Parameters
        ----------
        table : Table
            All rows.
        categorical : {"from_dtype"}, None, or array-like
            Which columns of numbers are categories: none, or those of a mask, of places or of
            names. Text, booleans and categorical types always are.
        """
        self.named = table.named
        chosen = _chosen(self.owner, table, categorical)
        self.plans = [
            self._plan(column.as_categories() if given else column)
            for column, given in zip(table.columns, chosen, strict=True)
        ]
        return self.transform(table)

    def transform(self, table: Table) -> Features:
        """Return the features of rows, whose columns are found by name where they have names.

        Raises
        ------
        ColumnsError
            If a column is missing, or there are more or fewer of them without names.
        TextAmongNumbersError
            If a column of numbers holds other text than numbers now.
        """
        numbers: list[NDArray[np.float64]] = []
        others: list[NDArray[np.float64]] = []
        levels: list[NDArray[np.int64]] = []
        for plan, column in zip(self.plans, self._matched(table), strict=True):
            if plan.treatment == "number":
                found, *indicator = self._numbers(plan, column)
                numbers.append(found)
                others += indicator
            elif plan.treatment in ("one-hot", "vectors"):
                codes = _codes(plan, column.as_categories())
                if plan.treatment == "vectors":
                    levels.append(codes)
                else:
                    others.extend(_one_hot(codes, len(plan.levels)))
        m = table.n_rows
        if not numbers and not others and not levels:  # nothing varies: the network is its bias
            others = [np.zeros(m)]
        numbers += others
        return Features(
            np.array(numbers, np.float64).reshape(len(numbers), m),
            np.array(levels, np.int64).reshape(len(levels), m),
        )

    def spans(self) -> list[tuple[list[int], int | None]]:
        """Return the places of each column's numbers, and its place among the categories."""
        found: list[tuple[list[int], int | None]] = []
        number, other, category = 0, self.n_embedded, 0
        for plan in self.plans:
            own = [number] if plan.treatment == "number" else []
            more = plan.n_numbers - len(own)
            own += range(other, other + more)
            vectors = plan.treatment == "vectors"
            found.append((own, category if vectors else None))
            number += plan.treatment == "number"
            other, category = other + more, category + vectors
        return found

    def _plan(self, column: Column) -> ColumnPlan:
        if column.numbers is not None:
            missing = np.isnan(column.numbers)
            present = column.numbers[~missing]
            if not len(present) or (present.min() == present.max() and not missing.any()):
                why = "it has one value alone" if len(present) else "it is empty"
                return ColumnPlan(column.name, "left out", reason=why)
            return ColumnPlan(column.name, "number", indicated=bool(missing.any()))
        assert column.codes is not None
        known = column.codes[column.codes >= 0]
        levels = tuple(column.levels[i] for i in np.unique(known))
        if not levels or (len(levels) == 1 and len(known) == len(column.codes)):
            why = "it has one value alone" if levels else "it is empty"
            return ColumnPlan(column.name, "left out", reason=why)
        if len(known) >= _IDENTIFIERS_FROM and len(levels) > _IDENTIFYING * len(known):
            count = "no" if len(levels) == len(known) else "hardly a"
            return ColumnPlan(column.name, "left out", reason=f"{count} value in it occurs twice")
        most = self.one_hot_levels
        treatment = "one-hot" if most is None or len(levels) <= most else "vectors"
        return ColumnPlan(column.name, treatment, levels)

    def _matched(self, table: Table) -> list[Column]:
        if not (self.named and table.named):
            if len(table.columns) != len(self.plans):
                raise ColumnsError(self.owner, [], len(table.columns), len(self.plans))
            return table.columns
        by_name = {column.name: column for column in table.columns}
        lacking = [plan.name for plan in self.plans if plan.name not in by_name]
        if lacking:
            raise ColumnsError(self.owner, lacking, len(table.columns), len(self.plans))
        return [by_name[plan.name] for plan in self.plans]

    def _numbers(self, plan: ColumnPlan, column: Column) -> list[NDArray[np.float64]]:
        read = column.as_numbers()
        if read is None:
            assert column.codes is not None
            texts = [i for i, level in enumerate(column.levels) if not _is_number(level)]
            row = int(np.isin(column.codes, texts).argmax())
            text = column.levels[column.codes[row]]
            raise TextAmongNumbersError(self.owner, plan.name, text, row)
        assert read.numbers is not None
        if not plan.indicated:
            return [read.numbers]
        return [read.numbers, np.isnan(read.numbers).astype(np.float64)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True


def _codes(plan: ColumnPlan, column: Column) -> NDArray[np.int64]:
    """Return levels from 1, in the plan's order; 0 where missing or unknown."""
    assert column.codes is not None
    place = {level: i for i, level in enumerate(plan.levels, start=1)}
    moved = np.array([*(place.get(level, 0) for level in column.levels), 0], dtype=np.int64)
    return moved[column.codes]


def _one_hot(codes: NDArray[np.int64], n_levels: int) -> list[NDArray[np.float64]]:
    """Return one column of 1 and -1 for up to two levels, else a column for each.

    What is missing is zero throughout; where there is but one level, it is -1.
    """
    if n_levels == 1:
        return [np.array([-1.0, 1.0])[codes]]
    if n_levels == 2:
        return [np.array([0.0, 1.0, -1.0])[codes]]
    return [(codes == level).astype(np.float64) for level in range(1, n_levels + 1)]


def level_rows(n_levels: int) -> NDArray[np.float64]:
    """Return what each level becomes in one-hot columns, in rows; the last is that of none."""
    codes = np.array([*range(1, n_levels + 1), 0])
    return np.column_stack(_one_hot(codes, n_levels))


def _chosen(owner: str, table: Table, categorical: Any) -> list[bool]:
    """Return which columns are categories because the caller says so."""
    n = len(table.columns)
    if categorical is None or (isinstance(categorical, str) and categorical == "from_dtype"):
        return [False] * n
    expected = "expected 'from_dtype', None, a mask, places or names of columns"
    if isinstance(categorical, str):
        raise SettingError(f"{owner}: categorical_features is {categorical!r}, {expected}.")
    given: Sequence[Any] = np.asarray(categorical).tolist()
    if not isinstance(given, list):
        raise SettingError(f"{owner}: categorical_features is {categorical!r}, {expected}.")
    if given and all(isinstance(one, bool) for one in given):
        if len(given) != n:
            raise SettingError(
                f"{owner}: categorical_features is a mask of {len(given)}, expected {n} because X "
                "has so many columns."
            )
        return list(given)
    names = {column.name: i for i, column in enumerate(table.columns)}
    chosen = [False] * n
    for one in given:
        place = names.get(one) if isinstance(one, str) else one
        if not isinstance(place, int) or not -n <= place < n:
            raise SettingError(
                f"{owner}: categorical_features names {one!r}, which is no column of X, {expected}."
            )
        chosen[place] = True
    return chosen


@dataclass(frozen=True)
class Scaling:
    """Robust scaling and smooth clipping: ``x = r / sqrt(1 + (r / 3)^2)``, ``r = (x - c) f``.

    The centre c is the median; f is 1 over the distance of the quartiles, or, where that is 0, 2
    over the distance of the extremes. What is missing becomes 0, which is the median.

    Attributes
    ----------
    centres, factors : float64 array, shape (n_numbers,)
        For each feature.
    """

    centres: NDArray[np.float64]
    factors: NDArray[np.float64]

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> "Scaling":
        """Fit it to training rows, (n_numbers, m)."""
        centres, factors = np.zeros(len(numbers)), np.zeros(len(numbers))
        for i, row in enumerate(numbers):
            present = row[~np.isnan(row)]
            if not len(present):
                continue
            low, centres[i], high = np.quantile(present, [0.25, 0.5, 0.75])
            distance = high - low
            if distance == 0:
                distance = 0.5 * (present.max() - present.min())
            factors[i] = 1 / distance if distance > _TINY else 0.0
        return cls(centres, factors)

    def apply(self, numbers: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """Return scaled numbers of a type, C-contiguous."""
        scaled = np.empty(numbers.shape, dtype)
        for i, row in enumerate(numbers):
            with np.errstate(over="ignore"):
                r = (row - self.centres[i]) * self.factors[i]
            # hypot keeps the quotient finite at any size
            clipped = r / np.hypot(1.0, r / LARGEST)
            scaled[i] = np.where(np.isnan(row), 0.0, np.where(np.isinf(r), np.sign(r) * 3, clipped))
        return scaled
