"""Names of all numbers of a network's input."""

from backlit.photos.classifier import PhotoClassifier
from backlit.photos.features import feature_names
from backlit.photos.shapes import shape_names


def input_names(classifier: PhotoClassifier) -> tuple[str, ...]:
    """Name every number of a classifier's input, in order.

    Parameters
    ----------
    classifier : PhotoClassifier

    Returns
    -------
    tuple of str
        Of the features, of the shapes where it has them, and ``"encoder NAME, number N"``.
    """
    names = feature_names()
    if classifier.shapes:
        names += shape_names()
    if classifier.encoder is not None:
        own = classifier.encoder
        names += tuple(f"encoder {own.name}, number {k}" for k in range(own.length))
    return names
