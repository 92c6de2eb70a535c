"""What member networks make of pictures that they have not learnt from; scales of features."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Parameters = dict[str, Floats]
Chosen = NDArray[np.bool_]
Places = NDArray[np.int64]
Moments = tuple[Floats, Floats]


def judged_rows(
    rows: Floats, labels: NDArray[np.int64], parameters: Parameters, n_classes: int
) -> tuple[Floats, Floats]:
    """Run a member network on pictures that it has not learnt from.

    Parameters
    ----------
    rows : ndarray of float32, shape (m, n_0)
        Standardised features.
    labels : ndarray of int, shape (m,)
        Classes.
    parameters : dict
        The network's.
    n_classes : int
        Number of classes, K.

    Returns
    -------
    logits : ndarray of float32, shape (m, n_L)
        One for two classes, else K.
    norms : ndarray of float32, shape (m,)
        The norm of each picture's own gradient.
    """
    from backlit.model import model_forward
    from backlit.per_example import per_example_gradient_norms

    if not len(rows):
        n_L = 1 if n_classes == 2 else n_classes
        return np.empty((0, n_L), np.float32), np.empty(0, np.float32)
    hidden = len(parameters) // 2 - 1
    activations = ("relu",) * hidden + ("sigmoid" if n_classes == 2 else "softmax",)
    AL, caches = model_forward(rows.T, parameters, activations=activations)
    Y = labels if n_classes == 2 else np.eye(n_classes)[:, labels]
    norms = per_example_gradient_norms(AL, Y, caches, activations=activations)
    logits: Floats = caches[-1].activation_cache.T
    return logits, norms.total


def deviations_to_scale(squares: NDArray[np.float64], count: int) -> Floats:
    """Return a scale from summed squares of deviations; features that hardly vary get a floor.

    Parameters
    ----------
    squares : ndarray of float64, shape (n_0,)
    count : int
        Rows that they were summed over.

    Returns
    -------
    ndarray of float32, shape (n_0,)
    """
    return np.maximum(np.sqrt(squares / count), _SCALE_FLOOR).astype(np.float32)


_SCALE_FLOOR = 1e-3  # a feature that hardly varies in training is not blown up
