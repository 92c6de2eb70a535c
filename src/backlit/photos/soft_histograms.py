"""Histograms that are binned linearly: a value between two bin centres counts for both.

So a histogram has a derivative with respect to the values, and does not jump where one crosses an
edge.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEVELS = 1024  # steps of a value before it is binned


def banded_histograms(values: Floats, bins: int) -> Floats:
    """Roots of the shares of the whole, of the top third and of the bottom third.

    Values are first counted at 1024 steps, which is quick, and the counts then shared out between
    the two nearest bin centres, which is exact for the stepped values. The root evens out the
    spread of rare and frequent bins.

    Parameters
    ----------
    values : ndarray of float32, shape (m, rows, columns)
        What lies outside [0, 1] counts for the outermost bins.
    bins : int
        Number of bins; their centres lie at k / (bins - 1).

    Returns
    -------
    ndarray of float32, shape (m, 3 * bins)
    """
    m, rows, columns = values.shape
    steps = values * np.float32(LEVELS - 1)
    steps += np.float32(0.5)
    np.clip(steps, np.float32(0.5), np.float32(LEVELS - 0.5), out=steps)
    codes = steps.astype(np.intp)
    # Three bands a picture, each with counts of its own.
    thirds = band_of_rows(rows)
    codes += (np.arange(m)[:, None] * 3 + thirds)[:, :, None] * LEVELS
    counts = np.bincount(codes.ravel(), minlength=m * 3 * LEVELS)
    shared = np.matmul(counts.reshape(m, 3, LEVELS).astype(np.float32), shares_of_levels(bins))
    top, middle, bottom = np.moveaxis(shared, 1, 0)  # each (m, bins)
    sizes = np.bincount(thirds) * columns
    whole = (top + middle + bottom) / np.float32(rows * columns)
    shares = [whole, top / np.float32(sizes[0]), bottom / np.float32(sizes[2])]
    roots: Floats = np.sqrt(np.concatenate(shares, axis=1))
    return roots


@cache
def band_of_rows(rows: int) -> NDArray[np.intp]:
    """Tell which third each row belongs to: 0 top, 1 middle, 2 bottom."""
    return np.arange(rows) * 3 // rows


@cache
def shares_of_levels(bins: int) -> Floats:
    """Share of each level that each bin gets: (LEVELS, bins), rows sum to 1."""
    position = np.arange(LEVELS) * ((bins - 1) / (LEVELS - 1))
    distance = np.abs(position[:, None] - np.arange(bins)[None, :])
    share: Floats = np.maximum(1 - distance, 0).astype(np.float32)
    return share
