"""Which groups of features push the log-odds which way, in numbers that add up.

Integrated gradients (M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks",
ICML 2017) along the straight way from the average training picture's features, where the network's
input is 0, to this picture's: ``A0_i * mean over t of dA0_i(t A0)``. They add up to the difference
of the log-odds at the two ends.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.photos.classifier import PhotoClassifier
from backlit.photos.saliency.input_names import input_names
from backlit.photos.saliency.log_odds import log_odds_backward
from backlit.photos.saliency.words import describe, group_of

Floats32 = NDArray[np.float32]

STEPS = 128
"""Points of the way at which the gradient is taken."""


@dataclass(frozen=True)
class Reason:
    """What a group of features says.

    Attributes
    ----------
    group : str
        Which.
    push : float
        What it adds to the log-odds of the label; negative: it speaks against it.
    words : str
        Its feature that pushes most in that direction, in words.
    deviations : float
        That feature's value, in standard deviations from the training pictures' average.
    """

    group: str
    push: float
    words: str
    deviations: float


@dataclass(frozen=True)
class Pushes:
    """What each number of the input adds to the log-odds of a class.

    Attributes
    ----------
    start : float
        Log-odds of the average training picture's features.
    values : ndarray of float64, shape (n_0,)
        The pushes; ``start`` and all of them add up to the picture's log-odds, but for the error
        of the sum over STEPS points.
    gradients : ndarray of float64, shape (n_0,)
        Mean gradient of the log-odds on the way, of which ``values`` is A0 times.
    """

    start: float
    values: NDArray[np.float64]
    gradients: NDArray[np.float64]


def push_of_each(classifier: PhotoClassifier, extracted: NDArray[np.float32], label: int) -> Pushes:
    """Attribute a class's log-odds to the numbers of the input.

    Parameters
    ----------
    classifier : PhotoClassifier
    extracted : ndarray of float32, shape (n_0,)
        The picture's input, not yet scaled.
    label : int
        The class.

    Returns
    -------
    Pushes
    """
    A0: Floats32 = classifier.standardise(extracted[None]).T  # (n_0, 1)
    way = ((np.arange(STEPS) + 0.5) / STEPS).astype(np.float32)[None]
    log_odds, _ = log_odds_backward(classifier, np.zeros_like(A0), label)
    _, dA0 = log_odds_backward(classifier, A0 * way, label)
    gradients = dA0.mean(axis=1)
    return Pushes(float(log_odds[0]), A0[:, 0] * gradients, gradients)


def reasons(
    classifier: PhotoClassifier, extracted: NDArray[np.float32], pushes: Pushes
) -> list[Reason]:
    """Gather pushes into groups of features.

    Parameters
    ----------
    classifier : PhotoClassifier
    extracted : ndarray of float32, shape (n_0,)
        The picture's input, not yet scaled.
    pushes : Pushes
        Of its numbers.

    Returns
    -------
    list of Reason
        One a group, the strongest push first.
    """
    deviations = (extracted - classifier.mean) / classifier.scale
    names = input_names(classifier)
    members: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        members.setdefault(group_of(name), []).append(place)
    found = []
    for group, places in members.items():
        own = pushes.values[places]
        total = float(own.sum())
        first = places[int(np.argmax(own if total >= 0 else -own))]
        value = float(deviations[first])
        # "textures in the upper half: ... in the upper half" says it twice.
        _, _, where = group.partition(" in the ")
        words = describe(names[first], value).removesuffix(f" in the {where}")
        found.append(Reason(group, total, words, value))
    return sorted(found, key=lambda one: -abs(one.push))
