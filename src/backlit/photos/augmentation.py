"""Changed copies of training pictures: what the same scene could look like from another camera.

Cropping happens while a picture is reduced, so that it costs no sharpness; flips and changes of
light happen on the reduced copies. Most copies are collages besides: a part of them is replaced by
that of another picture of the class, so that a network cannot rely on what the rest of the picture
happened to be.

A camera behind a wet windscreen, or a cheap one, gives grey for black. A network could use
that as evidence of day, so some copies are veiled.
"""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.duplicates import LUMA
from backlit.photos.reading import WHOLE, Box

Pixels = NDArray[np.uint8]

SMALLEST_CROP = 0.5
"""Least share of each side that a crop keeps."""

GAMMA_SPREAD = 0.1
EXPOSURE_SPREAD = 0.1
WHITE_BALANCE_SPREAD = 0.04
SATURATION_SPREAD = 0.1
"""Standard deviations of the logarithms of gamma, exposure, each colour's gain, and saturation.

Light, since exposure is evidence as well: stronger changes cost accuracy on other cameras."""

VEILED = 0.25
"""Share of the changed copies over which a veil is laid."""

MOST_VEIL = 0.35
"""Most that a veil adds to black, as a share of white."""

_VEIL_GAMMA = 0.3
_VEIL_TINT = 0.1
_LEAST_SPAN = 0.45  # between black and white under a veil


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


def collage_copies(copies: int) -> int:
    """Say how many of a picture's changed copies are collages: three quarters, but never all."""
    return copies - -(-copies // 4)


def collage(
    pictures: Pixels, pieces: Pixels, generator: np.random.Generator
) -> tuple[Pixels, NDArray[np.int64]]:
    """Replace what lies on one side of a straight cut by the same part of another picture.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (m, rows, columns, 3)
        Left as they are.
    pieces : ndarray of uint8, shape (k, rows, columns, 3)
        Pictures of the same class; one is drawn for each picture.
    generator : Generator
        Source of randomness.

    Returns
    -------
    made : ndarray of uint8, shape (m, rows, columns, 3)
        Half of the cuts are level, with the other picture above; the others lie in any direction,
        and all of them within a quarter of the side from the middle.
    drawn : ndarray of int64, shape (m,)
        Which of the pieces each took its part from.
    """
    rows, columns = pictures.shape[1:3]
    y = np.linspace(-0.5, 0.5, rows)[:, None]
    x = np.linspace(-0.5, 0.5, columns)
    made = pictures.copy()
    drawn = np.empty(len(made), np.int64)
    for k, own in enumerate(made):
        drawn[k] = generator.integers(len(pieces))
        angle = generator.uniform(0, 2 * np.pi) if generator.random() < 0.5 else np.pi / 2
        beyond = x * np.cos(angle) + y * np.sin(angle) <= generator.uniform(-0.25, 0.25)
        own[beyond] = pieces[drawn[k]][beyond]
    return made, drawn


def change_light(pictures: Pixels, generator: np.random.Generator) -> Pixels:
    """Flip half of the pictures left to right; change their light, and lay a veil over some.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (m, rows, columns, 3)
        Left as they are.
    generator : Generator
        Source of randomness.

    Returns
    -------
    ndarray of uint8, shape (m, rows, columns, 3)
        ``q = clip(gain_c * (p / 255) ** gamma)``, then ``y + s * (q - y)`` with the luminance y of
        q; each factor log-normal with median 1. Over `VEILED` of them a veil comes last.
    """
    m = len(pictures)
    gamma = np.exp(generator.normal(0.0, GAMMA_SPREAD, (m, 1)))
    exposure = np.exp(generator.normal(0.0, EXPOSURE_SPREAD, (m, 1)))
    balance = np.exp(generator.normal(0.0, WHITE_BALANCE_SPREAD, (m, 3)))
    saturation = np.exp(generator.normal(0.0, SATURATION_SPREAD, m)).astype(np.float32)
    flipped = generator.random(m) < 0.5
    # 256 values a colour: look them up instead of raising every pixel to a power.
    levels = np.linspace(0.0, 1.0, 256) ** gamma  # (m, 256)
    tables = np.clip(levels[:, None, :] * (exposure * balance)[:, :, None], 0.0, 1.0)
    tables = (tables * 255.0).astype(np.float32)  # (m, 3, 256)
    veiled = generator.random(m) < VEILED
    changed = np.empty_like(pictures)
    for picture, table, strength, flip, out in zip(
        pictures, tables, saturation, flipped, changed, strict=True
    ):
        planes = np.stack([table[colour][picture[..., colour]] for colour in range(3)])
        luminance = planes[0] * LUMA[0] + planes[1] * LUMA[1] + planes[2] * LUMA[2]
        planes = np.clip(luminance + strength * (planes - luminance) + 0.5, 0.0, 255.0)
        upright = np.moveaxis(planes, 0, 2).astype(np.uint8)
        out[...] = upright[:, ::-1] if flip else upright
    if veiled.any():
        changed[veiled] = veil(changed[veiled], generator)
    return changed


def veil(pictures: Pixels, generator: np.random.Generator, least: float = 0.0) -> Pixels:
    """Lay a grey veil over pictures, as a wet windscreen, haze or a cheap camera does.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (m, rows, columns, 3)
        Left as they are.
    generator : Generator
        Source of randomness.
    least : float, optional
        Least black level.

    Returns
    -------
    ndarray of uint8, shape (m, rows, columns, 3)
        ``b_c + s * (p / 255) ** gamma``: the black level b is between `least` and 0.35, its colours
        differ by a tenth; s leaves white between b + 0.45 and 1; gamma is log-normal with median 1.
    """
    m = len(pictures)
    black = generator.uniform(least, MOST_VEIL, (m, 1))
    tinted = black * np.exp(generator.normal(0.0, _VEIL_TINT, (m, 3)))
    span = generator.uniform(_LEAST_SPAN, 1.0, (m, 1)) * (1.0 - black)
    gamma = np.exp(generator.normal(0.0, _VEIL_GAMMA, (m, 1)))
    levels = np.linspace(0.0, 1.0, 256) ** gamma  # (m, 256)
    tables = tinted[:, :, None] + (span * levels)[:, None, :]  # (m, 3, 256)
    tables = np.rint(np.clip(tables, 0.0, 1.0) * 255.0).astype(np.uint8)
    made = np.empty_like(pictures)
    for picture, table, out in zip(pictures, tables, made, strict=True):
        for colour in range(3):
            out[..., colour] = table[colour][picture[..., colour]]
    return made
