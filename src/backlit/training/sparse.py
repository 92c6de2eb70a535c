"""Sparse inputs as the engine reads them: rows in CSR form."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from backlit.errors import DTypeError, NonFiniteError, ShapeError
from backlit.parameters import checked_dtype
from backlit.training.data import check_sparse
from backlit.training.engine.engine import Rows


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
