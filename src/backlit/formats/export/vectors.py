"""Test vectors that go with an exported model: inputs and the outputs that they must give."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.formats.export.description import Description, Floats, Lookup, Numbers
from backlit.formats.export.ranges import Interval
from backlit.formats.export.reference import Inputs, evaluate

#: examples that go with a model
_COUNT = 8


@dataclass(frozen=True)
class Vectors:
    """Inputs, and the model's outputs in float64.

    Attributes
    ----------
    inputs : Inputs
    outputs : ndarray of float64, shape (m, n_outputs)
    seen : Inputs
        More examples, on which a form's error is measured while it is written.
    """

    inputs: Inputs
    outputs: Floats
    seen: Inputs

    def rows(self, model: Description) -> list[list[float | str | None]]:
        """Return the inputs as rows in the order of the columns, None where a value is missing."""
        found = []
        for numbers, texts in zip(
            self.inputs.numbers.tolist(), self.inputs.texts.tolist(), strict=True
        ):
            row: list[float | str | None] = []
            left_numbers, left_texts = iter(numbers), iter(texts)
            for column in model.columns:
                if column.kind == "text":
                    row.append(next(left_texts))
                elif column.kind == "number":
                    value = next(left_numbers)
                    row.append(None if value != value else value)
                else:
                    row.append(0.0)
            found.append(row)
        return found


def choose_vectors(model: Description, ranges: Interval, given: Inputs | None) -> Vectors:
    """Choose the examples that go with a model.

    Parameters
    ----------
    model : Description
    ranges : Interval
        Of the columns of numbers; two of the examples are its corners.
    given : Inputs or None
        Examples to choose from; drawn from the ranges if there are none.

    Returns
    -------
    Vectors
        None of them is refused by the model.
    """
    drawn = _draw(model, ranges, 256)
    pool = drawn if given is None else given
    outputs = evaluate(model, pool)
    good = np.flatnonzero(np.isfinite(outputs).all(axis=1))
    pool, outputs = pool.rows(good), outputs[good]
    picked = np.unique(np.linspace(0, max(len(pool) - 1, 0), _COUNT).astype(int))[: len(pool)]
    corners = Inputs(np.array([ranges.low, ranges.high]), drawn.texts[:2])
    for place in _encoded(model):  # a corner is no category
        corners.numbers[:, place] = drawn.numbers[:2, place]
    chosen = _joined(pool.rows(picked), corners)
    expected = evaluate(model, chosen)
    fine = np.isfinite(expected).all(axis=1)
    return Vectors(chosen.rows(fine), expected[fine], pool.rows(slice(0, 256)))


def _draw(model: Description, ranges: Interval, count: int) -> Inputs:
    """Draw examples from the ranges, and from the levels of encoded columns."""
    generator = np.random.default_rng(0)
    numbers = generator.uniform(ranges.low, ranges.high, (count, len(ranges.low)))
    texts = np.empty((count, len(model.texts)), object)
    for step in model.steps:
        if not isinstance(step, Lookup) or not step.levels:
            continue
        levels = np.empty(len(step.levels), object)
        levels[:] = step.levels
        drawn = generator.choice(levels, count)
        if step.column is not None:
            texts[:, model.texts.index(step.column)] = drawn
        else:
            for place in _columns_of(model, step):
                numbers[:, place] = drawn.astype(np.float64)
    for place, column in enumerate(model.numbers):
        if model.columns[column].may_miss:
            numbers[place % 7 :: 7, place] = np.nan
    for place, column in enumerate(model.texts):
        if model.columns[column].may_miss:
            texts[place % 7 :: 7, place] = None
    return Inputs(numbers, texts)


def _encoded(model: Description) -> list[int]:
    """Return the places, among the columns of numbers, of those that are looked up."""
    return [
        place
        for step in model.steps
        if isinstance(step, Lookup) and step.column is None
        for place in _columns_of(model, step)
    ]


def _columns_of(model: Description, lookup: Lookup) -> list[int]:
    step = next(step for step in model.steps if step.name == lookup.source)
    columns = step.columns if isinstance(step, Numbers) else ()
    return [model.numbers.index(column) for column in columns]


def _joined(one: Inputs, other: Inputs) -> Inputs:
    both: tuple[NDArray[Any], NDArray[Any]] = (
        np.vstack([one.numbers, other.numbers]),
        np.vstack([one.texts, other.texts]),
    )
    return Inputs(*both)
