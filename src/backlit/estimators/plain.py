"""The short way through scikit-learn's checks, for what they would hand on as it is.

Plain arrays of finite numbers, and settings that were found valid before, need none of them, and a
fit of a small table would spend most of its time there. Whatever is not plain takes the long way,
which has scikit-learn's conversions, warnings and errors.
"""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelBinarizer

from backlit.training.data import Labels

#: settings that were found valid, of each class; the oldest is forgotten
_valid: dict[type, dict[tuple[Any, ...], None]] = {}
_MOST = 256
#: types whose values cannot change
_CONSTANT = (bool, int, float, str, type(None))


def is_finite(array: NDArray[Any]) -> bool:
    """Return whether all numbers are finite; False also where their squares overflow.

    Parameters
    ----------
    array : array
        Aligned floating numbers, in any order.
    """
    flat = array.ravel("K")
    return math.isfinite(np.vdot(flat, flat))


def is_plain(X: Any, dtype: Any) -> bool:
    """Return whether examples are as the checks would hand them on.

    Parameters
    ----------
    X : object
        Examples in rows.
    dtype : dtype or None
        The type that is asked for; None takes float32 and float64.
    """
    return (
        type(X) is np.ndarray
        and X.dtype in ((np.float64, np.float32) if dtype is None else (np.dtype(dtype),))
        and X.ndim == 2
        and 0 not in X.shape
        and X.flags.aligned  # vdot hands any address on to BLAS, some of whose kernels trap
        and is_finite(X)
    )


def is_plain_column(y: Any, m: int, kinds: str) -> bool:
    """Return whether labels or targets are `m` finite numbers of some kinds."""
    return (
        type(y) is np.ndarray
        and y.ndim == 1
        and len(y) == m
        and y.dtype.kind in kinds
        and (y.dtype.kind != "f" or (y.flags.aligned and is_finite(y)))
    )


def takes_features(estimator: Any, n_features: int, reset: bool) -> bool:
    """Remember the number of features, or return whether it is the one that is known."""
    known = estimator.__dict__
    if reset:
        known.pop("feature_names_in_", None)
        estimator.n_features_in_ = n_features
        return True
    return "feature_names_in_" not in known and known.get("n_features_in_") == n_features


def classes_of(y: NDArray[Any]) -> NDArray[Any]:
    """Return the classes of plain labels, sorted.

    Parameters
    ----------
    y : integer or bool array, shape (m,)
        Labels.
    """
    low, high = int(y.min()), int(y.max())
    if high - low <= 4 * len(y) and high < 1 << 62:
        counts = np.bincount(y.astype(np.int64) - low)
        classes: NDArray[Any] = (np.flatnonzero(counts) + low).astype(y.dtype)
        return classes
    return np.unique(y)


@functools.lru_cache(maxsize=64)
def _binarizer(dtype: str, classes: bytes) -> LabelBinarizer:
    return LabelBinarizer().fit(np.frombuffer(classes, dtype))


def binarizer_of(classes: NDArray[Any]) -> LabelBinarizer:
    """Return scikit-learn's binarizer, fitted to classes.

    Parameters
    ----------
    classes : array, shape (n_classes,)
        Sorted.
    """
    known = _binarizer(classes.dtype.str, classes.tobytes())
    found = LabelBinarizer()
    found.__dict__.update(vars(known))
    found.classes_ = classes
    return found


def numbered(binarizer: LabelBinarizer, y: Any) -> Labels | None:
    """Return plain labels by the number of their class; None if they are not, or one is unknown.

    Parameters
    ----------
    binarizer : LabelBinarizer
        Fitted; it holds the classes.
    y : object
        Labels.
    """
    classes, several = binarizer.classes_, binarizer.y_type_.startswith("multilabel")
    kinds = "iub"
    if several or type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in kinds:
        return None
    if classes.dtype.kind not in kinds:
        return None
    numbers = np.searchsorted(classes, y).astype(np.int32)
    np.minimum(numbers, len(classes) - 1, out=numbers)
    if not (classes[numbers] == y).all():
        return None
    return Labels(numbers, None, len(classes) if len(classes) > 2 else 1)


def settings_were_valid(estimator: Any) -> bool:
    """Return whether an estimator of the same class had the same settings, and they were valid.

    False where a setting is not a constant, since that may have changed.
    """
    return _key(estimator) in _valid.get(type(estimator), ())


def remember_valid(estimator: Any) -> None:
    """Remember that an estimator's settings are valid."""
    key = _key(estimator)
    if key is not None:
        known = _valid.setdefault(type(estimator), {})
        known[key] = None
        while len(known) > _MOST:
            known.pop(next(iter(known)), None)


def _key(estimator: Any) -> tuple[Any, ...] | None:
    values = [getattr(estimator, name) for name in estimator._parameter_constraints]
    seed = estimator.random_state
    if type(seed) is int and 0 <= seed < 1 << 32:  # all of them are as valid: a bag draws many
        values[list(estimator._parameter_constraints).index("random_state")] = 0
    types = [type(value) for value in values]
    for value, kind in zip(values, types, strict=True):
        if kind in _CONSTANT:
            continue
        if kind is not tuple or any(type(each) not in _CONSTANT for each in value):
            return None
    return (*values, *types)
