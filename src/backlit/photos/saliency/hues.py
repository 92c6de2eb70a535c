"""The backward of hues."""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.hues import HUES
from backlit.photos.saliency.pixels import PixelGradients, PixelValues
from backlit.photos.soft_histograms import band_of_rows

Floats = NDArray[np.float64]

_FLOOR = 1e-4
_LEAST = 0.01


def hues_backward(dfeatures: Floats, values: PixelValues, gradients: PixelGradients) -> None:
    """Add the gradient of the hues to that of the pixels' quantities.

    A grey pixel's hue has no derivative; it takes 0, and the pixel weighs nothing. So does the
    share of a pixel exactly at a hue's centre, or exactly at the next one's.

    Parameters
    ----------
    dfeatures : ndarray, shape (m, 72)
        Gradient with respect to what ``hues`` gives.
    values : PixelValues
    gradients : PixelGradients
        Added to.
    """
    red, green, blue = values.planes
    across, along = np.sqrt(3) * (green - blue), 2 * red - green - blue
    per_radian = len(HUES) / (2 * np.pi)
    away = (np.arctan2(across, along) * per_radian)[:, None] - np.arange(len(HUES))[:, None, None]
    far = np.abs(away)
    distance = np.minimum(far, np.abs(far - len(HUES)))
    tent = np.maximum(1 - distance, 0)  # (m, 8, rows, columns)
    weights = tent * values.range[:, None]
    one = np.ones_like(values.luminance)
    quantities = np.stack([one, values.luminance, values.saturation], axis=1)

    dsums = _bands_backward(dfeatures, weights, quantities)  # (m, rows, 8, 3)
    # forward was sums = weights @ quantities, so now
    dweights = np.einsum("mrhq,mqrc->mhrc", dsums, quantities)
    dquantities = np.einsum("mrhq,mhrc->mqrc", dsums, weights)
    gradients.luminance[...] += dquantities[:, 1]
    gradients.saturation[...] += dquantities[:, 2]
    # forward was weights = tent range, so now
    gradients.range[...] += (dweights * tent).sum(axis=1)
    dtent = dweights * values.range[:, None]
    # forward was tent = max(1 - min(|away|, ||away| - 8|), 0), so now
    turned = np.where(far < np.abs(far - len(HUES)), 1, np.sign(far - len(HUES)))
    slope = np.where((distance < 1) & (distance > 0), -np.sign(away) * turned, 0)
    dangle = (dtent * slope).sum(axis=1) * per_radian
    # forward was angle = arctan2(across, along), so now
    square = across**2 + along**2
    turn = np.where(square > 0, dangle / np.where(square > 0, square, 1), 0)
    dacross, dalong = turn * along, -turn * across
    # forward was across = sqrt(3) (g - b) and along = 2 r - g - b, so now
    gradients.planes[0] += 2 * dalong
    gradients.planes[1] += np.sqrt(3) * dacross - dalong
    gradients.planes[2] += -np.sqrt(3) * dacross - dalong


def _bands_backward(dfeatures: Floats, weights: Floats, quantities: Floats) -> Floats:
    """Take the gradient of the features to the sums over each row's band: (m, rows, 8, 3)."""
    m, _, rows, columns = weights.shape
    d = dfeatures.reshape(m, 3, len(HUES), 3)
    third = band_of_rows(rows)
    per_row = np.einsum("mhrc,mqrc->mrhq", weights, quantities)
    dsums: Floats = np.zeros_like(per_row)
    for band, mine in enumerate((np.arange(rows), *(np.flatnonzero(third == k) for k in (0, 2)))):
        size = len(mine) * columns
        share = per_row[:, mine].sum(axis=1) / size  # (m, 8, 3)
        amount, rest = share[..., :1], share[..., 1:]
        # forward was sqrt(amount + 1e-4) and rest / (amount + 0.01), so now
        drest = d[:, band, :, 1:] / (amount + _LEAST)
        damount = d[:, band, :, :1] / (2 * np.sqrt(amount + _FLOOR))
        damount = damount - (drest * rest).sum(axis=-1, keepdims=True) / (amount + _LEAST)
        dshare = np.concatenate([damount, drest], axis=-1)
        dsums[:, mine] += (dshare / size)[:, None]
    return dsums
