"""Pictures that are all but the same: the next frame of a webcam, a copy, a resized copy."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from backlit.photos.features import feature_names

Floats = NDArray[np.float32]

NEAR = 0.2
"""Largest distance of near-duplicates.

On public webcams it finds the same view under the same light, and it finds hardly a pair among
thousands of pictures of different places.
"""

_NOISE = 0.02  # contrast that even a flat picture is taken to have
_BLOCK = 1024  # rows of the distance matrix at a time
_MAPS = ("red, block", "green, block", "blue, block", "minimum, block", "maximum, block")


@cache
def _places() -> NDArray[np.intp]:
    names = feature_names()
    return np.array([place for place, name in enumerate(names) if name.startswith(_MAPS)])


def signatures(features: Floats) -> Floats:
    """Pick out of the features what near-duplicates are recognised by.

    Parameters
    ----------
    features : ndarray of float32, shape (m, n_0)
        As :func:`backlit.photos.features.extract_features` gives them.

    Returns
    -------
    ndarray of float32, shape (m, 320)
        Colours, minima and maxima of the blocks.
    """
    return np.ascontiguousarray(features[:, _places()])


def near_duplicates(
    first: Floats, second: Floats | None = None, limit: float = NEAR
) -> NDArray[np.int64]:
    """Find near-duplicates between two sets of pictures, or within one.

    The distance of two pictures is the root mean square difference of their signatures in units
    of their own contrast, ``rms(a - b) / (sqrt(std(a) std(b)) + 0.02)``: two dark pictures are
    not alike only because both are dark.

    Parameters
    ----------
    first : ndarray of float32, shape (m, k)
        Signatures.
    second : ndarray of float32, shape (n, k), optional
        Others; by default the first themselves, each pair once.
    limit : float, optional
        Largest distance.

    Returns
    -------
    ndarray of int, shape (pairs, 2)
        Indices into the first and the second set, sorted.
    """
    within = second is None
    other = first if second is None else second
    contrast = other.std(axis=1)
    square = np.einsum("ij,ij->i", other, other, dtype=np.float64)
    found = []
    for start in range(0, len(first), _BLOCK):
        rows = first[start : start + _BLOCK]
        own = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        mean_square = (own[:, None] + square - 2.0 * (rows @ other.T)) / first.shape[1]
        scale = np.sqrt(rows.std(axis=1)[:, None] * contrast) + _NOISE
        a, b = np.nonzero(mean_square < np.square(limit * scale))
        a += start
        if within:
            a, b = a[a < b], b[a < b]
        found.append(np.column_stack([a, b]))
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def groups(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Join pictures that are near-duplicates of each other, directly or through others.

    Parameters
    ----------
    pairs : ndarray of int, shape (pairs, 2)
        Near-duplicates.
    count : int
        Number of pictures.

    Returns
    -------
    ndarray of int, shape (count,)
        The least index of each picture's group.
    """
    parent = np.arange(count)

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = int(parent[place])
        return place

    for a, b in pairs.tolist():
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(place) for place in range(count)], dtype=np.int64)
