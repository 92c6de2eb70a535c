"""Examples as the caller has them -> arrays as the engine reads them, copied only if need be."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import as_arrays
from backlit.errors import DTypeError, NonFiniteError, SettingError, ShapeError
from backlit.parameters import checked_dtype

#: elements whose finiteness is looked at together, so that the check needs little memory
_CHECK_BLOCK = 1 << 20


class Labels(NamedTuple):
    """Labels as the engine reads them: whole classes, or targets of shape (m, n_L); one is None."""

    classes: NDArray[np.int32] | None
    targets: NDArray[Any] | None
    n_outputs: int


def prepare_inputs(function: str, X: Any, dtype: DTypeLike | None, name: str = "X") -> NDArray[Any]:
    """Return X as a finite, C-contiguous matrix of float32 or float64.

    Parameters
    ----------
    function, name : str
        The public function, and the name of its array, for messages.
    X : array-like, shape (m, n_0)
        Examples in rows.
    dtype : dtype or None
        float32 or float64; None keeps X's own, and makes integers float32.

    Returns
    -------
    array, shape (m, n_0)
        X itself if it is so already (memory maps included), else a copy.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError, SettingError
        If it is no matrix of finite real numbers.
    """
    if isinstance(X, np.ndarray) and X.dtype.kind in "iub":
        array: NDArray[Any] = np.asarray(X, np.float32)
    else:
        (array,) = as_arrays(function, **{name: X})
    if array.ndim != 2 or 0 in array.shape:
        raise ShapeError(
            f"{function}: {name} has shape {array.shape}, expected (m, n_features), examples in "
            "rows, neither number zero."
        )
    if dtype is None:
        dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float32
    array = np.require(array, checked_dtype(function, dtype), ["C", "A"])
    _check_finite_in_blocks(function, name, array)
    return array


def _check_finite_in_blocks(function: str, name: str, array: NDArray[Any]) -> None:
    flat = array.reshape(-1)
    for begin in range(0, flat.size, _CHECK_BLOCK):
        finite = np.isfinite(flat[begin : begin + _CHECK_BLOCK])
        if not finite.all():
            place = begin + int(np.argmin(finite))
            where = tuple(int(i) for i in np.unravel_index(place, array.shape))
            raise NonFiniteError(
                f"{function}: {name} has {flat[place]} at {where}, expected finite numbers only "
                "(or one became infinite as " + array.dtype.name + ")."
            )


def prepare_labels(
    function: str, y: Any, m: int, output: str, dtype: np.dtype[Any], name: str = "y"
) -> Labels:
    """Return labels in the engine's form.

    Parameters
    ----------
    function, name : str
        The public function, and the name of its array, for messages.
    y : array-like, shape (m,) or (m, n_L)
        For softmax whole classes 0..K-1 or rows of probabilities; for sigmoid numbers, usually 0
        and 1; for identity targets; for exp counts or rates of at least 0.
    m : int
        Number of examples.
    output : str
        The output activation.
    dtype : dtype
        The engine's type.

    Returns
    -------
    Labels
        The labels.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError, SettingError
        If they do not fit the examples or the output.
    """
    array = np.asarray(y)
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"{function}: {name} has dtype {array.dtype}, expected numbers; number the classes "
            "from 0 first."
        )
    if array.ndim not in (1, 2) or array.shape[0] != m or array.size == 0:
        raise ShapeError(
            f"{function}: {name} has shape {array.shape}, expected ({m},) or ({m}, n_outputs) "
            f"because there are {m} examples."
        )
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{function}: {name} has NaN or infinity, expected finite numbers.")
    if output == "exp" and array.min() < 0:
        raise SettingError(
            f"{function}: {name} goes down to {array.min()}, expected counts of at least 0."
        )
    if output == "softmax" and array.ndim == 1:
        classes = array.astype(np.int32)
        if (classes != array).any() or classes.min() < 0:
            raise SettingError(
                f"{function}: {name} holds {array[(classes != array) | (classes < 0)][0]}, "
                "expected whole classes numbered from 0, because the output is softmax."
            )
        return Labels(classes, None, max(int(classes.max()) + 1, 2))
    if output == "sigmoid" and array.ndim == 1 and array.dtype.kind in "iub":
        return Labels(array.astype(np.int32), None, 1)
    targets = np.require(array.reshape(m, -1), dtype, ["C", "A"])
    return Labels(None, targets, targets.shape[1])


def prepare_weights(
    function: str, sample_weight: Any, m: int, name: str = "sample_weight"
) -> NDArray[np.float64] | None:
    """Return example weights as float64, shape (m,), or None if there are none.

    Raises
    ------
    ShapeError, NonFiniteError, SettingError
        If they do not fit the examples, or one is negative, or all are zero.
    """
    if sample_weight is None:
        return None
    weights = np.require(sample_weight, np.float64, ["C", "A"])
    if weights.shape != (m,):
        raise ShapeError(
            f"{function}: {name} has shape {weights.shape}, expected ({m},) because there are {m} "
            "examples."
        )
    if not np.isfinite(weights).all():
        raise NonFiniteError(f"{function}: {name} has NaN or infinity, expected finite numbers.")
    if weights.min() < 0 or weights.sum() <= 0:
        raise SettingError(
            f"{function}: {name} has the smallest value {weights.min()} and the sum "
            f"{weights.sum()}, expected none below zero and a sum above it."
        )
    return weights
