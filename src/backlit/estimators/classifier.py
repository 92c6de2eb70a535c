"""`MLPClassifier`."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from backlit.estimators.base import BaseMLP, given_only
from backlit.estimators.labels import chosen, decode, encode, select
from backlit.estimators.on_collections import CollectionsMixin
from backlit.estimators.parameters import COMMON_CONSTRAINTS, check_class_weight
from backlit.estimators.plain import (
    binarizer_of,
    classes_of,
    is_plain,
    is_plain_column,
    numbered,
    takes_features,
)
from backlit.estimators.protocols import is_collection
from backlit.estimators.validation import ValidationSet, check_has_weight
from backlit.training.data import Labels
from backlit.training.metrics import Accuracy

if TYPE_CHECKING:
    from backlit.training.data import Examples


class MLPClassifier(CollectionsMixin, ClassifierMixin, BaseMLP):
    """A multi-layer perceptron that classifies: scikit-learn's, on the compiled engine.

    Arguments, attributes, draws and answers are those of `sklearn.neural_network.MLPClassifier`;
    what comes after `max_fun` is added, with defaults that change nothing. The loss is the
    cross-entropy, softmax for several classes and logistic for two or for several labels at once.
    As in scikit-learn, the loss that is *reported*, and that L-BFGS and stopping see, clips
    probabilities at the type's eps; its gradient is that of the exact one.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str or list of str, default="relu"
        The hidden layers' activation: "identity", "logistic", "tanh" or "relu", and beyond
        scikit-learn's "leaky_relu", "elu", "selu", "gelu", "silu" and "softplus"; or a list with
        one a hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        What finds the weights: L-BFGS on all examples at once, or steps on mini-batches.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``alpha / (2 m) * sum(W ** 2)``, m being the batch (its sum of
        weights, if weighted). Biases are free of it.
    batch_size : int or "auto", default="auto"
        Examples a step; "auto" takes 200, or all if there are fewer.
    learning_rate : str or schedule, default="constant"
        With `solver="sgd"`: "constant", "invscaling" (``learning_rate_init / t ** power_t``, t
        being the examples seen) or "adaptive" (a fifth, whenever two epochs in a row do not
        improve). With "adam" too: "cosine", "one_cycle", or an object of
        `backlit.training.schedules` (warm-up is one of theirs).
    learning_rate_init : float, default=0.001
        Length of a step.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Epochs, or iterations of L-BFGS, at most.
    shuffle : bool, default=True
        Whether each epoch goes through the examples in a new order.
    random_state : int, RandomState or None, default=None
        Where first weights, the validation split and the orders come from, drawn as scikit-learn
        draws them.
    tol : float, default=1e-4
        Least improvement of the loss (of the score, with early stopping) that counts as one; for
        L-BFGS the largest element of the gradient to stop at.
    verbose : bool or int, default=False
        Whether to show progress: a live bar in a terminal or a notebook, lines elsewhere.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last one.
    momentum : float, default=0.9
        Share of the last step that SGD keeps.
    nesterovs_momentum : bool, default=True
        Whether SGD's momentum looks ahead.
    early_stopping : bool, default=False
        Whether to stop when the score on a validation set no longer improves, and to return the
        weights that were best by it.
    validation_fraction : float, default=0.1
        Share of the examples that early stopping sets aside, unless `fit` is given `X_val`.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of Adam's moments.
    epsilon : float, default=1e-8
        What keeps Adam's quotient finite.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement before training ends.
    max_fun : int, default=15000
        Evaluations of the loss by L-BFGS at most.
    class_weight : dict, list of dict or "balanced", optional
        Weights of the classes, multiplied with `sample_weight`.
    dropout : float or list of float, default=0.0
        Share of units dropped in each step in the hidden layers, or in each of them. Not for
        "lbfgs".
    weight_decay : float, default=0.0
        Decoupled decay of the weights by ``rate * weight_decay`` a step (AdamW: Loshchilov and
        Hutter 2019). Not for "lbfgs".
    max_grad_norm : float, optional
        Gradients longer than this are scaled down to it. Not for "lbfgs".
    scoring : str or callable, optional
        The score for early stopping, as in `sklearn.metrics.get_scorer`; by default accuracy.
    dtype : {"float32", "float64"}, optional
        Type to compute in; by default that of X, and float64 for integers.
    threads : int, optional
        Threads to use; by default the work in a step decides.
    dp : DPSGD, optional
        Differentially private training (`backlit.estimators.DPSGD`): each example's gradient is
        clipped, and noise is added; batches are samples of `batch_size` on average. It runs
        `max_iter` epochs without stopping sooner.
    checkpoint : path or `backlit.training.Checkpoint`, optional
        A folder where `fit` saves its state now and then, and by Ctrl-C and SIGTERM, so that it can
        be killed anywhere. Each training needs a folder of its own.
    resume : bool, default=False
        Whether `fit` goes on from the checkpoint, to the bits that an uninterrupted one would have
        come to; from the start where there is none yet.
    n_members : int, default=1
        Networks that are trained, side by side, each with a seed of its own drawn from
        `random_state`; probabilities are the mean of theirs.

    Attributes
    ----------
    classes_ : array
        The labels.
    coefs_, intercepts_ : list of array
        Each layer's weights (n_{l-1}, n_l) and biases (n_l,): views into one flat vector.
    loss_ : float
        The last epoch's loss as scikit-learn reports it, penalty included; after "lbfgs" the
        objective reached.
    best_loss_ : float or None
        The least of them; None with early stopping.
    loss_curve_ : list of float
        The loss of each epoch. Not after "lbfgs".
    validation_scores_ : list of float or None
        The score of each epoch on the validation set; None without one.
    best_validation_score_ : float or None
        The best of them; None without early stopping.
    validation_loss_curve_ : list of float
        The loss of each epoch on the validation set, without the penalty; only if there is one.
    privacy_ : PrivacySpent
        With `dp`: what was spent; `epsilon` and `delta` are the guarantee. Losses, scores and
        curves are measured without noise, and not covered by it.
    t_ : int
        Examples seen in all.
    n_iter_, n_layers_, n_outputs_, n_features_in_ : int
        Epochs of the last fit; layers, the input counted as one; outputs; inputs.
    feature_names_in_ : array of str
        Names of the inputs, if X had any.
    members_ : list of MLPClassifier
        With `n_members` above 1: the networks, each the estimator that its own parameters describe.
        What belongs to one of them, as `coefs_`, `loss_` and its curves, is there alone; `n_iter_`
        is the largest of theirs.
    out_activation_ : str
        "softmax" or "logistic".

    Examples
    --------
    >>> from backlit import MLPClassifier
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_wine(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> MLPClassifier(random_state=1, max_iter=300).fit(X, y).score(X, y)
    1.0
    """

    loss = "log_loss"
    class_weight: Any = None  # for a subclass whose constructor does not set it

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **COMMON_CONSTRAINTS,
        "class_weight": [None, StrOptions({"balanced"}), dict, list],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        dropout: Any = 0.0,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        scoring: Any = None,
        dtype: Any = None,
        threads: int | None = None,
        dp: Any = None,
        checkpoint: Any = None,
        resume: bool = False,
        n_members: int = 1,
    ) -> None:
        self._keep(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features), or Dask collection
            Examples in rows. Dask arrays and data frames, all others in the same partitions, are
            trained on by `backlit.cluster.fit` on Dask's current client, or in this process where
            there is none; `batch_size` "auto" is then 4096.
        y : array-like of shape (m,) or (m, n_labels)
            Labels; several columns of 0 and 1 for several labels at once.
        sample_weight : array-like of shape (m,), optional
            Weights of the examples.
        X_val, y_val, sample_weight_val : optional
            Your own validation set: its loss and score are measured after each epoch, and
            early stopping uses it.

        Returns
        -------
        self : MLPClassifier
            The fitted estimator. Ctrl-C ends a fit early with a warning, and with the best weights.

        Raises
        ------
        ValueError
            If an argument has no meaning, the arrays do not fit, or the weights stop being finite.
        """
        held = given_only(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
        return self._fit(X, y, sample_weight=sample_weight, incremental=False, **held)

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train for one epoch.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As for `fit`. Early stopping needs `X_val` here: once the score has not improved for
            more than `n_iter_no_change` calls, the best weights are restored, with a warning.
        classes : array-like, optional
            All labels that any call will see; needed in the first.

        Returns
        -------
        self : MLPClassifier
            The estimator.

        Raises
        ------
        ValueError
            As `fit` does, and if there are labels that were not announced.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which sees some examples "
                "at a time: pass the weights as a dict, or as sample_weight."
            )
        first_call = _check_partial_fit_first_call(self, classes)
        if first_call or not hasattr(self, "_label_binarizer"):  # classes_ were assigned
            classes = getattr(self, "classes_")  # noqa: B009 (set by scikit-learn's function)
            with np.errstate(invalid="ignore"):  # it casts NaN and refuses it later
                multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
        held = given_only(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
        return self._fit(X, y, sample_weight=sample_weight, incremental=True, **held)

    def predict(self, X: Any) -> Any:
        """Return the likeliest class of each example, or all labels that are likelier than not.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features), or Dask collection
            Examples in rows.

        Returns
        -------
        array, or Dask array that is not computed yet, of shape (m,) or (m, n_labels)
            Labels.
        """
        if is_collection(X):
            check_is_fitted(self)
            several = self._label_binarizer.y_type_.startswith("multilabel")
            columns = self.n_outputs_ if several else None
            return self._mapped(X, "predict", int if several else self.classes_.dtype, columns)
        outputs = self._outputs(X)
        return decode(self._label_binarizer, outputs)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features), or Dask collection
            Examples in rows.

        Returns
        -------
        array, or Dask array that is not computed yet, of shape (m, n_classes)
            Probabilities, in the order of `classes_`.
        """
        if is_collection(X):
            return self._mapped_probabilities(X, "predict_proba")
        outputs = self._outputs(X)
        if outputs.shape[1] > 1:
            return outputs
        both = np.empty((outputs.shape[0], 2), outputs.dtype)
        both[:, 1:] = outputs
        np.subtract(1, outputs, out=both[:, :1])
        return both

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features), or Dask collection
            Examples in rows.

        Returns
        -------
        array, or Dask array that is not computed yet, of shape (m, n_classes)
            Logarithms, in the order of `classes_`.
        """
        if is_collection(X):
            return self._mapped_probabilities(X, "predict_log_proba")
        probabilities = self.predict_proba(X)
        np.log(probabilities, out=probabilities)
        return probabilities

    def _mapped_probabilities(self, X: Any, method: str) -> Any:
        return self._mapped(X, method, self._output_dtype(), max(2, self.n_outputs_))

    # -------------------------------------------------------------------------- for the base class

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        known = hasattr(self, "classes_") and hasattr(self, "_label_binarizer")
        anew = not known or (not self.warm_start and not incremental)
        if reset and anew and is_plain(X, self.dtype) and is_plain_column(y, len(X), "iub"):
            takes_features(self, X.shape[1], reset)
            self.classes_ = classes_of(y)
            self._label_binarizer = binarizer_of(self.classes_)
            return X, y
        X, y = validate_data(self, X, y, reset=reset, **self._checks())
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if anew:
            with np.errstate(invalid="ignore"):  # it casts huge numbers to see if they are whole
                self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        with np.errstate(invalid="ignore"):  # as above
            labels = unique_labels(y)
        if self.warm_start:
            if set(labels) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous "
                    f"call to fit. Previously got {self.classes_}, `y` has {labels}"
                )
        else:
            self._check_known("y", labels)
        return X, y

    def _validate_held(self, X_val: Any, y_val: Any) -> tuple[Any, Any]:
        X_val, y_val = validate_data(self, X_val, y_val, reset=False, **self._checks())
        if y_val.ndim == 2 and y_val.shape[1] == 1:
            y_val = column_or_1d(y_val, warn=True)
        self._check_known("y_val", unique_labels(y_val))
        return X_val, y_val

    def _check_known(self, name: str, labels: NDArray[Any]) -> None:
        if len(np.setdiff1d(labels, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`{name}` has classes not in `self.classes_`. `self.classes_` has "
                f"{self.classes_}. '{name}' has {labels}."
            )

    def _example_weights(self, y: Any, sample_weight: Any) -> Any:
        if self.class_weight is None:
            return sample_weight
        check_class_weight(self.class_weight)
        if y.ndim == 2:
            weights = compute_sample_weight(self.class_weight, y)
        else:
            classes = self.classes_ if isinstance(self.class_weight, dict) else np.unique(y)
            places = np.searchsorted(classes, y)
            if isinstance(self.class_weight, str):  # scikit-learn weighs examples from 1.7 on
                counts = np.bincount(places, sample_weight, len(classes))
                of_class = counts.sum() / (len(classes) * counts)
            else:
                of_class = compute_class_weight(self.class_weight, classes=classes, y=y)
            weights = of_class[places]
        weights = weights if sample_weight is None else weights * sample_weight
        if weights.sum() == 0:
            raise ValueError(
                f"class_weight is {self.class_weight!r}, expected a weight above 0 for some of the "
                "examples."
            )
        return weights

    def _encode(self, y: Any, dtype: np.dtype[Any]) -> Labels:
        labels = numbered(self._label_binarizer, y)
        return encode(self._label_binarizer, y, dtype) if labels is None else labels

    def _output(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _engine_loss(self, dtype: np.dtype[Any]) -> tuple[str, float, float]:
        softmax = self.out_activation_ == "softmax"
        name = "cross_entropy" if softmax else "binary_cross_entropy"
        return name, float(np.finfo(dtype).eps), 1.0

    def _positive(self, labels: Labels) -> NDArray[np.bool_] | None:
        if labels.classes is None or labels.n_outputs > 1:
            return None
        positive: NDArray[np.bool_] = labels.classes == 1
        return positive

    def _validation_set(
        self, examples: "Examples", rows: NDArray[np.int64], inputs: Any
    ) -> ValidationSet:
        labels = Labels(examples.classes, examples.targets, self.n_outputs_)
        expected = select(labels, rows)
        weights = None if examples.sample_weight is None else examples.sample_weight[rows]
        check_has_weight("sample_weight", weights)
        binarizer = self._label_binarizer

        def score(outputs: NDArray[Any]) -> float:
            if examples.classes is not None:
                right = chosen(binarizer, outputs) == expected
            else:
                right = ((outputs > 0.5) == (expected > 0.5)).all(axis=1)
            return Accuracy.of(right, weights).value

        def originals() -> Any:
            if examples.classes is not None:
                return binarizer.classes_[expected]
            return expected.astype(int)

        return ValidationSet(examples, rows, inputs, score, originals)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
