"""What the darkest, the middling and the brightest pixels of a picture are like.

Pixels are ranked by their brightest colour, and means and deviations taken over ranges of ranks:
of the brightest hundredth, say, how red it is, how far it stands out from its surroundings, how
high in the picture it lies. A change of exposure moves the values of all pixels, but no ranks.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backlit.photos.pixels import Pixels

Floats = NDArray[np.float32]

RANGES = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 1.0)
"""Ends of the ranges of ranks, as shares of the pixels."""

MEANS = (
    "log luminance",
    "saturation",
    "log red/green",
    "log blue/green",
    "point contrast",
    "gradient",
    "contrast to 8 x 8",
    "contrast to 4 x 4",
    "height",
    "distance from the middle",
    "height squared",
)
"""Quantities of which means are taken; of the first eight also deviations."""

DEVIATIONS = 8
FLOOR = np.float32(1e-6)  # keeps the derivative of a root finite


def rank_statistics_names() -> list[str]:
    """Name what :func:`rank_statistics` gives, in its order."""
    names = []
    for low, high in pairwise(RANGES):
        where = f"ranks {100 * low:g} to {100 * high:g} %"
        names += [f"mean {name}, {where}" for name in MEANS]
        names += [f"deviation of {name}, {where}" for name in MEANS[:DEVIATIONS]]
    return names


def rank_statistics(pixels: Pixels) -> Floats:
    """Means and deviations over ranges of ranks.

    Parameters
    ----------
    pixels : Pixels
        Of m pictures.

    Returns
    -------
    ndarray of float32, shape (m, 171)
    """
    quantities = _quantities(pixels)
    m = len(quantities)
    quantities = quantities.reshape(m, len(MEANS) + DEVIATIONS, -1)  # (m, 19, p)
    p = quantities.shape[2]
    # A stable order, so that ties fall the same way on every machine.
    order = np.argsort(pixels.brightest_codes.reshape(m, p), axis=1, kind="stable")
    of_rank, weights = _range_of_rank(p)
    ranges = np.arange(len(weights), dtype=np.uint8)[:, None]
    of_pixel = np.empty(p, dtype=np.uint8)
    within = np.empty((len(weights), p), dtype=np.float32)
    means = np.empty((m, len(weights), quantities.shape[1]), dtype=np.float32)
    for own, ranked, out in zip(quantities, order, means, strict=True):
        of_pixel[ranked] = of_rank
        np.multiply(of_pixel == ranges, weights, out=within)  # (9, p)
        np.matmul(within, own.T, out=out)
    squares = means[:, :, len(MEANS) :]
    variance = squares - np.square(means[:, :, :DEVIATIONS])
    np.sqrt(np.maximum(variance, 0) + FLOOR, out=squares)
    return means.reshape(m, -1)


@cache
def _range_of_rank(p: int) -> tuple[NDArray[np.uint8], Floats]:
    """Range of each rank, (p,), and the weight of a pixel in each range's mean, (9, 1)."""
    ends = np.rint(np.array(RANGES[1:-1]) * p)
    of_rank = np.searchsorted(ends, np.arange(p), side="right").astype(np.uint8)
    counts = np.bincount(of_rank, minlength=len(RANGES) - 1)
    return of_rank, (1 / np.maximum(counts, 1)).astype(np.float32)[:, None]


def _quantities(pixels: Pixels) -> Floats:
    """Stack the quantities of MEANS and squares of the first: (m, 11 + 8, rows, columns)."""
    y = pixels.luminance
    m, rows, columns = y.shape
    stack = np.empty((m, len(MEANS) + DEVIATIONS, rows, columns), dtype=np.float32)
    stack[:, 0] = pixels.log_luminance
    stack[:, 1] = pixels.saturation
    red, green, blue = pixels.log_planes
    np.subtract(red, green, out=stack[:, 2])
    np.subtract(blue, green, out=stack[:, 3])
    share = 1 / (y + np.float32(0.05))
    np.multiply(_contrast(y), share, out=stack[:, 4])
    np.multiply(_gradient(y), share, out=stack[:, 5])
    for place, side in ((6, 8), (7, 4)):
        blocks = y.reshape(m, rows // side, side, columns // side, side)
        means = blocks.sum(axis=2).sum(axis=3)  # (m, rows / side, columns / side)
        means *= np.float32(1 / (side * side))
        surroundings = np.log(means + np.float32(0.02))[:, :, None, :, None]
        shape = (m, rows // side, side, columns // side, side)
        np.subtract(
            pixels.log_luminance.reshape(shape), surroundings, out=stack[:, place].reshape(shape)
        )
    height = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    stack[:, 8] = height
    stack[:, 9] = np.abs(np.linspace(-1, 1, columns, dtype=np.float32))
    stack[:, 10] = height * height
    np.square(stack[:, :DEVIATIONS], out=stack[:, len(MEANS) :])
    return stack


def _contrast(y: Floats) -> Floats:
    """Distance to the mean of the four neighbours; the border stands for those that it lacks."""
    m, rows, columns = y.shape
    padded = np.empty((m, rows + 2, columns + 2), dtype=np.float32)
    padded[:, 1:-1, 1:-1] = y
    padded[:, 0, 1:-1], padded[:, -1, 1:-1] = y[:, 0], y[:, -1]
    padded[:, 1:-1, 0], padded[:, 1:-1, -1] = y[:, :, 0], y[:, :, -1]
    total: Floats = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    total += padded[:, 1:-1, :-2]
    total += padded[:, 1:-1, 2:]
    total *= np.float32(0.25)
    np.subtract(y, total, out=total)
    return np.abs(total, out=total)


def _gradient(y: Floats) -> Floats:
    """Differences to the pixels above and to the left, without signs; 0 where there is none."""
    gradient = np.empty_like(y)
    gradient[:, 0] = 0
    np.subtract(y[:, 1:], y[:, :-1], out=gradient[:, 1:])
    np.abs(gradient, out=gradient)
    across = y[:, :, 1:] - y[:, :, :-1]
    gradient[:, :, 1:] += np.abs(across, out=across)
    return gradient
