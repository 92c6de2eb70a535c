"""The backward of all features: from their gradient to that of the pixels."""

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ShapeError
from backlit.photos.features import SIDE, feature_names
from backlit.photos.hues import hue_names
from backlit.photos.patches import load_dictionary
from backlit.photos.rank_statistics import rank_statistics_names
from backlit.photos.saliency.hues import hues_backward
from backlit.photos.saliency.patches import patches_backward
from backlit.photos.saliency.pixels import (
    PixelGradients,
    PixelValues,
    describe_values,
    no_gradients,
    pixels_backward,
)
from backlit.photos.saliency.rank_statistics import rank_statistics_backward
from backlit.photos.saliency.soft_histograms import banded_histograms_backward

Floats = NDArray[np.float64]

_BINS = 12
_REFERENCES = ((0.5, -3.0, 3.0), (0.98, -4.0, 0.5))  # rank, range of relative log luminance


def extract_features_backward(
    dfeatures: NDArray[np.floating], pictures: NDArray[np.uint8] | NDArray[np.floating]
) -> Floats:
    """Take a gradient with respect to the features back to the pixels.

    Parameters
    ----------
    dfeatures : ndarray, shape (m, len(feature_names()))
        Gradient of something with respect to what ``extract_features(pictures)`` gives.
    pictures : ndarray of uint8, or floating in [0, 1], shape (m, SIDE, SIDE, 3)
        The same pictures.

    Returns
    -------
    ndarray of float64, shape (m, SIDE, SIDE, 3)
        Gradient with respect to red, green and blue in [0, 1].

    Raises
    ------
    ShapeError
        Where the shapes do not fit.
    """
    if pictures.ndim != 4 or pictures.shape[1:] != (SIDE, SIDE, 3):
        raise ShapeError(
            f"extract_features_backward: pictures has shape {pictures.shape}, expected "
            f"(m, {SIDE}, {SIDE}, 3): square pictures, reduced by read_crops."
        )
    expected = (len(pictures), len(feature_names()))
    if dfeatures.shape != expected:
        raise ShapeError(
            f"extract_features_backward: dfeatures has shape {dfeatures.shape}, expected "
            f"{expected}, one row a picture and one column a feature."
        )
    values = describe_values(pictures)
    gradients = no_gradients(values)
    lengths = [len(rank_statistics_names()), len(_REFERENCES) * 3 * _BINS, len(hue_names())]
    parts = np.split(np.asarray(dfeatures, dtype=np.float64), np.cumsum(lengths), axis=1)
    ranks, relative, hues, patches = parts
    rank_statistics_backward(ranks, values, gradients)
    _relative_luminance_backward(relative, values, gradients)
    hues_backward(hues, values, gradients)
    patches_backward(patches, values, load_dictionary(), gradients)
    return np.moveaxis(pixels_backward(gradients, values), 0, 3)


def _relative_luminance_backward(
    dfeatures: Floats, values: PixelValues, gradients: PixelGradients
) -> None:
    """Add the gradient of the histograms of relative log luminance.

    A rank of it (the median, say) is the value of one pixel, which takes the gradient; pixels
    that tie for it take equal parts.
    """
    logs = values.log_luminance
    flat = logs.reshape(len(logs), -1)
    ordered = np.sort(flat, axis=1)
    for (share, low, high), own in zip(
        _REFERENCES, np.split(dfeatures, len(_REFERENCES), axis=1), strict=True
    ):
        reference = ordered[:, int(share * (flat.shape[1] - 1))][:, None, None]
        # forward was relative = (log y - reference - low) / (high - low), so now
        relative = (logs - reference - low) / (high - low)
        d = banded_histograms_backward(own, relative, _BINS) / (high - low)
        mine = logs == reference
        total = d.sum(axis=(1, 2), keepdims=True) / mine.sum(axis=(1, 2), keepdims=True)
        gradients.log_luminance[...] += d - mine * total
