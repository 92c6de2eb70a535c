"""Shapes: which way edges run, place by place, as histograms of oriented gradients.

N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, on a grid of
8 x 8 cells: each pixel's gradient goes to the cells around it and to the two directions next to
its own, and each cell is divided by the root mean square of its neighbourhood, so that neither the
light nor the contrast of a part of the picture matters.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

VERSION = 1
"""Changes whenever the numbers do."""

CELLS = 8
"""Cells along each side."""

DIRECTIONS = 9
"""Of an edge: from 0 to 180 degrees, since light on either side of it looks alike."""

LENGTH = CELLS * CELLS * DIRECTIONS

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LEAST = np.float32(0.01)  # added to a neighbourhood's energy: flat parts stay flat


def shape_features(pictures: NDArray[np.uint8]) -> Floats:
    """Describe the edges of reduced pictures.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (m, side, side, 3)

    Returns
    -------
    ndarray of float32, shape (m, LENGTH)
        By cell, row by row, and in it by direction: square roots of the shares. The same bits
        whatever else is in the batch.
    """
    found = np.empty((len(pictures), LENGTH), np.float32)
    for own, picture in zip(found, pictures, strict=True):
        own[...] = _describe(picture)
    return found


@cache
def shape_names() -> tuple[str, ...]:
    """Name the features, in order: which edges, and in which row and column of cells."""
    return tuple(
        f"edges {number}, row {row}, column {column}"
        for row in range(CELLS)
        for column in range(CELLS)
        for number in range(DIRECTIONS)
    )


def _describe(picture: NDArray[np.uint8]) -> Floats:
    side = len(picture)
    y = picture.astype(np.float32) @ _LUMA / np.float32(255)
    dx, dy = np.zeros_like(y), np.zeros_like(y)
    dx[:, 1:-1] = y[:, 2:] - y[:, :-2]
    dy[1:-1] = y[2:] - y[:-2]
    strength = np.hypot(dx, dy).ravel()
    angle = np.arctan2(dy, dx).ravel() * np.float32(DIRECTIONS / np.pi)
    lower = np.floor(angle)
    part = angle - lower
    first = lower.astype(np.intp) % DIRECTIONS
    second = (first + 1) % DIRECTIONS
    pixel = np.arange(side * side) * DIRECTIONS
    planes = np.bincount(pixel + first, strength * (1 - part), side * side * DIRECTIONS)
    planes += np.bincount(pixel + second, strength * part, side * side * DIRECTIONS)
    nearness: Floats = _nearness(side)
    rows = nearness.T @ planes.astype(np.float32).reshape(side, side * DIRECTIONS)
    cells = nearness.T @ rows.reshape(CELLS, side, DIRECTIONS)  # (CELLS, CELLS, DIRECTIONS)
    energy = np.pad(np.square(cells).sum(axis=2), 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(energy, (3, 3))
    around = windows.mean(axis=(2, 3))
    described: Floats = np.sqrt(cells / np.sqrt(around + _LEAST)[:, :, None]).ravel()
    return described


@cache
def _nearness(side: int) -> Floats:
    """Weights of each pixel's row (or column) in the cells: falling linearly to the next middle."""
    middle = (np.arange(side, dtype=np.float32) + 0.5) * (CELLS / side) - 0.5
    distance = np.abs(middle[:, None] - np.arange(CELLS, dtype=np.float32))
    nearness: Floats = np.maximum(0, 1 - distance)
    return nearness
