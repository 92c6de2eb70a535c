"""Why a picture has its label: the label, reasons in words, and a map of the picture."""

import os
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backlit.errors import UnknownNameError
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.features import feature_names
from backlit.photos.reading import WHOLE, read_photo
from backlit.photos.saliency.log_odds import log_odds_backward
from backlit.photos.saliency.maps import Saliency, saliency
from backlit.photos.saliency.places import Placed, encoder_by_place, shapes_by_cell, spread
from backlit.photos.saliency.reasons import Reason, push_of_each, reasons

_AT_LEAST = 1000  # pixels of a side that are enough to look at


@dataclass(frozen=True)
class Explanation:
    """What a picture shows, and why the network says so.

    Attributes
    ----------
    path : str
        The picture; empty where it was in memory.
    picture : ndarray of uint8, shape (height, width, 3)
        As it was read, possibly reduced.
    classes : tuple of str
        Names.
    probabilities : tuple of float
        One a class.
    label : str
        The class that is explained.
    log_odds : float
        ``log(p / (1 - p))`` of it.
    start : float
        The same of the average training picture's features.
    reasons : list of Reason
        Groups of features, the strongest push first; with ``start`` they add up to ``log_odds``.
    saliency : Saliency
        The gradient at the pixels, and the map; shapes and encoder are in the map alone.
    encoder : Placed or None
        Where the encoder's part comes from; None where the model has none.
    """

    path: str
    picture: NDArray[np.uint8]
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    label: str
    log_odds: float
    start: float
    reasons: list[Reason]
    saliency: Saliency
    encoder: Placed | None = None

    @property
    def probability(self) -> float:
        """Probability of the class that is explained."""
        return self.probabilities[self.classes.index(self.label)]


def explain(
    photo: str | os.PathLike[str] | NDArray[np.uint8],
    model: str | os.PathLike[str] | PhotoClassifier | None = None,
    *,
    label: str | None = None,
) -> Explanation:
    """Say what a picture shows, and why the network says so.

    Parameters
    ----------
    photo : path, or ndarray of uint8, shape (height, width, 3)
        The picture.
    model : path or PhotoClassifier, optional
        A model file, or what was loaded from one; by default the model for day and night that is
        part of the package.
    label : str, optional
        The class to explain; by default the likeliest.

    Returns
    -------
    Explanation

    Raises
    ------
    PhotoError
        Where the picture cannot be read.
    ModelFileError
        Where the model cannot.
    UnknownNameError
        Where the model has no such class.
    """
    if model is None:
        model = PhotoClassifier.load()
    classifier = model if isinstance(model, PhotoClassifier) else PhotoClassifier.load(model)
    if label is not None and label not in classifier.classes:
        raise UnknownNameError(
            f"explain: label is {label!r}, which the model does not know; its classes are "
            f"{', '.join(classifier.classes)}."
        )
    reader = classifier.reader()
    if isinstance(photo, np.ndarray):
        path, picture = "", photo
        reduced = reader.read_crops(photo, (WHOLE,), (WHOLE,))
    else:
        path = os.fspath(photo)
        reduced = reader.read(path)  # just what predict sees
        picture = read_photo(path, _AT_LEAST)
    extracted = reader.rows([reduced])
    probabilities = classifier.probabilities_of_features(extracted)[0]
    k = int(np.argmax(probabilities)) if label is None else classifier.classes.index(label)
    log_odds, _ = log_odds_backward(classifier, classifier.standardise(extracted).T, k)
    pushes = push_of_each(classifier, extracted[0], k)
    rest = extracted[0, len(feature_names()) :]
    at_pixels = saliency(classifier, reduced.squares[0], k, rest=rest)
    evidence, placed = at_pixels.evidence, None
    if classifier.shapes:
        evidence = evidence + spread(shapes_by_cell(classifier, pushes))
    if reader.encoder is not None and reduced.wide is not None:
        wide = reduced.wide[0]
        placed = encoder_by_place(classifier, reader.encoder, wide, extracted[0], pushes, k)
        evidence = evidence + spread(placed.grid)
    return Explanation(
        path,
        picture,
        classifier.classes,
        tuple(float(p) for p in probabilities),
        classifier.classes[k],
        float(log_odds[0]),
        pushes.start,
        reasons(classifier, extracted[0], pushes),
        replace(at_pixels, evidence=evidence),
        placed,
    )
