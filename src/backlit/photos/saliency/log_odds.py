"""The log-odds of a class, and their gradient back to the network's input."""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.classifier import PhotoClassifier

Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]


def log_odds_backward(
    classifier: PhotoClassifier, A0: Floats32, label: int
) -> tuple[Floats, Floats]:
    """Compute ``log(p / (1 - p))`` of a class, and its gradient with respect to the input.

    Parameters
    ----------
    classifier : PhotoClassifier
    A0 : ndarray of float32, shape (n_0, m)
        Standardised features; examples are columns.
    label : int
        The class that p is the probability of.

    Returns
    -------
    log_odds : ndarray of float64, shape (m,)
    dA0 : ndarray of float64, shape (n_0, m)
        From :func:`backlit.model.backward_from_logits`.
    """
    from backlit.model import backward_from_logits, model_forward

    activations = classifier.activations
    _, caches = model_forward(A0, classifier.parameters, activations=activations)
    Z = caches[-1].activation_cache.astype(np.float64)  # (n_L, m)
    if len(Z) == 1:
        # log-odds of class 1 are Z, of class 0 are -Z, so now
        sign = 1.0 if label == 1 else -1.0
        log_odds, dZ = sign * Z[0], np.full_like(Z, sign)
    else:
        # log-odds are Z_k - log sum over the others of exp Z_j, so now dZ_k = 1 and
        # dZ_j = -softmax of the others
        others = np.delete(Z, label, axis=0)
        total = np.logaddexp.reduce(others, axis=0)
        log_odds = Z[label] - total
        dZ = np.insert(-np.exp(others - total), label, 1.0, axis=0)
    grads = backward_from_logits(dZ.astype(A0.dtype), caches, activations=activations)
    return log_odds, grads["dA0"].astype(np.float64)
