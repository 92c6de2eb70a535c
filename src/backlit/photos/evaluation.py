"""How right a classifier is: accuracy with its interval, figures for each class, confusion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ShapeError


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class.

    Attributes
    ----------
    name : str
        The class.
    n : int
        Pictures of it.
    precision, recall, f1 : float or None
        None where nothing was predicted so, or nothing was there.
    """

    name: str
    n: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Evaluation:
    """Predictions against labels.

    Attributes
    ----------
    classes : tuple of str
        Names.
    confusion : ndarray of int, shape (K, K)
        Rows: the true class; columns: the predicted one.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of pictures."""
        return int(self.confusion.sum())

    @property
    def n_right(self) -> int:
        """Number of right predictions."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of right predictions; NaN where there are no pictures."""
        return self.n_right / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson's)."""
        return wilson_interval(self.n_right, self.n)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the classes' recalls, of those that have pictures; NaN where none has."""
        totals = self.confusion.sum(axis=1)
        if not totals.any():
            return float("nan")
        return float(np.mean(np.diag(self.confusion)[totals > 0] / totals[totals > 0]))

    @property
    def largest_share(self) -> float:
        """Accuracy of always naming the largest class; NaN where there are no pictures."""
        return int(self.confusion.sum(axis=1).max()) / self.n if self.n else float("nan")

    @property
    def unbalanced(self) -> bool:
        """Whether the smallest class has less than half as many pictures as the largest."""
        totals = self.confusion.sum(axis=1)
        return bool(2 * totals.min() < totals.max())

    @property
    def per_class(self) -> tuple[ClassFigures, ...]:
        """Figures of each class."""
        rows = []
        for k, name in enumerate(self.classes):
            right = int(self.confusion[k, k])
            true, predicted = int(self.confusion[k].sum()), int(self.confusion[:, k].sum())
            both = true + predicted
            rows.append(
                ClassFigures(
                    name,
                    true,
                    right / predicted if predicted else None,
                    right / true if true else None,
                    2 * right / both if both else None,
                )
            )
        return tuple(rows)


def evaluate_labels(
    labels: Sequence[int] | NDArray[np.integer],
    predicted: Sequence[int] | NDArray[np.integer],
    classes: Sequence[str],
) -> Evaluation:
    """Count predictions against labels.

    Parameters
    ----------
    labels, predicted : sequence of int, shape (m,)
        Indices into the classes.
    classes : sequence of str
        Names.

    Returns
    -------
    Evaluation

    Raises
    ------
    ShapeError
        Where the two differ in length.
    """
    true, guess = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if true.shape != guess.shape or true.ndim != 1:
        raise ShapeError(
            f"evaluate_labels: labels has shape {true.shape} and predicted {guess.shape}; "
            "expected one label and one prediction for each picture."
        )
    K = len(classes)
    counts = np.bincount(true * K + guess, minlength=K * K)
    return Evaluation(tuple(classes), counts.reshape(K, K))


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share.

    Parameters
    ----------
    right, n : int
        ``right`` of ``n``.

    Returns
    -------
    (float, float)
        E. B. Wilson's score interval (1927); (0, 1) where n = 0.
    """
    if n == 0:
        return 0.0, 1.0
    z = 1.959963984540054
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * ((share * (1 - share) + z * z / (4 * n)) / n) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
