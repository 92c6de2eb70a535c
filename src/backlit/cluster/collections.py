"""Data in partitions: Dask arrays and DataFrames, or plain lists with one array a partition."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from backlit.errors import SettingError, ShapeError


class Blocks(NamedTuple):
    """Partitions of X, y and weights: arrays, or what Dask computes them from (`lazy`)."""

    parts: list[tuple[Any, Any, Any]]
    lazy: bool


def partitions_of(function: str, X: Any, y: Any, weights: Any, name: str = "X") -> Blocks:
    """Return the data's partitions, rows kept together.

    Parameters
    ----------
    function, name : str
        The public function and the name of its collection, for messages.
    X : Dask array or DataFrame, or sequence of array-like
        Examples in rows; or Blocks, which are returned.
    y, weights : the same kind of thing; weights may be None
        Labels and weights in the same partitions; a Dask array of known chunks is cut as X is.

    Raises
    ------
    SettingError
        If X is no such thing.
    ShapeError
        If the numbers of partitions or of rows differ.
    """
    import dask

    if isinstance(X, Blocks):
        return X
    if dask.is_dask_collection(X):
        columns: list[list[Any]] = [_delayed(X)]
        for what, values in (("y", y), ("sample_weight", weights)):
            if values is None:
                columns.append([None] * len(columns[0]))
                continue
            if not dask.is_dask_collection(values):
                raise SettingError(
                    f"{function}: {what} is a {type(values).__name__}, expected a Dask collection "
                    f"because {name} is one."
                )
            columns.append(_delayed(_cut_as(values, X)))
        lazy = True
    elif isinstance(X, Sequence) and len(X) and hasattr(X[0], "shape"):
        columns = [list(X), list(y), [None] * len(X) if weights is None else list(weights)]
        lazy = False
    else:
        raise SettingError(
            f"{function}: {name} is a {type(X).__name__}, expected a Dask array, a Dask DataFrame "
            "or a list of arrays, one a partition. For an array in memory use backlit.training.fit."
        )
    for what, column in zip(("y", "sample_weight"), columns[1:], strict=True):
        if len(column) != len(columns[0]):
            raise ShapeError(
                f"{function}: {what} has {len(column)} partitions, expected {len(columns[0])} as "
                f"{name} has."
            )
    return Blocks(list(zip(*columns, strict=True)), lazy)


def _cut_as(values: Any, X: Any) -> Any:
    """Cut a Dask array as X is, where the rows of both are known."""
    rows = getattr(values, "chunks", ((),))[0]
    wanted = getattr(X, "chunks", ((),))[0]
    known = all(np.isfinite(size) for size in (*rows, *wanted))
    if rows and wanted and known and rows != wanted and sum(rows) == sum(wanted):
        return values.rechunk({0: wanted})
    return values


def _delayed(collection: Any) -> list[Any]:
    """Return what computes each partition, in order; columns are kept together."""
    if hasattr(collection, "chunks") and hasattr(collection, "rechunk"):
        if collection.ndim > 1:
            collection = collection.rechunk(dict.fromkeys(range(1, collection.ndim), -1))
        return list(collection.to_delayed().reshape(-1))
    return list(collection.to_delayed())
