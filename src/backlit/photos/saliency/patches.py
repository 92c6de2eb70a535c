"""The backward of the patches' activations."""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.patches import SIDE, STEP, Dictionary
from backlit.photos.saliency.pixels import PixelGradients, PixelValues

Floats = NDArray[np.float64]

_NEAREST = 1e-6  # square of the least distance
_CODE = 1 / 255


def patches_backward(
    dfeatures: Floats, values: PixelValues, dictionary: Dictionary, gradients: PixelGradients
) -> None:
    """Add the gradient of the patches' activations to that of the pixels.

    An activation of exactly 0 takes no gradient. The root of a black pixel has an infinite
    derivative; in its place stands the slope to the first of the 255 steps, sqrt(255).

    Parameters
    ----------
    dfeatures : ndarray, shape (m, 256)
        Gradient with respect to what ``patch_activations`` gives.
    values : PixelValues
    dictionary : Dictionary
    gradients : PixelGradients
        Its planes are added to.
    """
    planes = values.planes
    entries = dictionary.entries.astype(np.float64)
    directions = dictionary.directions.astype(np.float64)
    d = dfeatures.reshape(len(dfeatures), 2, len(entries))
    roots = np.sqrt(planes)
    windows = np.lib.stride_tricks.sliding_window_view(roots, (SIDE, SIDE), axis=(2, 3))
    windows = windows[:, :, ::STEP, ::STEP]  # (3, m, a, b, SIDE, SIDE)
    _, m, a, b = windows.shape[:4]
    droots = np.zeros_like(planes)
    for row in range(a):  # one row of patches at a time, so that little memory is needed
        patches = windows[:, :, row].transpose(1, 2, 0, 3, 4).reshape(m, b, -1)
        half, in_half = (0, a // 2) if row < a // 2 else (1, a - a // 2)
        dactivation = np.broadcast_to(d[:, half, None] / (in_half * b), (m, b, len(entries)))
        dpatches = _activations_backward(
            dactivation, patches - dictionary.mean, directions, entries
        )
        for column in range(b):
            here = dpatches[:, column].reshape(m, 3, SIDE, SIDE).swapaxes(0, 1)
            top, left = row * STEP, column * STEP
            droots[:, :, top : top + SIDE, left : left + SIDE] += here
    # forward was root = sqrt(plane), so now dplane = droot / (2 root)
    slope = np.where(planes > 0, 0.5 / np.where(planes > 0, roots, 1), np.sqrt(1 / _CODE))
    gradients.planes[...] += droots * slope


def _activations_backward(
    dactivation: Floats, patches: Floats, directions: Floats, entries: Floats
) -> Floats:
    """Take the gradient of a row's activations (m, b, 128) to its patches (m, b, 192)."""
    points = patches @ directions  # (m, b, 48)
    square = np.square(points[:, :, None, :] - entries).sum(axis=3)
    distance = np.sqrt(np.maximum(square, _NEAREST))
    # forward was activation_k = max(mean distance - distance_k, 0), so now
    active = np.where(distance.mean(axis=2, keepdims=True) > distance, dactivation, 0)
    ddistance = active.mean(axis=2, keepdims=True) - active
    # forward was distance = sqrt(max(square, 1e-6)), so now
    dsquare = np.where(square > _NEAREST, ddistance / (2 * distance), 0)
    # forward was square_k = ||point - entry_k||^2 and point = (patch - mean) @ directions, so now
    dpoints = 2 * (points * dsquare.sum(axis=2, keepdims=True) - dsquare @ entries)
    dpatches: Floats = dpoints @ directions.T
    return dpatches
