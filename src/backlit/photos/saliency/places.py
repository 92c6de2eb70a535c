"""Where in the picture the shapes and the encoder's vector push.

A feature of the shapes belongs to a cell. An encoder's vector v is, as a rule, the mean of its last
feature map M over the H W places, so that its part of the log-odds falls to these without rest:
with the pushes ``g_c tanh(z_c)``, ``z_c = (v_c - mean_c) / scale_c``, place (y, x) has

    sum over c of g_c tanh(z_c) / (v_c - mean_c) * (M_c(y, x) - mean_c) / (H W),

the feature map times its gradient, seen from the average training picture. Where the vector is no
such mean, patches of the picture are covered one after the other, and a patch has what the log-odds
lose by it; these do not add up.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.photos.backbone.running import Encoder
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.features import SIDE, feature_names
from backlit.photos.saliency.log_odds import log_odds_backward
from backlit.photos.saliency.reasons import Pushes
from backlit.photos.shapes import CELLS, DIRECTIONS

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

BY_MAP = "its last feature map"
BY_COVERING = "covering patches of the picture"

PATCHES = 7
"""Patches along each side that are covered."""


@dataclass(frozen=True)
class Placed:
    """Parts of the log-odds by place.

    Attributes
    ----------
    grid : ndarray of float64, shape (rows, columns)
        Positive where a place speaks for the class.
    by : str
        How it was found: BY_MAP or BY_COVERING.
    """

    grid: Floats
    by: str


def shapes_by_cell(classifier: PhotoClassifier, pushes: Pushes) -> Floats:
    """Add up what the shapes of each cell push: (CELLS, CELLS)."""
    own = pushes.values[len(feature_names()) : classifier.n_square]
    cells: Floats = own.reshape(CELLS, CELLS, DIRECTIONS).sum(axis=2)
    return cells


def encoder_by_place(
    classifier: PhotoClassifier,
    encoder: Encoder,
    wide: Pixels,
    extracted: NDArray[np.float32],
    pushes: Pushes,
    label: int,
) -> Placed:
    """Find out where in the picture the encoder's vector pushes.

    Parameters
    ----------
    classifier : PhotoClassifier
    encoder : Encoder
        Its encoder.
    wide : ndarray of uint8, shape (height, width, 3)
        The picture, reduced for the encoder.
    extracted : ndarray of float32, shape (n_0,)
        The picture's input, not yet scaled.
    pushes : Pushes
        Of its numbers.
    label : int
        The class.

    Returns
    -------
    Placed
    """
    found = encoder.feature_map(wide)
    if found is None:
        return Placed(_by_covering(classifier, encoder, wide, extracted, label), BY_COVERING)
    own = slice(classifier.n_square, None)
    mean, scale = (one[own].astype(np.float64) for one in (classifier.mean, classifier.scale))
    z = (extracted[own] - mean) / scale
    safe = np.where(z == 0, 1, z)
    slopes = pushes.gradients[own] * np.where(z == 0, 1, np.tanh(safe) / safe) / scale
    places = found.astype(np.float64) - mean[:, None, None]
    return Placed(np.tensordot(slopes, places, 1) / places[0].size, BY_MAP)


def _by_covering(
    classifier: PhotoClassifier,
    encoder: Encoder,
    wide: Pixels,
    extracted: NDArray[np.float32],
    label: int,
) -> Floats:
    """Return what the log-odds lose where a patch has the picture's mean colour."""
    rows = np.linspace(0, wide.shape[0], PATCHES + 1).astype(int)
    columns = np.linspace(0, wide.shape[1], PATCHES + 1).astype(int)
    mean = np.rint(wide.mean(axis=(0, 1))).astype(np.uint8)
    inputs = np.repeat(extracted[None], PATCHES * PATCHES + 1, axis=0)
    for place in range(PATCHES * PATCHES):
        row, column = divmod(place, PATCHES)
        covered = wide.copy()
        covered[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = mean
        inputs[place + 1, classifier.n_square :] = encoder.vectors(covered[None])[0]
    log_odds, _ = log_odds_backward(classifier, classifier.standardise(inputs).T, label)
    lost: Floats = (log_odds[0] - log_odds[1:]).reshape(PATCHES, PATCHES)
    return lost


def spread(grid: Floats) -> Floats:
    """Spread what lies on a grid over SIDE x SIDE pixels, smoothly; the sum stays."""
    from PIL import Image

    small = Image.fromarray(grid.astype(np.float32))
    large = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float64)
    share = large * (grid.size / SIDE**2)
    total: Floats = share + (grid.sum() - share.sum()) / SIDE**2
    return total
