"""Pictures that are all but the same: the next frame of a webcam, a copy, a resized copy."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NEAR = 0.2
"""Largest distance of near-duplicates.

On public webcams it finds the same view under the same light, and it finds hardly a pair among
thousands of pictures of different places.
"""

_NOISE = 0.02  # contrast that even a flat picture is taken to have
_BLOCK = 1024  # rows of the distance matrix at a time
_GRID = 8  # blocks along a side

SIGNATURE_SIZE = 5 * _GRID * _GRID
"""Numbers of a signature."""

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Shares of red, green and blue in luminance (ITU-R BT.601)."""


def signatures(pictures: NDArray[np.uint8]) -> Floats:
    """Compute what near-duplicates are recognised by.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (m, side, side, 3)
        Reduced pictures; the side a multiple of 8.

    Returns
    -------
    ndarray of float32, shape (m, 320)
        Mean red, green and blue of 8 x 8 blocks, and their least and greatest luminance.
    """
    m, side = pictures.shape[:2]
    size = side // _GRID
    blocks = (m, _GRID, size, _GRID, size)
    planes = np.moveaxis(pictures, 3, 0).astype(np.float32) * np.float32(1 / 255)
    luminance = np.tensordot(LUMA, planes, axes=1).reshape(blocks)
    colours = planes.reshape(3, *blocks).mean(axis=(3, 5))  # (3, m, 8, 8)
    least, greatest = luminance.min(axis=(2, 4)), luminance.max(axis=(2, 4))
    return np.stack([*colours, least, greatest], axis=1).reshape(m, -1)


def brightness(signature: Floats) -> NDArray[np.float64]:
    """Mean logarithmic luminance of the blocks.

    Parameters
    ----------
    signature : ndarray of float32, shape (m, 320)
        As :func:`signatures` gives them.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    colours = signature[:, : 3 * _GRID * _GRID].reshape(len(signature), 3, _GRID * _GRID)
    luminance = np.einsum("c,mcb->mb", LUMA, colours)
    mean: NDArray[np.float64] = np.log(luminance + 0.02).mean(axis=1, dtype=np.float64)
    return mean


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
