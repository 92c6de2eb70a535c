"""What is known of a network for tables after cross-validation: scores, columns, odd rows."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: drawings from which intervals of scores come
_DRAWN = 1000
#: rows that are listed as odd
MOST_ODD = 25


class Score(NamedTuple):
    """A score with its 95 % interval, by drawing rows anew (bootstrap)."""

    name: str
    value: float
    low: float
    high: float
    share: bool


class OddRow(NamedTuple):
    """A row whose target is unlikely by the networks that did not learn from it.

    Attributes
    ----------
    row : int
        Its number in the table, from 1.
    target, predicted : str
        What stands there, and what was expected.
    oddness : float
        The probability of what stands there, or how many times the usual error it is off.
    """

    row: int
    target: str
    predicted: str
    oddness: float


class KnownColumn(NamedTuple):
    """A column as it was understood, and its importance."""

    name: str
    treatment: str
    importance: float


@dataclass(frozen=True)
class TableFindings:
    """What is reported of a network.

    Attributes
    ----------
    target, kind : str
        What is predicted, and whether it is "classes" or "numbers".
    n_rows : int
        Rows that were judged.
    scores : list of Score
        The first one is the main one.
    baseline : float
        The main score of always naming the commonest class, or the mean.
    columns : list of KnownColumn
        The most important first.
    odd : list of OddRow
        The oddest first.
    classes : list of str
        The classes, where there are some.
    truth : array
        Places of the true classes, or the targets.
    predicted : array
        Probabilities, (m, n_classes), or predictions, (m,).
    """

    target: str
    kind: str
    n_rows: int
    scores: list[Score]
    baseline: float
    columns: list[KnownColumn]
    odd: list[OddRow]
    classes: list[str]
    truth: NDArray[Any]
    predicted: NDArray[np.float64]


def figure(value: float) -> str:
    """Return a number of any size with about four digits that count, and no exponent if possible.

    Parameters
    ----------
    value : float
        Such as 17760.3, which becomes 17,760.
    """
    size = abs(value)
    if 1000 <= size < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def findings_of(
    model: Any, target: str, rows: NDArray[np.int64], y: Any, predicted: NDArray[np.float64]
) -> TableFindings:
    """Judge predictions of rows that a network, or its fold's, did not learn from.

    Parameters
    ----------
    model : RealMLPClassifier or RealMLPRegressor
        Fitted.
    target : str
        What is predicted.
    rows : int64 array, shape (m,)
        The numbers of the rows in the table, from 0.
    y : array, shape (m,)
        What stands there.
    predicted : array, shape (m, n_outputs)
        Probabilities or numbers.
    """
    classes = hasattr(model, "classes_")
    rng = np.random.default_rng(0)
    if classes:
        place = {label: i for i, label in enumerate(model.classes_.tolist())}
        truth = np.array([place.get(label, -1) for label in np.asarray(y).tolist()])
        known = truth >= 0
        rows, truth, predicted = rows[known], truth[known], predicted[known]
        scores, odd = (
            _class_scores(truth, predicted, rng),
            _odd_classes(model, rows, truth, predicted),
        )
        baseline = float(np.bincount(truth).max() / len(truth))
        names = [str(label) for label in model.classes_]
    else:
        truth, predicted = np.asarray(y, dtype=np.float64), predicted[:, 0]
        scores, odd = _number_scores(truth, predicted, rng), _odd_numbers(rows, truth, predicted)
        baseline = float(np.sqrt(np.mean((truth - truth.mean()) ** 2)))
        names = []
    return TableFindings(
        target,
        "classes" if classes else "numbers",
        len(truth),
        scores,
        baseline,
        _columns(model),
        odd,
        names,
        truth,
        predicted,
    )


def _columns(model: Any) -> list[KnownColumn]:
    found = []
    for column, importance in zip(model.columns_, model.feature_importances_, strict=True):
        if column["treatment"] == "left out":
            words = f"left out: {column['reason']}"
        elif column["treatment"] == "number":
            words = "numbers" + (", some missing" if column["missing"] else "")
        else:
            words = f"categories, {column['levels']} levels"
        found.append(KnownColumn(str(column["name"]), words, float(importance)))
    return sorted(found, key=lambda one: -one.importance)


def _interval(each: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of a mean, by drawing rows anew."""
    n = len(each)
    drawn = [each[rng.integers(0, n, n)].mean() for _ in range(_DRAWN)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _class_scores(
    truth: NDArray[Any], predicted: NDArray[np.float64], rng: np.random.Generator
) -> list[Score]:
    from sklearn.metrics import roc_auc_score

    right = (predicted.argmax(axis=1) == truth).astype(np.float64)
    own = np.maximum(predicted[np.arange(len(truth)), truth], np.finfo(np.float64).tiny)
    losses = -np.log(own)
    scores = [
        Score("accuracy", float(right.mean()), *_interval(right, rng), True),
        Score("log loss", float(losses.mean()), *_interval(losses, rng), False),
    ]
    if predicted.shape[1] == 2 and len(np.unique(truth)) == 2:
        area = float(roc_auc_score(truth, predicted[:, 1]))
        # Hanley and McNeil (1982): the standard error of an area under the curve
        positive, negative = float(truth.sum()), float(len(truth) - truth.sum())
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        variance = area * (1 - area) + (positive - 1) * (q1 - area**2)
        variance += (negative - 1) * (q2 - area**2)
        error = 1.96 * np.sqrt(max(variance, 0.0) / (positive * negative))
        scores.append(Score("AUC", area, max(area - error, 0.0), min(area + error, 1.0), False))
    return scores


def _number_scores(
    truth: NDArray[Any], predicted: NDArray[np.float64], rng: np.random.Generator
) -> list[Score]:
    squares, absolute = (truth - predicted) ** 2, np.abs(truth - predicted)
    low, high = _interval(squares, rng)
    spread = float(np.mean((truth - truth.mean()) ** 2)) or 1.0
    mean = float(squares.mean())
    return [
        Score("root mean squared error", mean**0.5, low**0.5, high**0.5, False),
        Score("mean absolute error", float(absolute.mean()), *_interval(absolute, rng), False),
        Score("R²", 1 - mean / spread, 1 - high / spread, 1 - low / spread, False),
    ]


def _odd_classes(
    model: Any, rows: NDArray[np.int64], truth: NDArray[Any], predicted: NDArray[np.float64]
) -> list[OddRow]:
    """Return rows that were predicted otherwise, the least likely first."""
    own = predicted[np.arange(len(truth)), truth]
    best = predicted.argmax(axis=1)
    order = [int(i) for i in np.argsort(own) if best[i] != truth[i]][:MOST_ODD]
    return [
        OddRow(
            int(rows[i]) + 1,
            str(model.classes_[truth[i]]),
            str(model.classes_[best[i]]),
            float(own[i]),
        )
        for i in order
    ]


def _odd_numbers(
    rows: NDArray[np.int64], truth: NDArray[Any], predicted: NDArray[np.float64]
) -> list[OddRow]:
    """Return rows that are off by more than three times the usual error, the farthest first."""
    off = np.abs(truth - predicted)
    usual = float(np.quantile(off, 0.6827)) or 1.0  # of normal errors, one standard deviation
    order = [int(i) for i in np.argsort(-off) if off[i] > 3 * usual][:MOST_ODD]
    return [
        OddRow(int(rows[i]) + 1, figure(truth[i]), figure(predicted[i]), float(off[i] / usual))
        for i in order
    ]
