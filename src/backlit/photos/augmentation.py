"""Changed copies of training pictures: what the same scene could look like from another camera.

Cropping happens while a picture is reduced, so that it costs no sharpness; flips and changes of
light happen on the reduced copies.
"""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.reading import WHOLE, Box

Pixels = NDArray[np.uint8]

SMALLEST_CROP = 0.5
"""Least share of each side that a crop keeps."""

GAMMA_SPREAD = 0.25
EXPOSURE_SPREAD = 0.25
WHITE_BALANCE_SPREAD = 0.08
"""Standard deviations of the logarithms of gamma, exposure and each colour's gain."""


def random_boxes(copies: int, generator: np.random.Generator) -> list[Box]:
    """Draw crops: the whole picture first, then one for each changed copy.

    Parameters
    ----------
    copies : int
        Number of changed copies.
    generator : Generator
        Source of randomness.

    Returns
    -------
    list of (left, top, right, bottom)
        ``1 + copies`` boxes in fractions of the sides; each keeps 0.5 to 1 of each side.
    """
    boxes = [WHOLE]
    for _ in range(copies):
        side = generator.uniform(SMALLEST_CROP, 1.0)
        width, height = np.clip(side * generator.uniform(0.9, 1.1, 2), SMALLEST_CROP, 1.0)
        left, top = generator.uniform(0.0, 1.0, 2) * (1.0 - width, 1.0 - height)
        boxes.append((float(left), float(top), float(left + width), float(top + height)))
    return boxes


def change_light(pictures: Pixels, generator: np.random.Generator) -> Pixels:
    """Flip half of the pictures left to right and change gamma, exposure and white balance.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (m, rows, columns, 3)
        Left as they are.
    generator : Generator
        Source of randomness.

    Returns
    -------
    ndarray of uint8, shape (m, rows, columns, 3)
        ``255 * clip(gain_c * (p / 255) ** gamma)``, each factor log-normal with median 1.
    """
    m = len(pictures)
    gamma = np.exp(generator.normal(0.0, GAMMA_SPREAD, (m, 1)))
    exposure = np.exp(generator.normal(0.0, EXPOSURE_SPREAD, (m, 1)))
    balance = np.exp(generator.normal(0.0, WHITE_BALANCE_SPREAD, (m, 3)))
    flipped = generator.random(m) < 0.5
    # 256 values a colour: look them up instead of raising every pixel to a power.
    levels = np.linspace(0.0, 1.0, 256) ** gamma  # (m, 256)
    tables = np.clip(levels[:, None, :] * (exposure * balance)[:, :, None], 0.0, 1.0)
    tables = np.rint(tables * 255.0).astype(np.uint8)  # (m, 3, 256)
    changed = np.empty_like(pictures)
    for picture, table, out, flip in zip(pictures, tables, changed, flipped, strict=True):
        for colour in range(3):
            plane = table[colour][picture[..., colour]]
            out[..., colour] = plane[:, ::-1] if flip else plane
    return changed
