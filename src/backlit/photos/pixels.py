"""What is computed of every pixel once, for all features."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DARK = np.float32(0.02)
"""Added before a logarithm: a black pixel's noise."""

RED, GREEN, BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Pixels:
    """Quantities of the pixels of m pictures.

    Attributes
    ----------
    planes : ndarray of float32, shape (3, m, rows, columns)
        Red, green and blue in [0, 1].
    luminance, log_luminance, brightest, range, saturation : ndarray, shape (m, rows, columns)
        ``y``, ``log(y + 0.02)``, the largest of the three colours, the largest less the smallest,
        and that divided by ``largest + 0.05``.
    log_planes : ndarray, shape (3, m, rows, columns)
        ``log(plane + 0.02)``.
    brightest_codes : ndarray, shape (m, rows, columns)
        What ranks the pixels: the largest of the colours as it came, 8 bits or floating.
    """

    planes: Floats
    luminance: Floats
    log_luminance: Floats
    log_planes: Floats
    brightest: Floats
    range: Floats
    saturation: Floats
    brightest_codes: NDArray[np.generic]


def describe_pixels(pictures: NDArray[np.generic]) -> Pixels:
    """Compute what all features start from.

    Parameters
    ----------
    pictures : ndarray of uint8, or floating in [0, 1], shape (m, rows, columns, 3)

    Returns
    -------
    Pixels
    """
    codes = np.ascontiguousarray(np.moveaxis(pictures, 3, 0))
    planes = codes.astype(np.float32)
    if pictures.dtype == np.uint8:
        planes *= np.float32(1 / 255)
    red, green, blue = planes
    # Added up by hand: a matrix product would round differently for another batch size.
    luminance = red * RED + green * GREEN + blue * BLUE
    brightest = np.maximum(np.maximum(red, green), blue)
    spread = brightest - np.minimum(np.minimum(red, green), blue)
    return Pixels(
        planes,
        luminance,
        np.log(luminance + DARK),
        np.log(planes + DARK),
        brightest,
        spread,
        spread / (brightest + np.float32(0.05)),
        np.maximum(np.maximum(codes[0], codes[1]), codes[2]),
    )
