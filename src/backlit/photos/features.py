"""What a picture looks like, in about 600 numbers.

A picture is first reduced to a square of :data:`SIDE` pixels. Its features are of four kinds, each
in a module of its own: what the darkest to the brightest pixels are like (``rank_statistics``);
histograms of luminance relative to the picture's own (here); hues (``hues``); and likeness to a
dictionary of small patches (``patches``). What is relative to the picture itself is hardly moved
by a camera's exposure, and the hues and patches say what it is of.

Every step has a derivative with respect to the pixels almost everywhere (histograms are binned
linearly; ranks are taken as they are), so that a network's input gradient can be carried back to
the picture.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from backlit._checks import as_numpy, check_finite
from backlit.errors import DTypeError, SettingError, ShapeError
from backlit.photos.hues import hue_names, hues
from backlit.photos.patches import load_dictionary, patch_activations, patch_names
from backlit.photos.pixels import Pixels, describe_pixels
from backlit.photos.rank_statistics import rank_statistics, rank_statistics_names
from backlit.photos.soft_histograms import banded_histograms

Floats = NDArray[np.float32]

SIDE = 64
"""Side of the square that features are taken of, in pixels."""

VERSION = 3
"""Changes whenever the numbers do, so that a model is never used with other features."""

_BATCH = 8  # pictures at a time: what is computed of them stays in the cache
BINS = 12
# Reference, rank of it among the pixels, and the range of log luminance relative to it.
REFERENCES = (("median", 0.5, -3.0, 3.0), ("98 %", 0.98, -4.0, 0.5))


@cache
def feature_names() -> tuple[str, ...]:
    """Name every feature, in the order in which :func:`extract_features` gives them.

    Returns
    -------
    tuple of str
    """
    relative = [
        f"log luminance to its {name}, {band}, bin {number}"
        for name, *_ in REFERENCES
        for band in ("whole", "top", "bottom")
        for number in range(BINS)
    ]
    return (*rank_statistics_names(), *relative, *hue_names(), *patch_names())


def extract_features(pictures: NDArray[np.uint8] | Floats) -> Floats:
    """Compute the features of reduced pictures.

    Parameters
    ----------
    pictures : ndarray of uint8, or floating in [0, 1], shape (m, SIDE, SIDE, 3)
        As :func:`backlit.photos.reading.read_crops` gives them.

    Returns
    -------
    ndarray of float32, shape (m, len(feature_names()))
        One row a picture; the same bits whatever else is in the batch.

    Raises
    ------
    ShapeError
        Where the pictures have another shape.
    DTypeError, SettingError, NonFiniteError
        Where they hold anything but bytes, or floating numbers from 0 to 1.
    """
    pictures = _checked(pictures)
    features = np.empty((len(pictures), len(feature_names())), dtype=np.float32)
    dictionary = load_dictionary()
    for start in range(0, len(pictures), _BATCH):
        batch = slice(start, start + _BATCH)
        pixels = describe_pixels(pictures[batch])
        features[batch] = np.concatenate(
            [
                rank_statistics(pixels),
                _relative_luminance(pixels),
                hues(pixels),
                patch_activations(pixels.planes, dictionary),
            ],
            axis=1,
        )
    return features


def _checked(pictures: NDArray[np.uint8] | Floats) -> NDArray[np.uint8] | Floats:
    """Refuse what would give numbers that no picture has."""
    found = as_numpy("extract_features", "pictures", pictures)
    if found.ndim != 4 or found.shape[1:] != (SIDE, SIDE, 3):
        raise ShapeError(
            f"extract_features: pictures has shape {found.shape}, expected "
            f"(m, {SIDE}, {SIDE}, 3): square pictures, reduced by read_crops."
        )
    if found.dtype == np.uint8:
        return found
    if found.dtype.kind != "f":
        raise DTypeError(
            f"extract_features: pictures is of dtype {found.dtype}, expected uint8 from 0 to 255, "
            "or floating numbers from 0 to 1."
        )
    check_finite("extract_features", pictures=found)
    least, most = found.min(initial=0), found.max(initial=0)
    if least < 0 or most > 1:
        raise SettingError(
            f"extract_features: pictures has numbers from {least:.6g} to {most:.6g}, expected "
            "floating numbers from 0 to 1, or uint8 from 0 to 255."
        )
    return found


def _relative_luminance(pixels: Pixels) -> Floats:
    """Histograms of log luminance relative to ranks of it: (m, 2 * 3 * BINS)."""
    values = pixels.log_luminance
    m = len(values)
    flat = values.reshape(m, -1)
    places = [int(share * (flat.shape[1] - 1)) for _, share, _, _ in REFERENCES]
    ordered = np.partition(flat, places, axis=1)
    parts = []
    for place, (_, _, low, high) in zip(places, REFERENCES, strict=True):
        relative = values - ordered[:, place, None, None] - np.float32(low)
        parts.append(banded_histograms(relative * np.float32(1 / (high - low)), BINS))
    return np.concatenate(parts, axis=1)
