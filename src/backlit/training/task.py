"""The objective and a sample of the data, as callbacks receive them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.training.data import Examples, Rows


class Sample(NamedTuple):
    """Some examples in columns.

    Attributes
    ----------
    X, Y : array, shapes (n_0, k) and (n_L, k)
        Inputs and labels, dense.
    sample_weight : float64 array, shape (k,), or None
        Weights.
    """

    X: NDArray[Any]
    Y: NDArray[Any]
    sample_weight: NDArray[np.float64] | None


class Task(NamedTuple):
    """A network's activations, what is minimised, and the data.

    Attributes
    ----------
    activations : tuple of str
        One a layer.
    loss : str
        The loss.
    loss_parameter : float or None
        Huber's delta or the quantile.
    l2 : float
        Strength of the penalty.
    examples : Examples
        The data.
    rows : int64 array
        The rows that are trained on, in any order.
    n_outputs : int
        n_L.
    """

    activations: tuple[str, ...]
    loss: str
    loss_parameter: float | None
    l2: float
    examples: Examples
    rows: NDArray[np.int64]
    n_outputs: int

    def sample(self, size: int) -> Sample:
        """Draw rows without replacement, always the same ones.

        Parameters
        ----------
        size : int
            How many at most.

        Returns
        -------
        Sample
        """
        rows = np.sort(self.rows)
        if len(rows) > size:
            rows = np.sort(np.random.default_rng(0).choice(rows, size, replace=False))
        return self.of(rows)

    def of(self, rows: NDArray[np.int64]) -> Sample:
        """Return these rows."""
        return sample_of(self.examples, rows, self.n_outputs)


def sample_of(examples: Examples, rows: NDArray[np.int64], n_outputs: int) -> Sample:
    """Return rows of examples in columns, as the open functions take them.

    Whole classes become one-hot columns, or 0 and 1 where there is one output. Without labels `Y`
    has no rows.
    """
    X, classes, targets, weights = examples
    inputs = dense_rows(X, rows)
    if targets is not None:
        labels = targets[rows]
    elif classes is not None:
        numbers = np.arange(n_outputs) if n_outputs > 1 else np.ones(1, int)
        labels = (classes[rows].reshape(-1, 1) == numbers).astype(inputs.dtype)
    else:
        labels = np.empty((len(rows), 0), inputs.dtype)
    return Sample(inputs.T, labels.T, None if weights is None else weights[rows])


def dense_rows(X: NDArray[Any] | Rows, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows of an engine's inputs as a dense matrix; duplicates in CSR rows add up."""
    if isinstance(X, np.ndarray):
        return X[rows]
    dense = np.zeros((len(rows), X.n_columns), X.dtype)
    for place, row in enumerate(rows.tolist()):
        held = slice(int(X.starts[row]), int(X.starts[row + 1]))
        np.add.at(dense[place], X.columns[held], X.values[held])
    return dense
