"""`RealMLPRegressor`."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import get_scorer
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_is_fitted

from backlit._checks import number_or_nan
from backlit.errors import SettingError
from backlit.tables.base import BaseRealMLP, Labels, mean_or_nan
from backlit.tables.folds import TargetScale, cross_conformal


class RealMLPRegressor(RegressorMixin, BaseRealMLP):
    """Predict numbers from rows of a table by a dense network with strong defaults.

    RealMLP of Holzmüller, Grinsztajn and Steinwart, "Better by Default" (arXiv 2407.04491), as
    `RealMLPClassifier`, with parametric Mish and the squared error. Targets are standardised; with
    "td", predictions are kept within their range.

    Parameters
    ----------
    variant : {"td", "td-s"}, default "td"
        The tuned recipe, or the simple one: faster, and a little less accurate.
    n_epochs : int, default 256
        Epochs; learning rate, dropout and decay are planned over all of them.
    hidden_layer_sizes : sequence of int, default (256, 256, 256)
        Units of the hidden layers.
    batch_size : int, default 256
        Rows a step.
    learning_rate, dropout, weight_decay : float, optional
        Instead of the recipe's (0.2, 0.15 and 0.02).
    double_decay_factors : bool, default False
        Whether decay has each tensor's factors twice, as in the authors' code, or once, as in
        their paper.
    categorical_features : "from_dtype", None, or array-like, default "from_dtype"
        Columns of numbers that are categories: a mask, places or names. Text, truth values and
        categorical types always are.
    validation_fraction : float, default 0.2
        Share of the rows by which the best epoch is chosen; 0 keeps the last epoch.
    early_stopping : bool, default False
        Whether to stop once twice as many epochs as to the best one, and 20, have passed.
    scoring : str or callable, optional
        The score by which the best epoch is chosen, as scikit-learn names them; by default the
        root of the mean squared error, and of epochs that are level the last.
    n_members : int, default 1
        Networks that differ in their random numbers, whose predictions are averaged.
    n_folds : int, optional
        Train on as many splits instead, so that each row validates once, and average.
    dtype : {"float32", "float64"}, default "float32"
        The type that is trained in.
    n_jobs : int, optional
        Networks trained at once; by default as many as there are cores.
    random_state : int, RandomState or None, default None
        Where all draws come from.
    verbose : bool, default False
        Whether to show progress.

    Attributes
    ----------
    n_features_in_, feature_names_in_
        The columns.
    n_outputs_ : int
        How many numbers are predicted.
    columns_ : list of dict
        What became of each column.
    feature_importances_ : array, shape (n_features,)
        Each column's share of the network's local reaction: the mean size of the gradient with
        respect to its inputs times their spread. Not what would be lost without the column.
    loss_curve_, validation_scores_ : list of float
        Of the first network, epoch by epoch.
    best_epoch_, n_iter_ : int
        Its best epoch, counted from 1, and how many there were.
    best_validation_score_ : float or None
        The score of that epoch.
    oof_predictions_ : array, shape (m, n_outputs)
        With `n_folds`, what the networks that were not trained on a row predict for it; NaN for
        rows without weight.
    """

    _kind = "numbers"

    def __init__(
        self,
        variant: str = "td",
        *,
        n_epochs: int = 256,
        hidden_layer_sizes: Any = (256, 256, 256),
        batch_size: int = 256,
        learning_rate: float | None = None,
        dropout: float | None = None,
        weight_decay: float | None = None,
        double_decay_factors: bool = False,
        categorical_features: Any = "from_dtype",
        validation_fraction: float = 0.2,
        early_stopping: bool = False,
        scoring: Any = None,
        n_members: int = 1,
        n_folds: int | None = None,
        dtype: Any = "float32",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: Any = False,
    ) -> None:
        self.variant = variant
        self.n_epochs = n_epochs
        self.hidden_layer_sizes = hidden_layer_sizes
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.double_decay_factors = double_decay_factors
        self.categorical_features = categorical_features
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.n_members = n_members
        self.n_folds = n_folds
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on a table.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (m, n_features)
            Rows are examples.
        y : array-like, shape (m,) or (m, n_outputs)
            Targets.
        sample_weight : array-like, shape (m,), optional
            Weights of the rows.

        Returns
        -------
        self : RealMLPRegressor
            The fitted estimator. Ctrl-C ends a fit early with a warning, and with the best weights.

        Raises
        ------
        ValueError, TypeError
            If a setting has no meaning, or the table cannot be learnt from.
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the predicted numbers, the mean over all networks.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (m, n_features)
            Rows; columns are found by name.

        Returns
        -------
        array, shape (m,) or (m, n_outputs)
            Predictions.
        """
        found = self._predicted(X)
        return found[0] if self._flat else np.ascontiguousarray(found.T)

    def predict_interval(
        self, X: Any, coverage: float = 0.9
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return intervals that hold the number with a probability, by CV+ over the folds.

        For rows that come from where the training rows do, the interval holds the number in at
        least ``2 coverage - 1`` of the cases whatever the network is like, and about `coverage`
        of them in practice (Barber, Candès, Ramdas and Tibshirani 2021).

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (m, n_features)
            Rows; columns are found by name.
        coverage : float, default 0.9
            The probability, in (0, 1).

        Returns
        -------
        lower, upper : array, shape (m,) or (m, n_outputs)
            The ends of each interval, infinite where there were too few rows for the coverage.

        Raises
        ------
        SettingError
            If the fit had no folds, or `coverage` lies outside its range.
        """
        check_is_fitted(self)
        name = type(self).__name__
        if not 0 < number_or_nan(coverage) < 1:
            raise SettingError(
                f"{name}: coverage is {coverage!r}, expected a number between 0 and 1."
            )
        residuals = [fold.residuals for fold in self._folds if fold.residuals is not None]
        if len(residuals) < len(self._folds):
            raise SettingError(
                f"{name}: predict_interval needs a fit with n_folds=5, or another number of folds, "
                "because it needs rows that each fold's networks were not trained on."
            )
        features = self._encoder.transform(self._read(X, reset=False))
        predictions = [self._fold_mean(fold, features) for fold in self._folds]
        lower, upper = np.array(
            [
                cross_conformal(
                    [one[k] for one in predictions], [one[k] for one in residuals], coverage
                )
                for k in range(self.n_outputs_)
            ]
        ).transpose(1, 2, 0)
        return (lower[:, 0], upper[:, 0]) if self._flat else (lower, upper)

    # -------------------------------------------------------------------------- for the base class

    def _encode(self, y: Any) -> Labels:
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._flat = y.ndim == 1
        targets = np.ascontiguousarray(y.reshape(len(y), -1).T)
        self.n_outputs_ = len(targets)
        return Labels(None, targets, len(targets))

    def _scorer(
        self, labels: Labels, weights: NDArray[np.float64] | None, scale: TargetScale | None
    ) -> Callable[[NDArray[Any]], float]:
        expected = labels.targets
        assert expected is not None
        if self.scoring is None:
            return lambda outputs: (
                -np.sqrt(
                    mean_or_nan(
                        ((self._merged(outputs, scale) - expected) ** 2).mean(axis=0), weights
                    )
                )
            )
        scorer, stand_in = get_scorer(self.scoring), _Answers()
        rows = np.arange(expected.shape[1]).reshape(-1, 1)
        y = expected[0] if self._flat else expected.T
        keywords = {} if weights is None else {"sample_weight": weights}

        def score(outputs: NDArray[Any]) -> float:
            found = self._merged(outputs, scale)
            stand_in.answers = found[0] if self._flat else found.T
            return float(scorer(stand_in, rows, y, **keywords))

        return score

    def _merged(self, outputs: NDArray[Any], scale: TargetScale | None) -> NDArray[np.float64]:
        assert scale is not None
        return scale.restored(outputs, self._plan.recipe.clamped)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class _Answers(RegressorMixin, BaseRealMLP):
    """Stands before a scorer in place of the regressor in training, and answers for its rows."""

    def __init__(self) -> None:
        self.answers: Any = None

    def fit(self, X: Any, y: Any) -> Self:
        """Do nothing."""
        return self

    def predict(self, X: Any) -> Any:
        """Return the predictions."""
        return self.answers
