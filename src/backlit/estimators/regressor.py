"""`MLPRegressor`."""

from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from backlit.estimators.base import BaseMLP, given_only
from backlit.estimators.on_collections import CollectionsMixin
from backlit.estimators.parameters import COMMON_CONSTRAINTS, REGRESSION_LOSSES
from backlit.estimators.plain import is_plain, is_plain_column, takes_features
from backlit.estimators.protocols import is_collection
from backlit.estimators.validation import ValidationSet, check_has_weight
from backlit.training.data import Labels
from backlit.training.metrics import RSquared

if TYPE_CHECKING:
    from backlit.training.data import Examples


class MLPRegressor(CollectionsMixin, RegressorMixin, BaseMLP):
    """A multi-layer perceptron that predicts numbers: scikit-learn's, on the compiled engine.

    Arguments, attributes, draws and answers are those of `sklearn.neural_network.MLPRegressor`;
    what comes after `max_fun` is added, with defaults that change nothing. As in scikit-learn, what
    is minimised is the *sum* over the outputs of the mean loss, while the loss that is *reported*,
    and that L-BFGS and stopping see, is the mean over the outputs (for Poisson the sum too).

    Parameters
    ----------
    loss : str, default="squared_error"
        "squared_error" (half the square) or "poisson" (half the deviance; predictions are
        exponentials), and beyond scikit-learn's "absolute_error", "huber" and "quantile".
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
    delta : float, default=1.0
        Where Huber's loss turns from a parabola into a line.
    quantile : float, default=0.5
        Which quantile the quantile loss estimates.
    dropout : float or list of float, default=0.0
        Share of units dropped in each step in the hidden layers, or in each of them. Not for
        "lbfgs".
    weight_decay : float, default=0.0
        Decoupled decay of the weights by ``rate * weight_decay`` a step (AdamW: Loshchilov and
        Hutter 2019). Not for "lbfgs".
    max_grad_norm : float, optional
        Gradients longer than this are scaled down to it. Not for "lbfgs".
    scoring : str or callable, optional
        The score for early stopping, as in `sklearn.metrics.get_scorer`; by default R^2.
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
        `random_state`; predictions are the mean of theirs.

    Attributes
    ----------
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
    members_ : list of MLPRegressor
        With `n_members` above 1: the networks, each the estimator that its own parameters describe.
        What belongs to one of them, as `coefs_`, `loss_` and its curves, is there alone; `n_iter_`
        is the largest of theirs.
    out_activation_ : str
        "identity" or "exp".

    Examples
    --------
    >>> from backlit import MLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(solver="lbfgs", hidden_layer_sizes=5, alpha=100, random_state=1)
    >>> round(model.fit(X, y).score(X, y), 1)
    0.5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **COMMON_CONSTRAINTS,
        "loss": [StrOptions(set(REGRESSION_LOSSES))],
        "delta": [Interval(Real, 0, None, closed="neither")],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    delta: float = 1.0  # for a subclass whose constructor does not set it
    quantile: float = 0.5

    def __init__(
        self,
        loss: str = "squared_error",
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
        delta: float = 1.0,
        quantile: float = 0.5,
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
        y : array-like of shape (m,) or (m, n_outputs)
            Targets.
        sample_weight : array-like of shape (m,), optional
            Weights of the examples.
        X_val, y_val, sample_weight_val : optional
            Your own validation set: its loss and score are measured after each epoch, and
            early stopping uses it.

        Returns
        -------
        self : MLPRegressor
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

        Returns
        -------
        self : MLPRegressor
            The estimator.

        Raises
        ------
        ValueError
            As `fit` does.
        """
        held = given_only(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
        return self._fit(X, y, sample_weight=sample_weight, incremental=True, **held)

    def predict(self, X: Any) -> Any:
        """Return the predicted numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features), or Dask collection
            Examples in rows.

        Returns
        -------
        array, or Dask array that is not computed yet, of shape (m,) or (m, n_outputs)
            Predictions.
        """
        if is_collection(X):
            dtype = self._output_dtype()
            columns = self.n_outputs_ if self.n_outputs_ > 1 else None
            return self._mapped(X, "predict", dtype, columns)
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    # -------------------------------------------------------------------------- for the base class

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        plain = is_plain(X, self.dtype) and is_plain_column(y, len(X), "iuf")
        if plain and takes_features(self, X.shape[1], reset):
            return X, y
        X, y = validate_data(self, X, y, reset=reset, **self._checks(y_numeric=True))
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _validate_held(self, X_val: Any, y_val: Any) -> tuple[Any, Any]:
        return self._validate_input(X_val, y_val, True, reset=False)

    def _encode(self, y: Any, dtype: np.dtype[Any]) -> Labels:
        targets = np.require(y.reshape(len(y), -1), dtype, ["C", "A"])
        return Labels(None, targets, targets.shape[1])

    def _output(self) -> str:
        return REGRESSION_LOSSES[self.loss][1]

    def _engine_loss(self, dtype: np.dtype[Any]) -> tuple[str, float, float]:
        parameter = {"huber": self.delta, "quantile": self.quantile}.get(self.loss, 0.0)
        scale = 1.0 if self.loss == "poisson" else 1.0 / self.n_outputs_
        return REGRESSION_LOSSES[self.loss][0], float(parameter), scale

    def _positive(self, labels: Labels) -> NDArray[np.bool_] | None:
        return None

    def _validation_set(
        self, examples: "Examples", rows: NDArray[np.int64], inputs: Any
    ) -> ValidationSet:
        assert examples.targets is not None
        expected = examples.targets[rows]
        weights = None if examples.sample_weight is None else examples.sample_weight[rows]
        check_has_weight("sample_weight", weights)

        def score(outputs: NDArray[Any]) -> float:
            return RSquared.of(expected, outputs, weights).value

        def originals() -> Any:
            return expected.ravel() if expected.shape[1] == 1 else expected

        return ValidationSet(examples, rows, inputs, score, originals)
