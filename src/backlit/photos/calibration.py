"""Probabilities that mean what they say: one temperature, fitted to pictures not trained on.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_RANGE = (np.log(0.25), np.log(20.0))


def log_probabilities(logits: Floats) -> NDArray[np.float64]:
    """Logarithms of the classes' probabilities.

    Parameters
    ----------
    logits : ndarray, shape (m, K), or (m, 1) for two classes
        Outputs of the last LINEAR step; a single one belongs to the second class.

    Returns
    -------
    ndarray of float64, shape (m, max(K, 2))
        log softmax, or log sigmoid(-z) and log sigmoid(z).
    """
    Z = np.asarray(logits, dtype=np.float64)
    if Z.shape[1] == 1:
        return np.hstack([-np.logaddexp(0.0, Z), -np.logaddexp(0.0, -Z)])
    result: NDArray[np.float64] = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    return result


def fit_temperature(logits: Floats, labels: NDArray[np.integer]) -> float:
    """Find the temperature T that makes ``logits / T`` likeliest.

    Parameters
    ----------
    logits : ndarray, shape (m, K) or (m, 1)
        Of pictures that the network was not trained on.
    labels : ndarray of int, shape (m,)
        Their classes.

    Returns
    -------
    float
        Between 0.25 and 20, by golden-section search of the mean cross-entropy over log T, which
        has one minimum. Two pseudo-examples at even odds keep it finite where nothing is wrong.
    """
    rows = np.arange(len(labels))
    Z = np.asarray(logits, dtype=np.float64)
    spread = np.median(np.abs(Z).max(axis=1)) if len(Z) else 0.0

    def cost(log_t: float) -> float:
        T = np.exp(log_t)
        likelihood = log_probabilities(Z / T)[rows, labels].sum()
        # The pseudo-examples: one right, one wrong, at the typical confidence.
        pseudo = log_probabilities(np.array([[spread / T], [-spread / T]]))[:, 1].sum()
        return float(-likelihood - pseudo)

    low, high = _RANGE
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if cost(left) < cost(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2.0))


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of about one confidence.

    Attributes
    ----------
    n : int
        How many.
    confidence, accuracy : float
        Mean probability of the predicted class, and share of right predictions.
    """

    n: int
    confidence: float
    accuracy: float


def reliability(
    labels: NDArray[np.integer], probabilities: Floats, bins: int = 10
) -> list[ReliabilityBin]:
    """Compare how sure predictions are with how right they are.

    Parameters
    ----------
    labels : ndarray of int, shape (m,)
        True classes.
    probabilities : ndarray, shape (m, K)
        Predicted ones.
    bins : int, optional
        Number of equal steps of confidence from 1/K to 1.

    Returns
    -------
    list of ReliabilityBin
        Those that are not empty, by rising confidence.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    least = 1.0 / probabilities.shape[1]
    place = np.clip(((confidence - least) / (1.0 - least) * bins).astype(int), 0, bins - 1)
    found = []
    for number in range(bins):
        mine = place == number
        if mine.any():
            found.append(
                ReliabilityBin(
                    int(mine.sum()), float(confidence[mine].mean()), float(right[mine].mean())
                )
            )
    return found


def expected_calibration_error(
    labels: NDArray[np.integer], probabilities: Floats, bins: int = 10
) -> float:
    """Mean distance between confidence and accuracy over :func:`reliability`'s bins.

    Parameters
    ----------
    labels, probabilities, bins
        As for :func:`reliability`.

    Returns
    -------
    float
        ``sum_b n_b / m * abs(accuracy_b - confidence_b)``; NaN where there are no pictures.
    """
    if not len(labels):
        return float("nan")
    rows = reliability(labels, probabilities, bins)
    return sum(row.n * abs(row.accuracy - row.confidence) for row in rows) / len(labels)
