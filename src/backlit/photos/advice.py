"""What a training run should tell its user about the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.photos.evaluation import Evaluation

Floats = NDArray[np.floating]

FEW = 40
"""Pictures of a class below which there are too few."""

SURE = 0.95
"""Probability of another class from which on a label is suspected."""

_SHARE = 0.02  # of a class: suspects beyond this are worth a word


@dataclass(frozen=True)
class Suspect:
    """A picture whose label may be wrong.

    Attributes
    ----------
    path : str
        The picture.
    label, likely : str
        Its label, and the class that it looks like.
    probability : float
        Of that class, by networks that were not trained on the picture.
    """

    path: str
    label: str
    likely: str
    probability: float


def few_pictures(labels: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """Name the classes that have too few pictures.

    Parameters
    ----------
    labels : ndarray of int, shape (m,)
        Classes of the training pictures.
    classes : sequence of str
        Names.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    counts = np.bincount(labels, minlength=len(classes))
    poor = [
        f"{count} of {name}" for name, count in zip(classes, counts, strict=True) if count < FEW
    ]
    if not poor:
        return []
    return [f"few pictures: {', '.join(poor)}; {FEW} or more of each class are advisable."]


def learnt_nothing(evaluation: Evaluation) -> bool:
    """Tell whether a network tells classes apart no better than by chance.

    Parameters
    ----------
    evaluation : Evaluation
        Of pictures that it has not learnt from.

    Returns
    -------
    bool
        Whether the balanced accuracy, less two of its standard errors, is no more than 1 / K. The
        error is that of K independent shares, each with two pseudo-observations at one half.
    """
    totals = evaluation.confusion.sum(axis=1).astype(float)
    right = np.diag(evaluation.confusion).astype(float)
    present = totals > 0
    if not present.any():
        return False
    shares = (right[present] + 1) / (totals[present] + 2)
    error = np.sqrt((shares * (1 - shares) / (totals[present] + 2)).sum()) / present.sum()
    return bool(evaluation.balanced_accuracy - 2 * error <= 1 / len(evaluation.classes))


def nothing_learnt(evaluation: Evaluation) -> list[str]:
    """Say so where a network has learnt nothing.

    Parameters
    ----------
    evaluation : Evaluation
        Of pictures that it has not learnt from.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    if not learnt_nothing(evaluation):
        return []
    return [
        f"the network has learnt nothing that could be shown: on pictures that it has not learnt "
        f"from it is right in {100 * evaluation.balanced_accuracy:.0f} % of each class on average, "
        f"and guessing would be in {100 / len(evaluation.classes):.0f} %. More pictures may help, "
        "or --backbone."
    ]


def suspects(
    paths: Sequence[str], labels: NDArray[np.int64], probabilities: Floats, classes: Sequence[str]
) -> list[Suspect]:
    """Find pictures that look like another class than they are labelled with.

    Parameters
    ----------
    paths : sequence of str
        The pictures.
    labels : ndarray of int, shape (m,)
        Their labels.
    probabilities : ndarray, shape (m, K)
        By networks that were not trained on them.
    classes : sequence of str
        Names.

    Returns
    -------
    list of Suspect
        The surest first.
    """
    guess = probabilities.argmax(axis=1)
    rows = np.flatnonzero((guess != labels) & (probabilities.max(axis=1) >= SURE))
    found = [
        Suspect(
            paths[row],
            classes[int(labels[row])],
            classes[int(guess[row])],
            float(probabilities[row].max()),
        )
        for row in rows.tolist()
    ]
    return sorted(found, key=lambda one: (-one.probability, one.path))


def suspected_labels(
    found: Sequence[Suspect], labels: NDArray[np.int64], classes: Sequence[str]
) -> list[str]:
    """Say which classes look mislabelled.

    Parameters
    ----------
    found : sequence of Suspect
        As :func:`suspects` gives them.
    labels : ndarray of int, shape (m,)
        All labels.
    classes : sequence of str
        Names.

    Returns
    -------
    list of str
        A sentence for each class of which more than 2 % (and more than one picture) are suspected.
    """
    notes = []
    for label, name in enumerate(classes):
        mine = [one for one in found if one.label == name]
        total = int(np.count_nonzero(labels == label))
        if len(mine) > max(1.0, _SHARE * total):
            notes.append(
                f"{len(mine)} of {total} pictures of {name} look mislabelled; the surest: "
                f"{mine[0].path} looks like {mine[0].likely} ({100 * mine[0].probability:.0f} %)."
            )
    return notes


def threshold_accuracy(
    train: tuple[Floats, NDArray[np.int64]], judge: tuple[Floats, NDArray[np.int64]]
) -> float:
    """Accuracy of the best brightness threshold of the training pictures on others.

    Parameters
    ----------
    train, judge : (brightness (m,), labels (m,))
        Of two classes, 0 and 1; see :func:`backlit.photos.duplicates.brightness`.

    Returns
    -------
    float
    """
    values, labels = train
    order = np.argsort(values)
    ones = np.concatenate([[0], np.cumsum(labels[order])])
    below = np.arange(len(values) + 1)
    # Right answers if those below are class 1, and the others class 0.
    right = ones + (len(labels) - below - (ones[-1] - ones))
    best_low, best_high = int(right.argmax()), int(right.argmin())
    inverted = len(labels) - right[best_high] > right[best_low]
    cut = best_high if inverted else best_low
    edges = np.concatenate([[-np.inf], values[order], [np.inf]])
    guess = judge[0] < (edges[cut] + edges[cut + 1]) / 2
    return float(np.mean((guess != inverted) == judge[1]))


def no_better_than_threshold(evaluation: Evaluation, threshold: float) -> list[str]:
    """Say so where a network is not clearly better than a brightness threshold.

    Parameters
    ----------
    evaluation : Evaluation
        The network's.
    threshold : float
        Accuracy of the threshold on the same pictures.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    if not evaluation.n or evaluation.accuracy > threshold or evaluation.accuracy == 1.0:
        return []
    low, high = evaluation.interval
    return [
        f"no better than a brightness threshold: {100 * evaluation.accuracy:.1f} % "
        f"({100 * low:.1f} to {100 * high:.1f}) against {100 * threshold:.1f} %."
    ]


def duplicate_notes(twins: Sequence[tuple[str, str, str]]) -> list[str]:
    """Say which splits have near-duplicates in the training split.

    Parameters
    ----------
    twins : sequence of (str, str, str)
        Split, picture in it, near-duplicate of it in the training split.

    Returns
    -------
    list of str
        A sentence for each split.
    """
    notes = []
    for split in dict.fromkeys(split for split, _, _ in twins):
        own = [twin for twin in twins if twin[0] == split]
        notes.append(
            f"{len(own)} pictures of the {split} split have a near-duplicate in the training "
            f"split, as {own[0][1]} and {own[0][2]}: its accuracy flatters."
        )
    return notes
