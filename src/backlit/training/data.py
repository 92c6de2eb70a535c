"""Examples as the caller has them -> arrays as an engine reads them, copied only if need be."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import as_numpy, number_or_nan
from backlit.errors import DTypeError, NonFiniteError, SettingError, ShapeError
from backlit.parameters import checked_dtype

#: elements whose finiteness is checked together, so that the check needs little memory
_CHECK_BLOCK = 1 << 20


class Rows(NamedTuple):
    """Sparse rows (CSR): row r has ``values[starts[r] : starts[r + 1]]`` in those `columns`."""

    values: NDArray[Any]
    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    n_columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as an array has them."""
        return len(self.starts) - 1, self.n_columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The values' type."""
        return self.values.dtype


class Examples(NamedTuple):
    """Examples as an engine reads them: inputs, whole classes or targets, and weights."""

    X: NDArray[Any] | Rows
    classes: NDArray[np.int32] | None = None
    targets: NDArray[Any] | None = None
    sample_weight: NDArray[np.float64] | None = None


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


def prepare_examples(
    function: str, X: Any, dtype: DTypeLike | None, name: str = "X"
) -> NDArray[Any] | Rows:
    """Return dense or sparse inputs in the engine's form."""
    if is_sparse(X):
        return prepare_sparse_inputs(function, X, dtype, name)
    return prepare_inputs(function, X, dtype, name)


def shared_outputs(function: str, output: str, labels: Labels, held: Labels) -> int:
    """Return the number of outputs that both sets of labels fit."""
    # classes fit any softmax that has at least as many; every other label says the number itself
    n_outputs = labels.n_outputs
    if output == "softmax" and labels.classes is not None:
        n_outputs = max(n_outputs, held.n_outputs)
    fits = held.n_outputs == n_outputs
    if output == "softmax" and held.classes is not None:
        fits = held.n_outputs <= n_outputs
    if labels.n_outputs < n_outputs and labels.classes is None:
        fits = False
    if not fits:
        raise ShapeError(
            f"{function}: validation y has {held.n_outputs} outputs, expected {n_outputs} because "
            "y has so many."
        )
    return n_outputs


def split_rows(
    function: str, given: float, labels: Labels, output: str, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Set aside a share of the rows, of each class alike; return those to train on, then these."""
    classes = labels.classes
    if classes is None:
        assert labels.targets is not None
        m = len(labels.targets)
        if output == "softmax":
            classes = labels.targets.argmax(axis=1).astype(np.int32)
    else:
        m = len(classes)
    share = number_or_nan(given)
    if not 0 < share < 1:
        raise SettingError(
            f"{function}: validation is {given!r}, expected (X, y) or a share between 0 and 1."
        )
    groups = [np.arange(m)]
    if classes is not None:
        groups = [np.flatnonzero(classes == k) for k in np.unique(classes)]
    held = np.concatenate(
        [
            generator.permutation(group)[: min(round(share * len(group)), len(group) - 1)]
            for group in groups
        ]
    )
    if len(held) == 0 or len(held) == m:
        raise SettingError(
            f"{function}: validation is {share}, which sets aside {len(held)} of {m} rows; "
            "expected at least one on either side."
        )
    mask = np.zeros(m, bool)
    mask[held] = True
    return np.flatnonzero(~mask).astype(np.int64), np.flatnonzero(mask).astype(np.int64)


def is_sparse(X: Any) -> bool:
    """Whether X is a SciPy sparse matrix or array."""
    if type(X).__module__.partition(".")[0] != "scipy":
        return False
    from scipy.sparse import issparse

    return bool(issparse(X))


def prepare_sparse_inputs(function: str, X: Any, dtype: DTypeLike | None, name: str = "X") -> Rows:
    """Return a sparse X as finite CSR rows of float32 or float64.

    Parameters
    ----------
    function, name : str
        The public function, and the name of its matrix, for messages.
    X : sparse matrix or array, shape (m, n_0)
        Examples in rows, of any sparse format; explicit zeros and duplicates may be in it.
    dtype : dtype or None
        float32 or float64; None keeps X's own, and makes integers float32.

    Returns
    -------
    Rows
        Values (X's own memory where X is CSR of that type), starts, columns.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError, SettingError
        If it is empty, not real or not finite.
    """
    if X.dtype.kind not in "fiub":
        raise DTypeError(f"{function}: {name} has dtype {X.dtype}, expected real numbers.")
    if X.ndim != 2 or 0 in X.shape:
        raise ShapeError(
            f"{function}: {name} has shape {X.shape}, expected (m, n_features), examples in rows, "
            "neither number zero."
        )
    check_sparse(f"{function}: {name}", X)
    if dtype is None:
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.float32
    rows = csr_rows(X, checked_dtype(function, dtype))
    finite = np.isfinite(rows.values)
    if not finite.all():
        raise NonFiniteError(
            f"{function}: {name} has {rows.values[~finite][0]}, expected finite numbers only."
        )
    return rows


def csr_rows(X: Any, dtype: np.dtype[Any]) -> Rows:
    """Return a sparse matrix that has been checked as CSR rows, without a copy where it is so."""
    csr = X.tocsr()
    check_sparse("X", csr)  # before indices of 64 bits are cut down to 32
    return Rows(
        np.require(csr.data, dtype, ["C", "A"]),
        np.require(csr.indptr, np.int64, ["C", "A"]),
        np.require(csr.indices, np.int32, ["C", "A"]),
        int(X.shape[1]),
    )
