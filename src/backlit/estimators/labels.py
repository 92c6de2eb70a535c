"""Class labels into the engine's numbers and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target

from backlit.errors import SettingError, ShapeError
from backlit.training.data import Labels


def encode(binarizer: LabelBinarizer, y: Any, dtype: np.dtype[Any]) -> Labels:
    """Return labels as whole classes, or as columns of 0 and 1 if there may be several at once.

    Parameters
    ----------
    binarizer : LabelBinarizer
        Fitted; it holds the classes. Its own columns are only made for multilabel targets: one
        number an example is all that the engine reads otherwise.
    y : array-like, shape (m,) or (m, n_L)
        Labels.
    dtype : dtype
        The network's type.

    Returns
    -------
    Labels
        The labels.

    Raises
    ------
    SettingError
        If one is not among the classes.
    """
    multilabel = binarizer.y_type_.startswith("multilabel")
    if multilabel or type_of_target(y).startswith("multilabel"):
        columns = np.require(binarizer.transform(y), dtype, ["C", "A"])
        return Labels(None, columns, columns.shape[1])
    classes = binarizer.classes_
    numbered = classes.dtype.kind in "iu" and (classes == np.arange(len(classes))).all()
    if numbered and y.dtype.kind in "iu":
        known = y.min() >= 0 and y.max() < len(classes)
        numbers = y.astype(np.int32)
    else:
        numbers = np.searchsorted(classes, y).astype(np.int32)
        np.minimum(numbers, len(classes) - 1, out=numbers)
        known = (classes[numbers] == y).all()
    if not known:
        raise SettingError(
            f"`y` has classes not in `self.classes_`. `self.classes_` has {classes}. 'y' has "
            f"{np.unique(y)}."
        )
    return Labels(numbers, None, len(classes) if len(classes) > 2 else 1)


def decode(binarizer: LabelBinarizer, outputs: NDArray[Any]) -> Any:
    """Return the labels that the network's outputs stand for.

    Parameters
    ----------
    binarizer : LabelBinarizer
        Fitted.
    outputs : array, shape (m, n_L)
        Probabilities.

    Returns
    -------
    array, shape (m,) or (m, n_L)
        Labels; sparse if they were when the estimator was fitted.

    Raises
    ------
    ShapeError
        If there are not as many outputs as the labels need.
    """
    multilabel, n_classes = binarizer.y_type_.startswith("multilabel"), len(binarizer.classes_)
    expected = n_classes if multilabel or n_classes > 2 else 1
    if outputs.shape[1] != expected:
        raise ShapeError(
            f"coefs_[-1] has {outputs.shape[1]} columns, expected {expected} because the labels "
            f"are {binarizer.classes_}."
        )
    if multilabel:
        return binarizer.inverse_transform(outputs)
    return binarizer.classes_[chosen(binarizer, outputs)]


def chosen(binarizer: LabelBinarizer, outputs: NDArray[Any]) -> NDArray[Any]:
    """Return each example's class as a number: the likeliest."""
    if outputs.shape[1] > 1:
        likeliest: NDArray[Any] = outputs.argmax(axis=1)
        return likeliest
    if len(binarizer.classes_) == 1:
        return np.zeros(len(outputs), np.intp)
    return (outputs[:, 0] > 0.5).astype(np.intp)


def select(labels: Labels, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows' labels in the engine's numbers."""
    held = labels.classes if labels.classes is not None else labels.targets
    assert held is not None
    return held[rows]
