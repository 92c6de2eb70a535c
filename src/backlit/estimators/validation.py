"""How an epoch is judged on examples that are not trained on."""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:  # loads the compiler
    from backlit.training.engine.engine import Engine, Examples


class Held(NamedTuple):
    """Examples to judge by: rows of `examples`, and how to score them.

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


class Judge:
    """Measures the loss and the score of the network as it is.

    Parameters
    ----------
    estimator : BaseMLP
        Whose network it is.
    engine : Engine
        What runs it.
    held : Held
        What it is judged by.
    loss_scale : float
        What the mean loss is multiplied by.
    """

    def __init__(self, estimator: Any, engine: "Engine", held: Held, loss_scale: float) -> None:
        self._engine, self._held, self._loss_scale = engine, held, loss_scale
        self._score: Callable[[NDArray[Any]], float] = held.score
        if estimator.scoring is not None:
            self._score = self._scorer(estimator)

    def _scorer(self, estimator: Any) -> Callable[[NDArray[Any]], float]:
        scorer = get_scorer(estimator.scoring)
        weights = self._held.weights
        keywords = {} if weights is None else {"sample_weight": weights}
        X, y = self._held.inputs[self._held.rows], self._held.labels()
        judged = copy.copy(estimator)  # shares the weights; plain arrays have no feature names
        judged.__dict__.pop("feature_names_in_", None)

        def score(_: NDArray[Any]) -> float:
            estimator._weights.take(self._engine.parameters)  # which `judged` shares
            return float(scorer(judged, X, y, **keywords))

        return score

    def measure(self) -> tuple[float, float]:
        """Return the mean loss and the score; NaN if the outputs are not finite."""
        loss, outputs = self._engine.forward(self._held.examples, self._held.rows)
        assert outputs is not None
        loss *= self._loss_scale
        if not np.isfinite(outputs).all():
            return loss, float("nan")
        with np.errstate(over="ignore", invalid="ignore"):  # before a divergence
            return loss, self._score(outputs)


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


def accuracy(right: NDArray[Any], weights: NDArray[np.float64] | None) -> float:
    """Return the (weighted) share of examples that are right."""
    return float(np.average(right, weights=weights))


def r_squared(
    y: NDArray[Any], predicted: NDArray[Any], weights: NDArray[np.float64] | None
) -> float:
    """Return R^2, its mean over the outputs, as `sklearn.metrics.r2_score` defines it.

    Both arrays have shape (m, n_L). An output whose targets are all the same has 1 if they are met
    and else 0.
    """
    return merged_r_squared([r_squared_parts(y, predicted, weights)])


class SquaresOf(NamedTuple):
    """What R^2 has to know of some examples: their weight, and per output three numbers."""

    weight: float
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    left: NDArray[np.float64]


def r_squared_parts(
    y: NDArray[Any], predicted: NDArray[Any], weights: NDArray[np.float64] | None
) -> SquaresOf:
    """Return the mean of the targets, the squares around it, and the squares that are left."""
    y, predicted = y.astype(np.float64), predicted.astype(np.float64)
    w = np.ones((len(y), 1)) if weights is None else weights.reshape(-1, 1)
    total = float(w.sum())
    mean = (w * y).sum(axis=0) / (total or 1.0)
    left = (w * (y - predicted) ** 2).sum(axis=0)
    return SquaresOf(total, mean, (w * (y - mean) ** 2).sum(axis=0), left)


def merged_r_squared(parts: Sequence[SquaresOf]) -> float:
    """Return R^2 of examples in several parts (their squares joined as in Chan et al. 1979)."""
    weight, mean, spread, left = parts[0]
    for part in parts[1:]:
        both, apart = weight + part.weight, part.mean - mean
        if both == 0:
            continue
        spread = spread + part.spread + apart**2 * (weight * part.weight / both)
        mean = mean + apart * (part.weight / both)
        weight, left = both, left + part.left
    scores = np.where(left == 0, 1.0, 0.0)
    np.divide(spread - left, spread, out=scores, where=spread != 0)
    return float(scores.mean())


def split(
    m: int,
    fraction: float,
    random_state: np.random.RandomState,
    positive: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and those to judge by, as `train_test_split` draws them.

    Parameters
    ----------
    m : int
        Number of examples.
    fraction : float
        Share of them to judge by.
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
