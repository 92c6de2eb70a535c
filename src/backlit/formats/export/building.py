"""Builds descriptions: from an input's columns, step by step, to what a network reads.

A block of columns is a list of references, one a column; steps come into being when something has
to be computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from backlit.errors import ExportError
from backlit.formats.export.description import (
    Clip,
    Column,
    Concat,
    Floats,
    Gather,
    Impute,
    Lookup,
    Missing,
    Numbers,
    Quantiles,
    Scale,
    SmoothClip,
    Step,
    YeoJohnson,
    sources,
)
from backlit.formats.export.reference import is_missing


class Raw(NamedTuple):
    """A column of the input that nothing has been done to, but for a text in place of missing."""

    column: int
    fill: str | None = None


class Made(NamedTuple):
    """A column of a step's value."""

    step: str
    place: int


Ref = Raw | Made


class Builder:
    """Collects steps while it walks through a pipeline.

    A block is a list of references, one a column; steps come into being when something has to be
    computed.

    Parameters
    ----------
    names : sequence of str
        The input's columns.

    Attributes
    ----------
    steps : list of Step
    remarks : list of str
        What users of the model have to know.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._kinds: dict[int, str] = {}
        self._ranges: dict[int, tuple[float, float]] = {}
        self._widths: dict[str, int] = {}
        self.steps: list[Step] = []
        self.remarks: list[str] = []

    def columns(self) -> tuple[Column, ...]:
        """Return the input's columns as the steps use them."""
        needed = _never_missing(self.steps, self._widths)
        found = []
        for place, name in enumerate(self._names):
            low, high = self._ranges.get(place, (None, None))
            kind = self._kinds.get(place, "unused")
            may_miss = kind != "unused" and place not in needed
            found.append(Column(name, kind, low, high, may_miss))
        return tuple(found)

    # ------------------------------------------------------------------------------ references

    def add(self, step: Step, width: int) -> list[Ref]:
        """Add a step of a new name; returns its columns."""
        self.steps.append(step)
        self._widths[step.name] = width
        return [Made(step.name, place) for place in range(width)]

    def output(self) -> list[Ref]:
        """Return the columns of the last step."""
        last = self.steps[-1].name
        return [Made(last, place) for place in range(self._widths[last])]

    def unused_name(self, wanted: str) -> str:
        """Return a step's name that is still free."""
        taken = {step.name for step in self.steps}
        if wanted not in taken:
            return wanted
        number = 2
        while f"{wanted} {number}" in taken:
            number += 1
        return f"{wanted} {number}"

    def _use(self, column: int, kind: str, what: str) -> None:
        known = self._kinds.setdefault(column, kind)
        if known != kind:
            raise ExportError(
                f"column {self._names[column]!r} is read as {known} and by {what!r} as {kind}, "
                "which no form can hold."
            )

    def block(self, what: str, refs: Sequence[Ref]) -> str:
        """Return the name of a step whose value has these columns, adding one where needed."""
        raws = [ref for ref in refs if isinstance(ref, Raw)]
        for ref in raws:
            if ref.fill is not None:
                raise ExportError(
                    f"step {what!r} reads column {self._names[ref.column]!r} as numbers, but texts "
                    "were imputed in it."
                )
            self._use(ref.column, "number", what)
        if len(raws) == len(refs):
            columns = tuple(ref.column for ref in raws)
            for step in self.steps:
                if isinstance(step, Numbers) and step.columns == columns:
                    return step.name
            name = self.unused_name(f"{what}, columns")
            self.add(Numbers(name, columns), len(columns))
            return name
        pieces: list[str] = []
        place = 0
        while place < len(refs):
            first = refs[place]
            end = place
            while end < len(refs) and _together(first, refs[end]):
                end += 1
            pieces.append(self._piece(what, refs[place:end]))
            place = end
        if len(pieces) == 1:
            return pieces[0]
        name = self.unused_name(f"{what}, side by side")
        self.add(Concat(name, tuple(pieces)), len(refs))
        return name

    def _piece(self, what: str, refs: Sequence[Ref]) -> str:
        first = refs[0]
        if isinstance(first, Raw):
            return self.block(what, refs)
        places = tuple(ref.place for ref in refs if isinstance(ref, Made))
        if places == tuple(range(self._widths[first.step])):
            return first.step
        name = self.unused_name(f"{what}, columns of {first.step}")
        self.add(Gather(name, first.step, places), len(places))
        return name

    def scaled(self, name: str, refs: Sequence[Ref], offset: Any, divisor: Any) -> list[Ref]:
        """Add ``(x - offset) / divisor`` of columns."""
        source = self.block(name, refs)
        step = Scale(self.unused_name(name), source, floats(offset), floats(divisor))
        return self.add(step, len(refs))

    def seen(self, refs: Sequence[Ref], low: Any, high: Any) -> None:
        """Keep the range that a scaler knows of the input's columns."""
        for ref, least, most in zip(refs, floats(low), floats(high), strict=True):
            if isinstance(ref, Raw):
                self._ranges.setdefault(ref.column, (float(least), float(most)))
            elif isinstance(step := self.step(ref.step), Impute):
                numbers = self.step(step.source)
                if isinstance(numbers, Numbers):
                    column = numbers.columns[ref.place]
                    self._ranges.setdefault(column, (float(least), float(most)))

    def step(self, name: str) -> Step:
        """Return a step by its name."""
        return next(step for step in self.steps if step.name == name)

    def look_up(
        self, name: str, ref: Ref, levels: "Levels", rows: Floats, unknown: int | None
    ) -> list[Ref]:
        """Add the step that replaces a column by a row of a table.

        Parameters
        ----------
        name : str
        ref : Raw or Made
        levels : Levels
        rows : ndarray, shape (n_rows, width)
        unknown : int or None
            The row of a level that is none of these; None where it is refused.
        """
        order = [number for _, number in levels.numbers]
        if unknown is not None:
            order.append(unknown)
        missing = levels.missing
        if missing is None:
            missing = unknown  # to an encoder that ignores the unknown, None is unknown
        column, source = None, ""
        if levels.are_text:
            if not isinstance(ref, Raw):
                raise ExportError(f"step {name!r} encodes texts that another step has made.")
            if ref.fill is not None:
                missing = dict(levels.numbers).get(ref.fill, unknown)
            self._use(ref.column, "text", name)
            column = ref.column
        else:
            source = self.block(name, [ref])
        # a row for each level in order, then those of the missing and the unknown
        extra = [one for one in (missing, unknown) if one is not None]
        table = rows[[number for _, number in levels.numbers] + extra]
        count = len(levels.numbers)
        step = Lookup(
            self.unused_name(name), column, source, tuple(level for level, _ in levels.numbers),
            count if missing is not None else None,
            None if unknown is None else count + (missing is not None),
            table,
        )  # fmt: skip
        return self.add(step, rows.shape[1])


