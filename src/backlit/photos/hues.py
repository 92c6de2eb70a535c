"""Which hues a picture has, how light and how strong they are."""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.pixels import Pixels
from backlit.photos.soft_histograms import band_of_rows

Floats = NDArray[np.float32]

HUES = ("red", "orange", "green", "spring", "cyan", "blue", "violet", "magenta")
"""Eight hues around the circle, 45 degrees apart, from red."""

_BANDS = ("whole", "top", "bottom")
FLOOR = np.float32(1e-4)  # keeps the derivative of the root finite
LEAST = np.float32(0.01)  # amount below which means fade to 0


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
    weights = np.empty((m, len(HUES), rows, columns), dtype=np.float32)
    for hue in range(len(HUES)):
        own = weights[:, hue]
        if hue == len(HUES) // 2:  # where the circle closes, at -4 and 4
            np.subtract(np.abs(place), np.float32(hue - 1), out=own)
        else:
            centre = hue if hue < len(HUES) // 2 else hue - len(HUES)
            np.subtract(place, np.float32(centre), out=own)
            np.abs(own, out=own)
            np.subtract(1, own, out=own)
    np.maximum(weights, 0, out=weights)
    weights *= pixels.range[:, None]
    quantities = np.empty((m, 3, rows, columns), dtype=np.float32)
    quantities[:, 0] = 1
    quantities[:, 1] = pixels.luminance
    quantities[:, 2] = pixels.saturation
    third = band_of_rows(rows)
    sums = []
    for band in range(3):
        mine = np.flatnonzero(third == band)
        some = slice(mine[0] * columns, (mine[-1] + 1) * columns)
        left = weights.reshape(m, len(HUES), -1)[:, :, some]
        right = quantities.reshape(m, 3, -1)[:, :, some]
        sums.append(np.matmul(left, right.transpose(0, 2, 1)))  # (m, 8, 3)
    counts = np.bincount(third).astype(np.float32) * np.float32(columns)
    whole = (sums[0] + sums[1] + sums[2]) / np.float32(rows * columns)
    shares = np.stack([whole, sums[0] / counts[0], sums[2] / counts[2]], axis=1)  # (m, 3, 8, 3)
    amount = shares[..., :1]
    means = shares[..., 1:] / (amount + LEAST)
    return np.concatenate([np.sqrt(amount + FLOOR), means], axis=-1).reshape(m, -1)
