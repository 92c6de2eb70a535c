"""A photo classifier as the description that exports are of: from a picture's features on."""

import numpy as np

from backlit.formats.export.description import (
    Activate,
    Column,
    Dense,
    Description,
    Numbers,
    Output,
    Scale,
    Step,
)
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.features import VERSION, feature_names
from backlit.photos.shapes import shape_names

_REMARK = "The columns are what {what} of a picture: this file does not hold how they are computed."

#: deviations from the mean that features of training pictures stay within
_DEVIATIONS = 4.0


def describe(classifier: PhotoClassifier) -> Description:
    """Describe a photo classifier's network, whose inputs are a picture's features.

    Parameters
    ----------
    classifier : PhotoClassifier

    Returns
    -------
    Description
    """
    mean, scale = (np.asarray(one, np.float64) for one in (classifier.mean, classifier.scale))
    names = list(feature_names())
    what = f"backlit.photos.extract_features (version {VERSION}) computes"
    if classifier.shapes:
        names += shape_names()
        what += ", then backlit.photos.shapes,"
    if classifier.encoder is not None:
        names += [f"{classifier.encoder.name} {i}" for i in range(classifier.encoder.length)]
        what += f", then the encoder {classifier.encoder.name} gives,"
    columns = tuple(
        Column(name, "number", float(m - _DEVIATIONS * abs(s)), float(m + _DEVIATIONS * abs(s)))
        for name, m, s in zip(names, mean, scale, strict=True)
    )
    steps: list[Step] = [
        Numbers("features", tuple(range(len(names)))),
        Scale("standardised", "features", mean, scale),
        Activate("bounded", "standardised", "tanh"),
    ]
    for l, activation in enumerate(classifier.activations, start=1):
        W = np.asarray(classifier.parameters[f"W{l}"], np.float64)
        b = np.asarray(classifier.parameters[f"b{l}"], np.float64)[:, 0]
        steps.append(Dense(f"layer {l}", steps[-1].name, W, b, activation))
    two = len(classifier.classes) == 2
    output = Output("two classes" if two else "classes", classifier.classes)
    remark = _REMARK.format(what=what)
    return Description("PhotoClassifier", columns, tuple(steps), output, (remark,))
