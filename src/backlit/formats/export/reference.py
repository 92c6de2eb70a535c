"""A described model computed step by step in float64: the truth for every form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.activations import FUNCTIONS
from backlit.errors import ExportError, ShapeError
from backlit.formats.export.description import (
    Activate,
    Bins,
    Clip,
    Concat,
    Dense,
    Description,
    Floats,
    Function,
    Gather,
    Impute,
    Lookup,
    Mean,
    Missing,
    Normalize,
    Numbers,
    Periodic,
    Products,
    Quantiles,
    Scale,
    SmoothClip,
    Step,
    YeoJohnson,
)
from backlit.formats.strict_json import shortened
from backlit.pieces.mish import mish_values

#: exponents nearer to 0 than this are 0, as to SciPy
LEAST_POWER = 2.0**-52


@dataclass(frozen=True)
class Inputs:
    """Examples in rows, split by what the columns hold.

    Attributes
    ----------
    numbers : ndarray of float64, shape (m, n_numbers)
        NaN where a value is missing.
    texts : ndarray of object, shape (m, n_texts)
        str, or None where a value is missing.
    """

    numbers: Floats
    texts: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, chosen: Any) -> "Inputs":
        """Return some of the rows."""
        return Inputs(self.numbers[chosen], self.texts[chosen])


def as_inputs(model: Description, X: Any) -> Inputs:
    """Split examples into numbers and texts.

    Parameters
    ----------
    model : Description
        Its columns say what each one holds.
    X : data frame, mapping of columns by name, or array-like of shape (m, n_columns)
        Examples in rows.

    Raises
    ------
    ShapeError
        If there are more or fewer columns.
    ExportError
        If a column is missing, or holds something else.
    """
    columns: list[Any]
    by_name = isinstance(X, Mapping) or hasattr(X, "columns")
    if by_name:
        columns = [_by_name(X, column.name) if column.kind != "unused" else None
                   for column in model.columns]  # fmt: skip
    else:
        X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        if X.ndim != 2 or X.shape[1] != len(model.columns):
            raise ShapeError(
                f"the examples have shape {X.shape}, expected (m, {len(model.columns)}): one "
                "column for each of the model's."
            )
        columns = list(X.T)
    m = next((len(column) for column in columns if column is not None), 0)
    numbers = np.empty((m, len(model.numbers)))
    texts = np.empty((m, len(model.texts)), object)
    for place, column in enumerate(model.numbers):
        numbers[:, place] = _as_numbers(columns[column], model.columns[column].name)
    for place, column in enumerate(model.texts):
        texts[:, place] = [_as_text(value) for value in columns[column]]
    return Inputs(numbers, texts)


def evaluate(model: Description, inputs: Inputs) -> Floats:
    """Compute the outputs in float64.

    Returns
    -------
    ndarray, shape (m, n_outputs)
        For two classes the probabilities of both. NaN in the rows that the model refuses: with a
        missing value, an infinite one, or a level that it has no row for.
    """
    last = every_step(model, inputs)[model.steps[-1].name]
    return as_outputs(model, last, refused(model, inputs))


def as_outputs(model: Description, last: Floats, refused: NDArray[np.bool_]) -> Floats:
    """Return what users see of the last step's values."""
    outputs = np.hstack([1 - last, last]) if model.output.kind == "two classes" else last.copy()
    outputs[refused] = np.nan
    return outputs


def every_step(model: Description, inputs: Inputs) -> dict[str, Floats]:
    """Compute all steps' values, by their names."""
    values: dict[str, Floats] = {}
    with np.errstate(all="ignore"):  # rows that are refused may hold anything
        for step in model.steps:
            values[step.name] = apply(step, model, inputs, values)
    return values


def refused(model: Description, inputs: Inputs) -> NDArray[np.bool_]:
    """Tell which rows the model refuses."""
    found = np.zeros(len(inputs), bool)
    for place, column in enumerate(model.numbers):
        numbers = inputs.numbers[:, place]
        found |= np.isinf(numbers) if model.columns[column].may_miss else ~np.isfinite(numbers)
    values: dict[str, Floats] = {}
    for step in model.steps:
        if isinstance(step, Lookup):
            if step.column is None:
                values = values or every_step(model, inputs)
            found |= level_numbers(step, model, inputs, values) < 0
        if isinstance(step, Function):
            values = values or every_step(model, inputs)
            found |= ~np.isfinite(values[step.name]).all(axis=1)
    return found


def apply(step: Step, model: Description, inputs: Inputs, values: Mapping[str, Floats]) -> Floats:
    """Compute one step from the values of those before it."""
    if isinstance(step, Numbers):
        places = [model.numbers.index(column) for column in step.columns]
        return inputs.numbers[:, places]
    if isinstance(step, Concat):
        return np.hstack([values[source] for source in step.sources])
    if isinstance(step, Lookup):
        return step.rows[level_numbers(step, model, inputs, values)]
    if isinstance(step, Mean):
        return np.asarray(np.mean([values[source] for source in step.sources], axis=0))
    x = values[step.source]
    if isinstance(step, Gather):
        return x[:, list(step.places)]
    if isinstance(step, Impute):
        missing = np.isnan(x) if step.missing is None else x == step.missing
        return np.where(missing, step.fill, x)
    if isinstance(step, Missing):
        return np.isnan(x).astype(np.float64)
    if isinstance(step, Scale):
        return (x - step.offset) / step.divisor
    if isinstance(step, Clip):
        return np.minimum(np.maximum(x, step.low), step.high)
    if isinstance(step, Function):
        return np.asarray(FUNCTIONS_OF_ONE[step.function](x))
    if isinstance(step, YeoJohnson):
        return yeo_johnson(x, step.powers)
    if isinstance(step, Bins):
        return binned(step, x)
    if isinstance(step, Quantiles):
        return below(step, x)
    if isinstance(step, Products):
        columns = [np.prod(x[:, list(places)], axis=1) for places in step.factors]
        return np.column_stack(columns)
    if isinstance(step, Normalize):
        return normalized(x, step.norm)
    if isinstance(step, SmoothClip):
        # hypot keeps the quotient finite at any size
        return x / np.hypot(1.0, x / step.limit)
    if isinstance(step, Periodic):
        return periodic(step, x)
    if isinstance(step, Activate):
        return activated(step.activation, x)
    assert isinstance(step, Dense)
    return activated(step.activation, x @ step.W.T + step.b, step.s)


