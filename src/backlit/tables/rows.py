"""Rows of a fit: weights, their order, and which train and which validate."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: weights that are whole numbers are repetitions where they sum to at most this many times the rows
_REPEATED = 4


class Split(NamedTuple):
    """Rows that train, and rows that validate; there may be none of these."""

    train: NDArray[np.int64]
    held: NDArray[np.int64]


def repeated_rows(
    weights: NDArray[np.float64] | None, m: int
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Return the rows that count, and their weights.

    Rows without weight are left out. Whole-number weights are taken as repetitions, which is
    exactly what they mean, as long as that makes no more than four times the rows.

    Parameters
    ----------
    weights : float64 array, shape (m,), or None
        Weights of the examples.
    m : int
        How many rows there are.
    """
    if weights is None:
        return np.arange(m, dtype=np.int64), None
    rows = np.flatnonzero(weights)
    kept = weights[rows]
    whole = bool((kept == np.floor(kept)).all())
    if whole and kept.sum() <= _REPEATED * m:
        return np.repeat(rows, kept.astype(np.int64)), None
    return rows, kept


def canonical_order(parts: Sequence[NDArray[np.generic]]) -> NDArray[np.int64]:
    """Return an order of rows that follows from their content alone.

    A fit then does not depend on the order in which rows come.

    Parameters
    ----------
    parts : sequence of array
        Each of shape (n, m): features, levels, labels.
    """
    keys = [row for part in parts for row in part]
    return np.lexsort(keys[::-1]).astype(np.int64)


def splits(
    m: int,
    classes: NDArray[np.int64] | None,
    fraction: float,
    n_folds: int | None,
    generator: np.random.Generator,
) -> list[Split]:
    """Return one split, or one for each fold, each class divided alike.

    Parameters
    ----------
    m : int
        Rows.
    classes : int64 array, shape (m,), or None
        Their classes.
    fraction : float
        The share that validates; 0 for none.
    n_folds : int or None
        Folds instead, each of which validates once.
    generator : Generator
        Where the draws come from.
    """
    groups = [np.arange(m)]
    if classes is not None:
        groups = [np.flatnonzero(classes == one) for one in range(int(classes.max()) + 1)]
    if n_folds is None:
        held = [_drawn(group, fraction, generator) for group in groups]
        return [_split(m, np.concatenate(held))]
    # dealt out like cards, so that folds differ by one row at most
    order = np.concatenate([generator.permutation(group) for group in groups])
    fold = np.empty(m, dtype=np.int64)
    fold[order] = np.arange(m) % n_folds
    return [_split(m, np.flatnonzero(fold == one)) for one in range(n_folds)]


def _drawn(
    group: NDArray[np.int64], fraction: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    count = min(round(fraction * len(group)), max(len(group) - 1, 0))
    return generator.permutation(group)[:count]


def _split(m: int, held: NDArray[np.int64]) -> Split:
    trains = np.ones(m, dtype=bool)
    trains[held] = False
    return Split(np.flatnonzero(trains), np.sort(held))
