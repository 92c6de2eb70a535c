"""Sparse inputs as the engine reads them: rows in CSR form."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from backlit.errors import DTypeError, NonFiniteError, ShapeError
from backlit.parameters import checked_dtype
from backlit.training.engine.engine import Rows


def is_sparse(X: Any) -> bool:
    """Whether X is a SciPy sparse matrix or array."""
    if type(X).__module__.partition(".")[0] != "scipy":
        return False
    from scipy.sparse import issparse

    return bool(issparse(X))


def prepare_sparse_inputs(
    function: str, X: Any, dtype: DTypeLike | None, name: str = "X"
) -> tuple[Rows, tuple[int, int]]:
    """Return a sparse X as finite CSR rows of float32 or float64, and its shape.

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
    rows : Rows
        Values (X's own memory where X is CSR of that type), starts, columns.
    shape : (int, int)
        ``(m, n_0)``.

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
    csr = X.tocsr()
    if dtype is None:
        dtype = csr.dtype if csr.dtype in (np.float32, np.float64) else np.float32
    values = np.require(csr.data, checked_dtype(function, dtype), ["C", "A"])
    if not np.isfinite(values).all():
        raise NonFiniteError(
            f"{function}: {name} has {values[~np.isfinite(values)][0]}, expected finite numbers."
        )
    rows = Rows(
        values,
        np.require(csr.indptr, np.int64, ["C", "A"]),
        np.require(csr.indices, np.int32, ["C", "A"]),
    )
    return rows, (int(X.shape[0]), int(X.shape[1]))