def activated(activation: str, Z: Floats, s: Floats | None = None) -> Floats:
    """Apply an activation, or each unit's share of it, to examples in rows."""
    if activation == "mish":
        A = np.asarray(mish_values(Z))
    else:
        A = np.asarray(FUNCTIONS[activation].forward(Z.T).T)
    return A if s is None else Z + s * (A - Z)


#: what a `Function` can be
FUNCTIONS_OF_ONE: dict[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "square": np.square,
}


def yeo_johnson(x: Floats, powers: Floats) -> Floats:
    """Compute Yeo and Johnson's transform of columns."""
    p = np.where(x < 0, 2 - powers, powers)
    L = np.log1p(np.abs(x))
    is_zero = np.abs(p) < LEAST_POWER
    size = np.where(is_zero, L, np.expm1(np.where(is_zero, 0, p) * L) / np.where(is_zero, 1, p))
    return np.asarray(np.copysign(size, x))


def binned(step: Bins, x: Floats) -> Floats:
    """Count the edges that each number has reached."""
    side: Any = "left" if step.beyond else "right"
    columns = [
        np.searchsorted(np.array(edges), column, side=side)
        for edges, column in zip(step.shifted(step.near), x.T, strict=True)
    ]
    return np.column_stack(columns).astype(np.float64)


def below(step: Quantiles, x: Floats) -> Floats:
    """Compute the share of the training data below each number."""
    begin, value, slope = step.pieces()
    columns = []
    for place, (column, near) in enumerate(zip(x.T, step.near, strict=True)):
        points = step.points[place]
        # both sides of a jump; elsewhere what is near cancels out
        low, high = column - near, column + near
        sides = []
        for moved, k in (
            (low, np.searchsorted(points, low, side="left")),
            (high, np.searchsorted(points, high, side="right")),
        ):
            sides.append(value[place, k] + slope[place, k] * (moved - begin[place, k]))
        inner = (sides[0] + sides[1]) / 2
        columns.append(np.where(low <= points[0], 0.0, np.where(high >= points[-1], 1.0, inner)))
    return np.column_stack(columns)


def normalized(x: Floats, norm: str) -> Floats:
    """Divide each example by its norm; the largest comes out first, so that no square vanishes."""
    largest = np.abs(x).max(axis=1, keepdims=True)
    y: Floats = x / np.where(largest > 0, largest, 1)
    if norm == "max":
        return y
    size = np.abs(y) if norm == "l1" else y * y
    total = size.sum(axis=1, keepdims=True)
    found: Floats = y / np.where(largest > 0, total if norm == "l1" else np.sqrt(total), 1)
    return found


def periodic(step: Periodic, x: Floats) -> Floats:
    """Compute the periodic embeddings of numbers, examples in rows."""
    H = np.cos(x[:, :, None] * step.W + step.b)  # (m, n, k)
    E = np.einsum("mnk,ndk->mnd", H, step.V) + step.c
    found: Floats = E.reshape(len(x), -1)
    return found


def level_numbers(
    step: Lookup, model: Description, inputs: Inputs, values: Mapping[str, Floats]
) -> NDArray[np.intp]:
    """Return each example's row of a lookup's table, -1 where there is none."""
    column: Sequence[Any]
    if step.column is not None:
        column = inputs.texts[:, model.texts.index(step.column)].tolist()
    else:
        column = [None if value != value else value for value in values[step.source][:, 0].tolist()]
    rows = {level: number for number, level in enumerate(step.levels)}
    missing = -1 if step.missing is None else step.missing
    unknown = -1 if step.unknown is None else step.unknown
    return np.array(
        [missing if value is None else rows.get(value, unknown) for value in column], np.intp
    )


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for a missing one: None, NaN, and pandas's NA."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _by_name(X: Any, name: str) -> Any:
    if name not in X:
        raise ExportError(f"the examples have no column {name!r}, which the model reads.")
    return np.asarray(X[name])


def _as_numbers(column: Any, name: str) -> Floats:
    try:
        return np.asarray(
            [np.nan if is_missing(value) else value for value in column], dtype=np.float64
        )
    except (TypeError, ValueError) as error:
        for row, value in enumerate(column):
            if not _is_number(value):
                shown = shortened(repr(str(value)), 60)
                raise ExportError(
                    f"column {name!r} holds {shown} in row {row}, expected numbers."
                ) from error
        raise


def _is_number(value: Any) -> bool:
    try:
        return is_missing(value) or np.asarray(value, np.float64).ndim == 0
    except (TypeError, ValueError):
        return False


def _as_text(value: Any) -> str | None:
    """Return a text; None and NaN are missing."""
    if is_missing(value):
        return None
    return str(value)