@dataclass(frozen=True)
class Levels:
    """Levels of a column of categories.

    Attributes
    ----------
    numbers : list of (str or float, int)
        Each level with the number of its row.
    missing : int or None
        The row of a missing value.
    are_text : bool
        Whether the column is read as text.
    """

    numbers: list[tuple[Any, int]]
    missing: int | None
    are_text: bool

    @classmethod
    def of(cls, groups: Sequence[Sequence[Any]]) -> "Levels":
        """Give groups of levels their numbers."""
        numbers: list[tuple[Any, int]] = []
        missing = None
        for number, group in enumerate(groups):
            for level in group:
                if is_missing(level):
                    missing = number
                else:
                    numbers.append((plain(level), number))
        are_text = any(isinstance(level, str) for level, _ in numbers)
        if any(isinstance(level, str) != are_text for level, _ in numbers):
            raise ExportError("a column has texts and numbers as categories, expected one of them.")
        if not are_text:
            numbers = [(float(level), number) for level, number in numbers]
        return cls(numbers, missing, are_text)


def _never_missing(steps: Sequence[Step], widths: dict[str, int]) -> set[int]:
    """Return the places of the input's columns whose missing values nothing gives a meaning.

    A missing number is NaN, which scalers and the like pass on, column by column.
    """
    found: set[int] = set()
    reaching: dict[str, list[set[int]]] = {}
    for step in steps:
        width = widths[step.name]
        given = [columns for source in sources(step) for columns in reaching[source]]
        reaching[step.name] = [set() for _ in range(width)]
        if isinstance(step, Numbers):
            reaching[step.name] = [{column} for column in step.columns]
        elif isinstance(step, Lookup):
            if step.missing is None:
                found |= given[0] if step.column is None else {step.column}
        elif isinstance(step, Scale | Clip | Concat | SmoothClip | YeoJohnson | Quantiles):
            reaching[step.name] = given
        elif isinstance(step, Gather):
            reaching[step.name] = [given[place] for place in step.places]
        elif not (isinstance(step, Missing) or (isinstance(step, Impute) and step.missing is None)):
            found |= set().union(*given)
    return found.union(*reaching[steps[-1].name])


def _together(first: Ref, other: Ref) -> bool:
    """Whether two columns come from one place, so that one step fetches both."""
    if isinstance(first, Raw) or isinstance(other, Raw):
        return isinstance(first, Raw) and isinstance(other, Raw)
    return first.step == other.step


def floats(values: Any) -> Floats:
    """Return an array of float64."""
    return np.array(values, dtype=np.float64)


def plain(value: Any) -> Any:
    """Return a value of Python in place of one of NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


def is_nan(value: Any) -> bool:
    """Tell whether a value is NaN."""
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))
