"""Examples as the caller has them -> arrays as the engine reads them, copied only if need be."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import as_numpy
from backlit.errors import NonFiniteError, SettingError, ShapeError
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
        float32 or float64; None keeps X's own, and makes integers and half floats float32.

    Returns
    -------
    array, shape (m, n_0)
        X itself if it is so already (memory maps included), else a copy.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError, SettingError
        If it is no matrix of finite real numbers.
    """
    array: NDArray[Any] = as_numpy(function, name, X)
    if array.ndim != 2 or 0 in array.shape:
        raise ShapeError(
            f"{function}: {name} has shape {array.shape}, expected (m, n_features), examples in "
            "rows, neither number zero."
        )
    if dtype is None:
        wide = array.dtype.kind == "f" and array.dtype.itemsize >= 8
        dtype = np.float64 if wide else np.float32
    array = _converted(array, checked_dtype(function, dtype))
    _check_finite_in_blocks(function, name, array)
    return array


def _converted(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return an array in a type and C order; numbers too large for it become infinite."""
    with np.errstate(over="ignore"):
        return np.require(array, dtype, ["C", "A"])


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


def check_sparse(name: str, X: Any) -> None:
    """Raise `ShapeError` if the indices of a sparse matrix point outside it.

    SciPy's conversions and products take them as they are, and would read and write foreign memory.

    Parameters
    ----------
    name : str
        The matrix's name.
    X : sparse matrix or array, shape (m, n)
        Of any format; those that hold Python's lists are checked once they are converted.
    """
    n_rows, n_columns = X.shape
    if X.format in ("csr", "csc"):
        if X.format == "csc":
            n_rows, n_columns = n_columns, n_rows
        if X.indptr.shape != (n_rows + 1,):
            raise ShapeError(
                f"{name}: a damaged sparse matrix: indptr has shape {X.indptr.shape}, expected "
                f"({n_rows + 1},)."
            )
        check_compressed(name, X.indptr, X.indices, X.data.size, n_columns)
    elif X.format == "coo":
        for indices, end in ((X.row, n_rows), (X.col, n_columns)):
            if indices.shape != X.data.shape:
                raise ShapeError(f"{name}: a damaged sparse matrix: not an index for each value.")
            _check_indices(name, indices, end)


def check_compressed(
    name: str, starts: NDArray[Any], indices: NDArray[Any], n_values: int, n_columns: int
) -> None:
    """Raise `ShapeError` unless compressed rows (or columns) lie inside their arrays.

    Parameters
    ----------
    name : str
        The matrix's name.
    starts, indices : integer array
        ``indptr`` and ``indices``, as SciPy calls them.
    n_values : int
        How many values there are.
    n_columns : int
        What the indices have to be below.
    """
    if starts.size < 1 or starts[0] != 0 or (starts[1:] < starts[:-1]).any():
        raise ShapeError(
            f"{name}: a damaged sparse matrix: indptr does not begin with 0, or goes down."
        )
    used = int(starts[-1])
    if used > n_values or used > indices.size:
        raise ShapeError(
            f"{name}: a damaged sparse matrix: indptr ends with {used}, but there are {n_values} "
            f"values and {indices.size} indices."
        )
    _check_indices(name, indices[:used], n_columns)


def _check_indices(name: str, indices: NDArray[Any], end: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= end):
        wrong = indices[(indices < 0) | (indices >= end)][0]
        raise ShapeError(
            f"{name}: a damaged sparse matrix: an index is {wrong}, expected 0 to {end - 1}."
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
        For softmax whole classes 0..K-1 (m of them) or rows of probabilities; for sigmoid numbers,
        usually 0 and 1; for identity targets; for exp counts or rates of at least 0.
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
    array: NDArray[Any] = as_numpy(function, name, y)
    if array.ndim not in (1, 2) or array.shape[0] != m or array.size == 0:
        raise ShapeError(
            f"{function}: {name} has shape {array.shape}, expected ({m},) or ({m}, n_outputs) "
            f"because there are {m} examples."
        )
    if array.dtype.kind == "f":
        _check_finite_in_blocks(function, name, array)
    if output == "exp" and array.min() < 0:
        raise SettingError(
            f"{function}: {name} goes down to {array.min()}, expected counts of at least 0."
        )
    if output == "sigmoid" and not (array.min() >= 0 and array.max() <= 1):
        raise SettingError(
            f"{function}: {name} goes from {array.min()} to {array.max()}, expected 0 and 1, or "
            "shares between them, because the output is sigmoid; "
            f"labels such as -1 and 1 become 0 and 1 by {name} > 0."
        )
    if output == "softmax" and array.size == m:
        array = array.reshape(m)
        with np.errstate(invalid="ignore"):
            classes = array.astype(np.int32)
        wrong = (classes != array) | (classes < 0)
        if wrong.any():
            raise SettingError(
                f"{function}: {name} holds {array[wrong][0]}, expected whole classes numbered "
                "from 0, because the output is softmax."
            )
        return Labels(classes, None, max(int(classes.max()) + 1, 2))
    if output == "sigmoid" and array.size == m and ((array == 0) | (array == 1)).all():
        return Labels(array.reshape(m).astype(np.int32), None, 1)
    targets = _converted(array.reshape(m, -1), dtype)
    _check_finite_in_blocks(function, name, targets)
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
    weights = _converted(as_numpy(function, name, sample_weight), np.float64)
    if weights.shape != (m,):
        raise ShapeError(
            f"{function}: {name} has shape {weights.shape}, expected ({m},) because there are {m} "
            "examples."
        )
    _check_finite_in_blocks(function, name, weights)
    if weights.min() < 0 or weights.sum() <= 0:
        raise SettingError(
            f"{function}: {name} has the smallest value {weights.min()} and the sum "
            f"{weights.sum()}, expected none below zero and a sum above it."
        )
    return weights
