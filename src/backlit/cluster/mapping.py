"""A function of rows, mapped lazily over a collection's partitions; and sums over them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit.cluster.collections import partitions_of
from backlit.cluster.connecting import gathered

Function = Callable[[Any], NDArray[Any]]


def map_rows(X: Any, function: Function, dtype: DTypeLike, columns: int | None) -> Any:
    """Return a function of the rows of a collection as a Dask array that is not computed yet.

    Parameters
    ----------
    X : Dask array, shape (m, n), or DataFrame
        The rows.
    function : callable
        From one partition to an array of shape (rows,) or (rows, columns); not called for
        partitions without rows.
    dtype : dtype
        What the results are converted to.
    columns : int or None
        Columns of the result; None for a vector.

    Returns
    -------
    Dask array, shape (m,) or (m, columns)
        In the partitions of `X`; of a DataFrame their sizes are unknown.
    """
    empty = np.empty((0,) if columns is None else (0, columns), dtype)
    if not hasattr(X, "chunks"):
        return X.map_partitions(_applied, function, empty, meta=empty)
    X = X.rechunk({1: -1})
    if columns is None:
        return X.map_blocks(_applied, function, empty, drop_axis=1, dtype=empty.dtype, meta=empty)
    chunks = (X.chunks[0], (columns,))
    return X.map_blocks(_applied, function, empty, chunks=chunks, dtype=empty.dtype, meta=empty)


def _applied(part: Any, function: Function, empty: NDArray[Any]) -> NDArray[Any]:
    if part.shape[0] == 0:
        return empty
    return np.asarray(function(part)).astype(empty.dtype, copy=False)


def sums_over(
    client: Any,
    X: Any,
    y: Any,
    weights: Any,
    function: Callable[[Any, Any, Any], Any],
    timeout: float,
) -> list[Any]:
    """Return what a function makes of each partition's rows, labels and weights.

    Parameters
    ----------
    client : distributed.Client or None
        The cluster; None computes in this process.
    X, y, weights : Dask collections
        In the same partitions; weights may be None.
    function : callable
        Not called for partitions without rows.
    timeout : float
        Seconds that it may take.

    Raises
    ------
    SettingError, ShapeError
        If they are no collections, or not in the same partitions.
    ClusterError
        If the cluster is lost, or time is out.
    """
    from dask import delayed

    blocks = partitions_of("score", X, y, weights)
    shared = delayed(function, pure=False)
    task = delayed(_summed, pure=False)
    found = gathered(
        client, [task(shared, *part) for part in blocks.parts], "computing the score", timeout
    )
    return [one for one in found if one is not None]


def _summed(function: Callable[[Any, Any, Any], Any], X: Any, y: Any, weights: Any) -> Any:
    return function(X, y, weights) if X.shape[0] else None
