"""What the steps of a network for tables ask of an engine."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from backlit.tables.layout import TableLayout

#: dropout's random numbers are below this
RANDOM_RANGE = 1 << 16


class TensorSteps(NamedTuple):
    """A step of Adam, with what differs between tensors.

    Attributes
    ----------
    keep, step : float64 array, shape (n_tensors,)
        What is kept of each tensor (decoupled decay), and the length of its step, the correction
        of the moments included.
    epsilon, beta1, beta2 : float
        Adam's; epsilon is that of the uncorrected root.
    """

    keep: NDArray[np.float64]
    step: NDArray[np.float64]
    epsilon: float
    beta1: float
    beta2: float


class Batch(NamedTuple):
    """Examples of a step, in columns.

    Attributes
    ----------
    numbers : array, shape (n_numbers, m)
        Scaled numbers, C-contiguous.
    levels : int64 array, shape (n_categories, m)
        Levels of the categories that have trained vectors.
    targets : array, shape (n_outputs, m)
        Smoothed labels, or standardised targets.
    weights : array, shape (m,), or None
        Weights of the examples.
    """

    numbers: NDArray[Any]
    levels: NDArray[np.int64]
    targets: NDArray[Any]
    weights: NDArray[Any] | None

    @property
    def weight(self) -> float:
        """The number of examples, or the sum of their weights."""
        if self.weights is None:
            return float(self.numbers.shape[1])
        return float(self.weights.sum(dtype=np.float64))


class TableEngine(Protocol):
    """Computes with one network; draws nothing."""

    layout: TableLayout
    parameters: NDArray[Any]
    gradient: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]

    def forward(self, numbers: NDArray[Any], levels: NDArray[np.int64]) -> NDArray[Any]:
        """Return the output, (n_outputs, m), without dropout."""

    def differentiate(
        self, batch: Batch, random: NDArray[np.uint16] | None, threshold: int
    ) -> float:
        """Set `gradient` to that of the weighted mean loss; return the weighted sum of losses.

        Parameters
        ----------
        batch : Batch
            The examples.
        random : uint16 array or None
            For dropout, one number for each hidden unit of each example, layer after layer.
        threshold : int
            Units whose number is below are dropped; 0 for none.
        """

    def update(self, steps: TensorSteps) -> None:
        """Take a step of Adam along `gradient`."""
