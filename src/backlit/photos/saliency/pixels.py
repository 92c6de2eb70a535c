"""The backward of what is computed of every pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in luminance (ITU-R BT.601)."""

_DARK = 0.02
_PALE = 0.05


@dataclass(frozen=True)
class PixelValues:
    """What :class:`backlit.photos.pixels.Pixels` holds, in float64.

    Attributes
    ----------
    planes, log_planes : ndarray, shape (3, m, rows, columns)
    luminance, log_luminance, brightest, darkest, range, saturation : ndarray, (m, rows, columns)
    codes : ndarray, shape (m, rows, columns)
        What ranks the pixels.
    """

    planes: Floats
    log_planes: Floats
    luminance: Floats
    log_luminance: Floats
    brightest: Floats
    darkest: Floats
    range: Floats
    saturation: Floats
    codes: NDArray[np.generic]


@dataclass(frozen=True)
class PixelGradients:
    """Gradients of the same shapes, to be added to; all 0 at first."""

    planes: Floats
    log_planes: Floats
    luminance: Floats
    log_luminance: Floats
    range: Floats
    saturation: Floats


def describe_values(pictures: NDArray[np.generic]) -> PixelValues:
    """Compute in float64 what all features start from.

    Parameters
    ----------
    pictures : ndarray of uint8, or floating in [0, 1], shape (m, rows, columns, 3)

    Returns
    -------
    PixelValues
    """
    planes = np.ascontiguousarray(np.moveaxis(pictures, 3, 0), dtype=np.float64)
    if pictures.dtype == np.uint8:
        planes /= 255
    luminance = np.tensordot(LUMA, planes, axes=1)
    brightest, darkest = planes.max(axis=0), planes.min(axis=0)
    spread = brightest - darkest
    return PixelValues(
        planes,
        np.log(planes + _DARK),
        luminance,
        np.log(luminance + _DARK),
        brightest,
        darkest,
        spread,
        spread / (brightest + _PALE),
        pictures.max(axis=3),
    )


def no_gradients(values: PixelValues) -> PixelGradients:
    """Make gradients of 0."""
    one, three = values.luminance, values.planes
    return PixelGradients(
        np.zeros_like(three),
        np.zeros_like(three),
        *(np.zeros_like(one) for _ in range(4)),
    )


def pixels_backward(gradients: PixelGradients, values: PixelValues) -> Floats:
    """Collect all gradients in those of red, green and blue.

    Where two or three colours of a pixel tie for the largest (or the smallest), each takes an
    equal part, so that the range of a grey pixel has the subgradient 0.

    Parameters
    ----------
    gradients : PixelGradients
    values : PixelValues

    Returns
    -------
    ndarray of float64, shape (3, m, rows, columns)
    """
    # forward was saturation = range / (brightest + 0.05), so now
    pale = values.brightest + _PALE
    drange = gradients.range + gradients.saturation / pale
    dbrightest = -gradients.saturation * values.saturation / pale
    # forward was range = max - min, so now
    dbrightest = dbrightest + drange
    ddarkest = -drange
    # forward was log(y + 0.02), so now dy = dlog / (y + 0.02)
    dluminance = gradients.luminance + gradients.log_luminance / (values.luminance + _DARK)
    # forward was y = 0.299 r + 0.587 g + 0.114 b and log(plane + 0.02), so now
    dplanes: Floats = gradients.planes + LUMA[:, None, None, None] * dluminance
    dplanes += gradients.log_planes / (values.planes + _DARK)
    for extreme, gradient in ((values.brightest, dbrightest), (values.darkest, ddarkest)):
        mine = values.planes == extreme
        dplanes += mine * (gradient / mine.sum(axis=0))
    return dplanes
