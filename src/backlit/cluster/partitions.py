"""One partition of the data: checked where it lies, in the engine's form."""

from typing import Any, NamedTuple

import numpy as np

from backlit.errors import ShapeError
from backlit.training.data import (
    Examples,
    Rows,
    is_sparse,
    prepare_inputs,
    prepare_labels,
    prepare_sparse_inputs,
    prepare_weights,
)


class Summary(NamedTuple):
    """What the plan has to know of a partition."""

    rows: int
    n_features: int
    n_outputs: int
    classes: bool
    weight: float
    dtype: str


class Partition(NamedTuple):
    """A partition's examples; None where it has no rows."""

    examples: Examples | None
    summary: Summary

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Align the arrays where they arrive: Dask reads them in place, behind others."""
        return _arrived, tuple(self)


def _arrived(*fields: Any) -> Partition:
    return Partition(*map(_aligned, fields))


def _aligned(value: Any) -> Any:
    """Return a record with its arrays at addresses that the engine takes."""
    if isinstance(value, (Examples, Rows)):
        return type(value)(*map(_aligned, value))
    return np.require(value, requirements="A") if isinstance(value, np.ndarray) else value


def prepare(X: Any, y: Any, weights: Any, output: str, dtype: str | None, name: str) -> Partition:
    """Check a partition and bring it into the engine's form.

    Parameters
    ----------
    X, y, weights : array-like, DataFrame or sparse matrix
        Rows of the data, their labels, and their weights or None.
    output : str
        The output activation.
    dtype : str or None
        float32 or float64; None keeps that of `X`.
    name : str
        The partition, for messages.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError, SettingError
        As `backlit.training.fit`, with the partition's name.
    """
    function = f"fit, {name}"
    m = X.shape[0]
    if m == 0:
        if len(y) != 0:
            raise ShapeError(f"{function}: X has no rows but y has {len(y)}, expected as many.")
        return Partition(None, Summary(0, 0, 0, False, 0.0, ""))
    if is_sparse(X):
        rows: Any = prepare_sparse_inputs(function, X, dtype)
    else:
        rows = prepare_inputs(function, X, dtype)
    labels = prepare_labels(function, y, m, output, rows.dtype)
    weighted, total = None, float(m)
    if weights is not None:
        # all rows of a partition may have no weight; only all of the data may not
        positive = np.asarray(weights, np.float64)
        if positive.shape == (m,) and not positive.any():
            weighted, total = np.zeros(m), 0.0
        else:
            weighted = prepare_weights(function, weights, m)
            assert weighted is not None
            total = float(weighted.sum())
    examples = Examples(rows, labels.classes, labels.targets, weighted)
    summary = Summary(
        m, rows.shape[1], labels.n_outputs, labels.classes is not None, total, rows.dtype.name
    )
    return Partition(examples, summary)


def summarise(partition: Partition) -> Summary:
    """Return a partition's summary."""
    return partition.summary


def stay(partition: Partition) -> Partition:
    """Return a partition as it is: a task that is tied to a worker brings it there."""
    return partition
