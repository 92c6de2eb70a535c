"""How much a picture's small patches look like each of a dictionary of patches.

Patches of 8 x 8 pixels, every fourth pixel, are described by their lowest cosine coefficients, each
scaled to unit variance, in three colours: all of red, green and blue, red against blue, and green
against both. These are close to the principal directions of photographs' patches, and separable,
so that the coefficients of all patches take few operations (see ``compiled.patches``). They are
compared with the dictionary's entries, which k-means has found among patches of many pictures. An
entry's activation is how much nearer it is than the mean entry, or 0; activations are averaged
over the upper and the lower half.

A. Coates, H. Lee, A. Y. Ng, "An analysis of single-layer networks in unsupervised feature
learning", AISTATS 2011. N. Ahmed, T. Natarajan, K. R. Rao, "Discrete cosine transform", IEEE
Transactions on Computers, 1974.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backlit.formats.tensors import load_tensors

Floats = NDArray[np.float32]

DICTIONARY = Path(__file__).with_name("patches.safetensors")
"""The dictionary that is part of the package."""

SIDE = 8
STEP = 4
ENTRIES = 128
COEFFICIENTS = 48


@dataclass(frozen=True)
class Dictionary:
    """What patches are compared with.

    Attributes
    ----------
    mean : ndarray of float32, shape (192,)
        Mean patch: roots of the pixels, all red ones first, then green, then blue.
    orders : ndarray of int, shape (48, 3)
        Which coefficients: the colour, the frequency downwards and the frequency across.
    scale : ndarray of float32, shape (48,)
        What each is multiplied by.
    entries : ndarray of float32, shape (128, 48)
        Coefficients of typical patches.
    """

    mean: Floats
    orders: NDArray[np.int64]
    scale: Floats
    entries: Floats

    @cached_property
    def directions(self) -> Floats:
        """Patches that give the coefficients, ``(patch - mean) @ directions``: (192, 48)."""
        found = all_directions()[:, *self.orders.T] * self.scale
        return found.astype(np.float32)


@cache
def cosines() -> NDArray[np.float64]:
    """Return the orthonormal cosine transform of 8 numbers: (frequency, place)."""
    place = np.arange(SIDE)
    angles = np.pi / SIDE * (place + 0.5) * place[:, None]
    waves: NDArray[np.float64] = np.cos(angles) * np.sqrt(2 / SIDE)
    waves[0] = np.sqrt(1 / SIDE)
    return waves


@cache
def colours() -> NDArray[np.float64]:
    """Return the three colours as shares of red, green and blue: rows, orthonormal."""
    found = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def all_directions() -> NDArray[np.float64]:
    """Return the patches of all coefficients: (192, colour, downwards, across), orthonormal."""
    waves = cosines()
    patches: NDArray[np.float64] = np.einsum("ck,ui,vj->kijcuv", colours(), waves, waves)
    return patches.reshape(-1, 3, SIDE, SIDE)


@cache
def load_dictionary() -> Dictionary:
    """Read the dictionary that is part of the package.

    Returns
    -------
    Dictionary
    """
    tensors, description = load_tensors(DICTIONARY)
    orders = np.array(description["orders"], dtype=np.int64)
    return Dictionary(tensors["mean"], orders, tensors["scale"], tensors["entries"])


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
    ndarray of float32, shape (m, 256)
        ``mean over patches of max(mean_k d_k - d_k, 0)``, d_k the distance to entry k.
    """
    roots = np.sqrt(planes)
    windows = _windows(roots)  # (3, m, a, b, SIDE, SIDE)
    _, m, n_rows, n_columns = windows.shape[:4]
    count, entries = n_rows * n_columns, len(dictionary.entries)
    lifted = _lift_entries(dictionary)
    offset = dictionary.mean @ dictionary.directions
    halves = _half_means(n_rows, n_columns)
    mean_weights = np.full(entries, 1 / entries, dtype=np.float32)
    patches = np.empty((n_rows, n_columns, 3, SIDE, SIDE), dtype=np.float32)
    points = np.zeros((count, len(lifted)), dtype=np.float32)
    points[:, -1] = 1
    projected = points[:, : len(offset)]
    distance = np.empty((count, entries), dtype=np.float32)
    activations = np.empty((m, 2, entries), dtype=np.float32)
    # One picture at a time: it stays in the cache, and the rounding of its products does not
    # depend on the batch.
    for one, out in enumerate(activations):
        np.copyto(patches, windows[:, one].transpose(1, 2, 0, 3, 4))
        np.matmul(patches.reshape(count, -1), dictionary.directions, out=projected)
        np.subtract(projected, offset, out=projected)
        np.einsum("cd,cd->c", projected, projected, out=points[:, -2])
        np.matmul(points, lifted, out=distance)  # squared
        np.maximum(distance, np.float32(1e-6), out=distance)
        np.sqrt(distance, out=distance)
        np.subtract((distance @ mean_weights)[:, None], distance, out=distance)
        activation = np.maximum(distance, 0, out=distance)
        np.matmul(halves, activation, out=out)
    return activations.reshape(m, -1)


def _lift_entries(dictionary: Dictionary) -> Floats:
    """Matrix that turns rows ``p, 0, ..., |p|^2, 1`` into squared distances to the entries.

    Its height is rounded up to a multiple of 16: such products are quicker.
    """
    entries = dictionary.entries
    length = entries.shape[1]
    lifted = np.zeros((-(-(length + 2) // 16) * 16, len(entries)), dtype=np.float32)
    lifted[:length] = -2 * entries.T
    lifted[-2] = 1
    lifted[-1] = np.einsum("kd,kd->k", entries, entries)
    return lifted


@cache
def _half_means(n_rows: int, n_columns: int) -> Floats:
    """Weights that average over the patches of the upper and of the lower half: (2, patches)."""
    lower = np.arange(n_rows) >= n_rows // 2
    weights = np.stack([~lower, lower]).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True) * np.float32(n_columns)
    return np.repeat(weights, n_columns, axis=1)


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
    windows = _windows(np.sqrt(planes))
    _, m, a, b = windows.shape[:4]
    patches = windows.transpose(1, 2, 3, 0, 4, 5).reshape(m, a * b, -1)
    return patches, a


def _windows(roots: Floats) -> Floats:
    """View of (3, m, rows, columns) as (3, m, a, b, SIDE, SIDE)."""
    windows = np.lib.stride_tricks.sliding_window_view(roots, (SIDE, SIDE), axis=(2, 3))
    return windows[:, :, ::STEP, ::STEP]
