"""Examples that are not trained on, and how the network is scored on them."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from backlit.training.data import Examples


class ValidationSet(NamedTuple):
    """Examples that are not trained on: rows of `examples`, and how to score them.

    Attributes
    ----------
    examples : Examples
        The data.
    rows : int64 array
        Which of them.
    inputs : array or sparse matrix
        The data as scikit-learn checked them.
    score : callable
        From the network's outputs for these rows to a score.
    labels : callable
        Returns the rows' labels as the caller has them, for a scorer of the caller's.
    """

    examples: "Examples"
    rows: NDArray[np.int64]
    inputs: Any
    score: Callable[[NDArray[Any]], float]
    labels: Callable[[], Any]

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """The rows' weights."""
        every = self.examples.sample_weight
        return None if every is None else every[self.rows]


def scorer_of(
    estimator: Any, validation: ValidationSet, vector: NDArray[Any]
) -> Callable[[NDArray[Any]], float]:
    """Return what scores the network's outputs: `scoring` where it is set, else the default.

    Parameters
    ----------
    estimator : BaseMLP
        The estimator in training, whose weights a scorer of the caller's sees as they are.
    validation : ValidationSet
        What it is scored on.
    vector : array
        The parameters in training, in the engine's order.
    """
    if estimator.scoring is None:
        return validation.score
    scorer, weights = get_scorer(estimator.scoring), validation.weights
    keywords = {} if weights is None else {"sample_weight": weights}
    X, y = validation.inputs[validation.rows], validation.labels()
    scored = copy.copy(estimator)  # shares the weights; plain arrays have no feature names
    scored.__dict__.pop("feature_names_in_", None)

    def score(_: NDArray[Any]) -> float:
        estimator._weights.take(vector)  # which `scored` shares
        return float(scorer(scored, X, y, **keywords))

    return score


def check_has_weight(name: str, weights: NDArray[np.float64] | None) -> None:
    """Raise `ValueError` where a score would be a mean of nothing.

    Parameters
    ----------
    name : str
        The argument that the weights come from.
    weights : array, shape (m,), or None
        Weights of the rows that are validated on.
    """
    if weights is not None and weights.sum() == 0:
        raise ValueError(
            f"{name} sums to 0 over the {len(weights)} rows that are validated on, expected "
            "another sum, because a score is the mean over the weights; give rows with weight as "
            "X_val and y_val, or raise validation_fraction."
        )


def split(
    m: int,
    fraction: float,
    random_state: np.random.RandomState,
    positive: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and those that validate, as `train_test_split` draws them.

    Parameters
    ----------
    m : int
        Number of examples.
    fraction : float
        Share of them that validates.
    random_state : RandomState
        Where the draws come from.
    positive : bool array, shape (m,), or None
        The two classes, to be split alike.

    Raises
    ------
    ValueError
        If there is too little to split.
    """
    stratify: Any = positive
    if positive is not None and min(int(positive.sum()), int((~positive).sum())) < 2:
        # scikit-learn names the class that is too small, and makes its name from a column
        stratify = positive.reshape(-1, 1)
    train, held = train_test_split(
        np.arange(m), random_state=random_state, test_size=fraction, stratify=stratify
    )
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            "dataset."
        )
    return train, held
