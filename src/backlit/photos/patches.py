"""How much a picture's small patches look like each of a dictionary of patches.

Patches of 8 x 8 pixels, every fourth pixel, are projected onto the dictionary's principal
directions and compared with its entries, which k-means has found among patches of many pictures.
An entry's activation is how much nearer it is than the mean entry, or 0; activations are averaged
over the upper and the lower half.

A. Coates, H. Lee, A. Y. Ng, "An analysis of single-layer networks in unsupervised feature
learning", AISTATS 2011.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backlit.formats.tensors import load_tensors

Floats = NDArray[np.float32]

DICTIONARY = Path(__file__).with_name("patches.safetensors")
"""The dictionary that is part of the package."""

SIDE = 8
STEP = 4
ENTRIES = 200


@dataclass(frozen=True)
class Dictionary:
    """What patches are compared with.

    Attributes
    ----------
    mean : ndarray of float32, shape (192,)
        Mean patch: roots of the pixels, all red ones first, then green, then blue.
    directions : ndarray of float32, shape (192, 60)
        Principal directions, scaled to unit variance.
    entries : ndarray of float32, shape (200, 60)
        Projected typical patches.
    """

    mean: Floats
    directions: Floats
    entries: Floats


@cache
def load_dictionary() -> Dictionary:
    """Read the dictionary that is part of the package.

    Returns
    -------
    Dictionary
    """
    tensors, _ = load_tensors(DICTIONARY)
    return Dictionary(tensors["mean"], tensors["directions"], tensors["entries"])


def patch_names() -> list[str]:
    """Name what :func:`patch_activations` gives, in its order."""
    return [f"patch {entry}, {half}" for half in ("upper", "lower") for entry in range(ENTRIES)]


def patch_activations(planes: Floats, dictionary: Dictionary) -> Floats:
    """Average the dictionary's activations over each half of the pictures.

    Parameters
    ----------
    planes : ndarray of float32, shape (3, m, rows, columns)
        Red, green and blue in [0, 1].
    dictionary : Dictionary

    Returns
    -------
    ndarray of float32, shape (m, 400)
        ``mean over patches of max(mean_k d_k - d_k, 0)``, d_k the distance to entry k.
    """
    patches, n_rows = take_patches(planes)
    m, count, _ = patches.shape
    # Products of one picture at a time: their rounding then does not depend on the batch.
    points = np.matmul(patches - dictionary.mean, dictionary.directions)  # (m, count, 60)
    distance = np.matmul(points, -2 * dictionary.entries.T)  # (m, count, 200)
    distance += np.einsum("mcd,mcd->mc", points, points)[:, :, None]
    distance += np.einsum("kd,kd->k", dictionary.entries, dictionary.entries)
    np.sqrt(np.maximum(distance, np.float32(1e-6), out=distance), out=distance)
    activation = np.maximum(distance.mean(axis=2, keepdims=True) - distance, 0)
    rows = activation.reshape(m, n_rows, count // n_rows, -1)
    upper = n_rows // 2
    halves = [rows[:, :upper].mean(axis=(1, 2)), rows[:, upper:].mean(axis=(1, 2))]
    return np.concatenate(halves, axis=1)


def take_patches(planes: Floats) -> tuple[Floats, int]:
    """Cut pictures into overlapping patches.

    Parameters
    ----------
    planes : ndarray of float32, shape (3, m, rows, columns)
        Red, green and blue in [0, 1].

    Returns
    -------
    patches : ndarray of float32, shape (m, patches, 192)
        Roots of the pixels.
    n_rows : int
        Rows of patches.
    """
    roots = np.sqrt(planes)
    windows = np.lib.stride_tricks.sliding_window_view(roots, (SIDE, SIDE), axis=(2, 3))
    windows = windows[:, :, ::STEP, ::STEP]  # (3, m, a, b, SIDE, SIDE)
    _, m, a, b = windows.shape[:4]
    patches = windows.transpose(1, 2, 3, 0, 4, 5).reshape(m, a * b, -1)
    return patches, a
