"""Which hues a picture has, how light and how strong they are."""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.pixels import Pixels
from backlit.photos.soft_histograms import band_of_rows

Floats = NDArray[np.float32]

HUES = ("red", "orange", "green", "spring", "cyan", "blue", "violet", "magenta")
"""Eight hues around the circle, 45 degrees apart, from red."""

_BANDS = ("whole", "top", "bottom")
_FLOOR = np.float32(1e-4)  # keeps the derivative of the root finite
_LEAST = np.float32(0.01)  # amount below which means fade to 0


def hue_names() -> list[str]:
    """Name what :func:`hues` gives, in its order."""
    return [
        f"{what} of {hue}, {band}"
        for band in _BANDS
        for hue in HUES
        for what in ("amount", "luminance", "saturation")
    ]


def hues(pixels: Pixels) -> Floats:
    """Measure each hue in the whole, the top third and the bottom third.

    A pixel counts for the two nearest hues, in proportion, and as much as its colours differ
    (``max - min``), so that grey has none.

    Parameters
    ----------
    pixels : Pixels
        Of m pictures.

    Returns
    -------
    ndarray of float32, shape (m, 72)
        Root of the amount, and the mean luminance and saturation of what has the hue.
    """
    red, green, blue = pixels.planes
    angle = np.arctan2(np.float32(np.sqrt(3)) * (green - blue), 2 * red - green - blue)
    place = angle * np.float32(len(HUES) / (2 * np.pi))  # -4 to 4
    m, rows, columns = place.shape
    third = band_of_rows(rows)
    sums = []
    quantities = np.stack([np.ones_like(place), pixels.luminance, pixels.saturation], axis=-1)
    for band in range(3):
        mine = np.flatnonzero(third == band)
        some = slice(mine[0], mine[-1] + 1)
        own = place[:, some].reshape(m, 1, -1)
        centres = np.arange(len(HUES), dtype=np.float32)[:, None]
        distance = np.abs(own - centres)  # up to 11
        distance = np.minimum(distance, np.abs(distance - np.float32(len(HUES))))
        weights = np.maximum(1 - distance, 0) * pixels.range[:, some].reshape(m, 1, -1)
        sums.append(np.matmul(weights, quantities[:, some].reshape(m, -1, 3)))  # (m, 8, 3)
    counts = np.bincount(third).astype(np.float32) * np.float32(columns)
    whole = (sums[0] + sums[1] + sums[2]) / np.float32(rows * columns)
    shares = np.stack([whole, sums[0] / counts[0], sums[2] / counts[2]], axis=1)  # (m, 3, 8, 3)
    amount = shares[..., :1]
    means = shares[..., 1:] / (amount + _LEAST)
    return np.concatenate([np.sqrt(amount + _FLOOR), means], axis=-1).reshape(m, -1)
