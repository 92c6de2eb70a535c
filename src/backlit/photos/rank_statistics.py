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

_DEVIATIONS = 8
_FLOOR = np.float32(1e-6)  # keeps the derivative of a root finite


def rank_statistics_names() -> list[str]:
    """Name what :func:`rank_statistics` gives, in its order."""
    names = []
    for low, high in pairwise(RANGES):
        where = f"ranks {100 * low:g} to {100 * high:g} %"
        names += [f"mean {name}, {where}" for name in MEANS]
        names += [f"deviation of {name}, {where}" for name in MEANS[:_DEVIATIONS]]
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
    m = len(pixels.luminance)
    quantities = _quantities(pixels).reshape(m, len(MEANS), -1)  # (m, 11, p)
    p = quantities.shape[2]
    # A stable order, so that ties fall the same way on every machine.
    order = np.argsort(pixels.brightest_codes.reshape(m, p), axis=1, kind="stable")
    of_rank = _range_of_rank(p)
    of_pixel = np.empty((m, p), dtype=np.uint8)
    np.put_along_axis(of_pixel, order, np.broadcast_to(of_rank, (m, p)), axis=1)
    ranges = np.arange(len(RANGES) - 1, dtype=np.uint8)
    within = (of_pixel[:, None, :] == ranges[:, None]).astype(np.float32)  # (m, 9, p)
    within /= np.bincount(of_rank).astype(np.float32)[:, None]
    columns = quantities.transpose(0, 2, 1)
    means = np.matmul(within, columns)  # (m, 9, 11)
    squares = np.matmul(within, np.square(columns[:, :, :_DEVIATIONS]))
    variance = squares - np.square(means[:, :, :_DEVIATIONS])
    deviations = np.sqrt(np.maximum(variance, 0) + _FLOOR)
    return np.concatenate([means, deviations], axis=2).reshape(m, -1)


@cache
def _range_of_rank(p: int) -> NDArray[np.uint8]:
    ends = np.rint(np.array(RANGES[1:-1]) * p)
    return np.searchsorted(ends, np.arange(p), side="right").astype(np.uint8)


def _quantities(pixels: Pixels) -> Floats:
    """Stack the quantities of MEANS: (m, 11, rows, columns)."""
    y = pixels.luminance
    m, rows, columns = y.shape
    stack = np.empty((m, len(MEANS), rows, columns), dtype=np.float32)
    stack[:, 0] = pixels.log_luminance
    stack[:, 1] = pixels.saturation
    red, green, blue = pixels.log_planes
    np.subtract(red, green, out=stack[:, 2])
    np.subtract(blue, green, out=stack[:, 3])
    scale = y + np.float32(0.05)
    np.divide(np.abs(y - _neighbours(y)), scale, out=stack[:, 4])
    np.divide(_gradient(y), scale, out=stack[:, 5])
    for place, side in ((6, 8), (7, 4)):
        blocks = y.reshape(m, rows // side, side, columns // side, side).mean(axis=(2, 4))
        surroundings = np.log(blocks + np.float32(0.02))
        spread = np.repeat(np.repeat(surroundings, side, axis=1), side, axis=2)
        np.subtract(pixels.log_luminance, spread, out=stack[:, place])
    height = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    stack[:, 8] = height
    stack[:, 9] = np.abs(np.linspace(-1, 1, columns, dtype=np.float32))
    stack[:, 10] = height * height
    return stack


def _neighbours(y: Floats) -> Floats:
    """Mean of the four neighbours; at the border the pixel stands for those it lacks."""
    above = np.concatenate([y[:, :1], y[:, :-1]], axis=1)
    below = np.concatenate([y[:, 1:], y[:, -1:]], axis=1)
    left = np.concatenate([y[:, :, :1], y[:, :, :-1]], axis=2)
    right = np.concatenate([y[:, :, 1:], y[:, :, -1:]], axis=2)
    total: Floats = above + below + left + right
    total *= np.float32(0.25)
    return total


def _gradient(y: Floats) -> Floats:
    """Differences to the pixels above and to the left, without signs; 0 where there is none."""
    gradient = np.zeros_like(y)
    gradient[:, 1:] += np.abs(y[:, 1:] - y[:, :-1])
    gradient[:, :, 1:] += np.abs(y[:, :, 1:] - y[:, :, :-1])
    return gradient
