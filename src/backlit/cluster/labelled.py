"""Collections with labels of any kind: classes found, labels numbered, rows set aside.

Everything is done to one partition at a time, where it lies; only classes and counts come back.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.collections import Blocks
from backlit.cluster.connecting import gathered
from backlit.errors import NonFiniteError, SettingError


class LabelCounts(NamedTuple):
    """What a collection of labels holds.

    Attributes
    ----------
    rows : list of int
        Rows of each partition.
    classes : array, shape (K,)
        The labels, sorted; without any if they were not asked for.
    counts : int64 array, shape (K,)
        How many rows have each.
    """

    rows: list[int]
    classes: NDArray[Any]
    counts: NDArray[np.int64]


def look_at_labels(client: Any, blocks: Blocks, *, classes: bool, timeout: float) -> LabelCounts:
    """Count rows, and find all classes if asked to.

    Parameters
    ----------
    client : distributed.Client or None
        The cluster; None computes in this process.
    blocks : Blocks
        The data; only its labels are computed.
    classes : bool
        Whether the labels are classes.
    timeout : float
        Seconds that it may take.

    Raises
    ------
    NonFiniteError
        If a class is NaN or missing.
    ClusterError
        If the cluster is lost, or time is out.
    """
    from dask import delayed

    look = delayed(_look, pure=False)
    looks = [look(y, classes) for _, y, _ in blocks.parts]
    found = gathered(client, looks, "reading the labels", timeout)
    filled = [one for one in found if len(one.classes)]
    joined, counts = np.empty(0), np.empty(0, np.int64)
    if filled:
        joined = reduce(np.union1d, (one.classes for one in filled))
        counts = np.zeros(len(joined), np.int64)
        for one in filled:
            counts[np.searchsorted(joined, one.classes)] += one.counts
    return LabelCounts([one.rows[0] for one in found], joined, counts)


def _look(y: Any, classes: bool) -> LabelCounts:
    labels = np.asarray(y)
    if not classes or len(labels) == 0:
        return LabelCounts([len(labels)], np.empty(0, labels.dtype), np.empty(0, np.int64))
    labels = labels.reshape(-1)
    missing = labels != labels if labels.dtype.kind in "fO" else None
    if missing is not None and np.any(missing):
        raise NonFiniteError("fit: y has a label that is NaN or missing, expected a class.")
    if any(one is None for one in labels[:1]):
        raise NonFiniteError("fit: y has a label that is None, expected a class.")
    values, counts = np.unique(labels, return_counts=True)
    return LabelCounts([len(labels)], values, counts.astype(np.int64))


def numbered(
    blocks: Blocks, classes: NDArray[Any] | None, of_class: NDArray[np.float64] | None
) -> Blocks:
    """Return the data with whole numbers for labels, and weights times those of the classes.

    Parameters
    ----------
    blocks : Blocks
        The data.
    classes : array, shape (K,), or None
        All labels, sorted; None leaves them as they are.
    of_class : float64 array, shape (K,), or None
        The classes' weights.
    """
    from dask import delayed

    if classes is None:
        return blocks
    number, weigh = delayed(number_labels, pure=False), delayed(_weigh, pure=False)
    parts = []
    for X, y, weights in blocks.parts:
        numbers = number(y, classes)
        if of_class is not None:
            weights = weigh(numbers, weights, of_class)
        parts.append((X, numbers, weights))
    return Blocks(parts, True)


def number_labels(y: Any, classes: NDArray[Any]) -> NDArray[np.int32]:
    """Return each label's place among the classes.

    Raises
    ------
    SettingError
        If one is not among them.
    """
    labels = np.asarray(y).reshape(-1)
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    unknown = classes[places] != labels
    if unknown.any():
        raise SettingError(
            f"fit: y has the label {labels[unknown][0]!r}, expected one of {classes.tolist()}."
        )
    return places.astype(np.int32)


def _weigh(
    numbers: NDArray[np.int32], weights: Any, of_class: NDArray[np.float64]
) -> NDArray[np.float64]:
    own = of_class[numbers]
    return own if weights is None else own * np.asarray(weights, np.float64)


def set_aside(blocks: Blocks, rows: Sequence[int], share: float, seed: int) -> tuple[Blocks, Any]:
    """Set rows aside for validation: a share of each partition, drawn from a seed.

    Parameters
    ----------
    blocks : Blocks
        The data.
    rows : sequence of int
        Rows of each partition.
    share : float
        Share of the rows to set aside.
    seed : int
        Where the draws come from.

    Returns
    -------
    Blocks, Blocks
        What is left, and what is set aside, which has no weights.
    """
    from dask import delayed

    pick = delayed(_pick, pure=False)
    left: list[Any] = []
    aside: list[Any] = []
    for p, (part, m) in enumerate(zip(blocks.parts, rows, strict=True)):
        held = held_rows(m, share, seed, p)
        left.append(tuple(None if one is None else pick(one, ~held) for one in part))
        aside.append((pick(part[0], held), pick(part[1], held), None))
    return Blocks(left, True), Blocks(aside, True)


def held_rows(m: int, share: float, seed: int, partition: int) -> NDArray[np.bool_]:
    """Return which of a partition's rows are set aside; their number is right on average."""
    generator = np.random.default_rng([seed, partition])
    held = np.zeros(m, bool)
    held[generator.permutation(m)[: int(share * m + generator.random())]] = True
    return held


def _pick(rows: Any, chosen: NDArray[np.bool_]) -> Any:
    return rows[chosen]  # arrays, sparse matrices, data frames and series alike
