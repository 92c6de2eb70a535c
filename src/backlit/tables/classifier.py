"""`RealMLPClassifier`."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import get_scorer
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from backlit.tables.base import BaseRealMLP, Labels
from backlit.tables.calibration import calibrated_loss, mean_loss
from backlit.tables.folds import TargetScale
from backlit.tables.recipe import Recipe, recipe_of


class RealMLPClassifier(ClassifierMixin, BaseRealMLP):
    """Classify rows of a table by a dense network with strong defaults.

    RealMLP of Holzmüller, Grinsztajn and Steinwart, "Better by Default" (arXiv 2407.04491): robust
    scaling and smooth clipping, embeddings of numbers and categories, a scaling layer, parametric
    SELU, and a tuned training, none of which needs settings. Data frames are taken as they are,
    with text, categories, truth values and holes.

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
    learning_rate, dropout, weight_decay, label_smoothing : float, optional
        Instead of the recipe's (0.04, 0.15, 0.02 and 0.1). Smoothing improves accuracy and harms
        the ranks of probabilities: 0 where AUC matters.
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
        The score by which the best epoch is chosen, as scikit-learn names them, and of epochs that
        are level the last. By default the negative log loss, calibrated where `calibrate` is true;
        "accuracy" is the authors'.
    n_members : int, default 1
        Networks that differ in their random numbers, whose probabilities are averaged, which makes
        them better, and errors mostly fewer.
    n_folds : int, optional
        Train on as many splits instead, so that each row validates once, and average.
    class_weight : dict or "balanced", optional
        Weights of the classes.
    calibrate : bool, default True
        Whether each network's probabilities are calibrated by the rows that validate: its logits
        are divided by one number (temperature scaling), which changes no predicted class.
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
    classes_ : array
        The labels.
    n_features_in_, feature_names_in_
        The columns.
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
    oof_predictions_ : array, shape (m, n_classes)
        With `n_folds`, the probabilities by the networks that were not trained on a row; NaN for
        rows without weight.
    """

    _kind = "classes"

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
        label_smoothing: float | None = None,
        double_decay_factors: bool = False,
        categorical_features: Any = "from_dtype",
        validation_fraction: float = 0.2,
        early_stopping: bool = False,
        scoring: Any = None,
        n_members: int = 1,
        n_folds: int | None = None,
        class_weight: Any = None,
        calibrate: bool = True,
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
        self.label_smoothing = label_smoothing
        self.double_decay_factors = double_decay_factors
        self.categorical_features = categorical_features
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.n_members = n_members
        self.n_folds = n_folds
        self.class_weight = class_weight
        self.calibrate = calibrate
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
        y : array-like, shape (m,)
            Labels.
        sample_weight : array-like, shape (m,), optional
            Weights of the rows.

        Returns
        -------
        self : RealMLPClassifier
            The fitted estimator. Ctrl-C ends a fit early with a warning, and with the best weights.

        Raises
        ------
        ValueError, TypeError
            If a setting has no meaning, or the table cannot be learnt from.
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class of each row.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (m, n_features)
            Rows; columns are found by name.
        """
        found = self._predicted(X)
        labels: NDArray[Any] = self.classes_[found.argmax(axis=0)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the classes' probabilities, the mean over all networks.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (m, n_features)
            Rows; columns are found by name.

        Returns
        -------
        array, shape (m, n_classes)
            In the order of `classes_`.
        """
        return np.ascontiguousarray(self._predicted(X).T)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithms of the probabilities.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (m, n_features)
            Rows.
        """
        with np.errstate(divide="ignore"):
            logarithms: NDArray[np.float64] = np.log(self.predict_proba(X))
        return logarithms

    # -------------------------------------------------------------------------- for the base class

    def _recipe(self) -> Recipe:
        recipe = super()._recipe()
        if self.label_smoothing is None:
            return recipe
        return recipe_of(
            type(self).__name__,
            self.variant,
            self._kind,
            hidden=recipe.hidden,
            learning_rate=recipe.learning_rate,
            dropout=recipe.dropout,
            weight_decay=recipe.weight_decay,
            double_factors=recipe.double_factors,
            label_smoothing=self.label_smoothing,
        )

    def _encode(self, y: Any) -> Labels:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, classes = np.unique(y, return_inverse=True)
        return Labels(classes.astype(np.int64), None, len(self.classes_))

    def _row_weights(
        self, labels: Labels, weights: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return weights
        assert labels.classes is not None
        by_class: NDArray[np.float64] = compute_sample_weight(
            self.class_weight, self.classes_[labels.classes]
        )
        return by_class if weights is None else by_class * weights

    def _scorer(
        self, labels: Labels, weights: NDArray[np.float64] | None, scale: TargetScale | None
    ) -> Callable[[NDArray[Any]], float]:
        expected = labels.classes
        assert expected is not None
        if self.scoring is None:
            loss = calibrated_loss if self.calibrate else mean_loss
            return lambda outputs: -loss(outputs, expected, weights)
        scorer, stand_in = get_scorer(self.scoring), _Answers(self.classes_)
        rows = np.arange(len(expected)).reshape(-1, 1)
        keywords = {} if weights is None else {"sample_weight": weights}

        def score(outputs: NDArray[Any]) -> float:
            stand_in.answers = self._merged(outputs, None).T
            return float(scorer(stand_in, rows, self.classes_[expected], **keywords))

        return score

    def _merged(self, outputs: NDArray[Any], scale: TargetScale | None) -> NDArray[np.float64]:
        e = np.exp(outputs.astype(np.float64) - outputs.max(axis=0))
        probabilities: NDArray[np.float64] = e / e.sum(axis=0)
        return probabilities


class _Answers(ClassifierMixin, BaseRealMLP):
    """Stands before a scorer in place of the classifier in training, and answers for its rows."""

    def __init__(self, classes: Any = None) -> None:
        self.classes = classes
        self.classes_ = classes
        self.answers: Any = None

    def fit(self, X: Any, y: Any) -> Self:
        """Do nothing."""
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities."""
        return self.answers

    def predict(self, X: Any) -> Any:
        """Return the likeliest classes."""
        return self.classes_[self.answers.argmax(axis=1)]
