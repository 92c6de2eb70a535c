"""Weights for classes of very different sizes, so that the small ones are learnt, too."""

import numpy as np
from numpy.typing import NDArray

UNBALANCED = 5.0
"""Times that the largest class is as large as the smallest from which on classes are weighted."""


def class_weights(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float32] | None:
    """Weigh classes by their sizes where those differ a lot.

    Parameters
    ----------
    labels : ndarray of int, shape (m,)
        Classes of the training pictures.
    n_classes : int

    Returns
    -------
    ndarray of float32, shape (n_classes,), or None
        ``m / (K n_k)``: each class has the same weight in all, and the mean over pictures is 1.
        None where the smallest class is at least a fifth of the largest.
    """
    counts = np.bincount(labels, minlength=n_classes)
    present = counts[counts > 0]
    if len(present) < 2 or present.max() <= UNBALANCED * present.min():
        return None
    weights = len(labels) / (len(present) * np.maximum(counts, 1))
    return weights.astype(np.float32)
