"""What a fitted network knows besides its predictions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight

from backlit._locks import importing
from backlit.estimators.forward import every_layer
from backlit.estimators.labels import select
from backlit.model import model_backward, model_forward
from backlit.names import ACTIVATION_ALIASES

if TYPE_CHECKING:
    from backlit.tracing.run import Trace

#: activations that saturate, and how near to their bounds counts as saturated
_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"sigmoid": (0.01, 0.99), "tanh": (-0.99, 0.99)}
)
#: activations that are exactly zero for half of their arguments
_RECTIFIERS = frozenset({"relu"})


class LayerHealth(NamedTuple):
    """How a hidden layer fares on some examples.

    Attributes
    ----------
    layer : int
        Its number, from 1.
    activation : str
        Its activation.
    mean, std : float
        Of its activations.
    dead : float
        Share of its units that are zero for every example, for relu; they learn nothing more.
    saturated : float
        Share of its activations within 1 % of a bound, for the logistic function and tanh: hardly
        any gradient passes there.
    """

    layer: int
    activation: str
    mean: float
    std: float
    dead: float
    saturated: float


class InsightMixin:
    """Methods of both estimators that show the inside of the network."""

    def activations(self: Any, X: Any) -> list[NDArray[Any]]:
        """Return every layer's activations.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features)
            Examples in rows.

        Returns
        -------
        list of array
            A_1, ..., A_L, each of shape (m, n_l); the last is the output.
        """
        return every_layer(self._weights_checked(), self._activations(), self._checked_inputs(X))

    def layer_health(self: Any, X: Any) -> list[LayerHealth]:
        """Return how each hidden layer fares: dead and saturated units, mean and deviation.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features)
            Examples in rows.

        Returns
        -------
        list of LayerHealth
            One a hidden layer.
        """
        health = []
        hidden = self.activations(X)[:-1]
        for l, (A, given) in enumerate(zip(hidden, self._activations(), strict=False), start=1):
            name = ACTIVATION_ALIASES.get(given, given)
            dead = float((A == 0).all(axis=0).mean()) if name in _RECTIFIERS else 0.0
            low, high = _BOUNDS.get(name, (-np.inf, np.inf))
            saturated = float(((low > A) | (high < A)).mean())
            health.append(LayerHealth(l, name, float(A.mean()), float(A.std()), dead, saturated))
        return health

    def input_gradient(self: Any, X: Any, y: Any) -> NDArray[Any]:
        """Return the gradient of each example's loss with respect to its inputs.

        It says which inputs would change the loss, and in which direction; the loss is the exact
        one, without penalty.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features)
            Examples in rows.
        y : array-like of shape (m,) or (m, n_outputs)
            Labels or targets, as for `fit`.

        Returns
        -------
        array of shape (m, n_features)
            Row i belongs to example i alone: it carries no 1/m.
        """
        X, Y, settings = self._open_arguments(X, y)
        parameters = self._weights.as_mapping()
        activations = settings["activations"]
        AL, caches = model_forward(X, parameters, activations=activations)
        gradients = model_backward(AL, Y, caches, **settings)
        return np.ascontiguousarray(gradients["dA0"].T)

    def trace(self: Any, X: Any, y: Any, sample_weight: Any = None) -> "Trace":
        """Run examples forward and backward, and keep and judge everything on the way.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features)
            Examples in rows.
        y : array-like of shape (m,) or (m, n_outputs)
            Labels or targets, as for `fit`.
        sample_weight : array-like of shape (m,), optional
            Weights of the examples; class weights are multiplied with them, as in `fit`.

        Returns
        -------
        Trace
            Every Z, A, dZ, dA, dW and db (examples in columns there), with norms, dead and
            saturated units and what they mean. The gradient is the one that `fit` would follow on
            these examples as one batch: of the exact loss, with the penalty `alpha`. With
            `solver="sgd"` update ratios are those of a plain step of `learning_rate_init`.

        Examples
        --------
        >>> from backlit import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> t = MLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y).trace(X, y)
        >>> t.layers[1].dW.shape, t["dZ2"].shape
        ((5, 4), (3, 150))
        """
        with importing:
            from backlit.tracing.run import trace

        X, Y, settings = self._open_arguments(X, y, sample_weight, weigh=True)
        return trace(
            X,
            Y,
            self._weights.as_mapping(),
            l2=float(self.alpha),
            learning_rate=float(self.learning_rate_init) if self.solver == "sgd" else None,
            **settings,
        )

    def _open_arguments(
        self: Any, X: Any, y: Any, sample_weight: Any = None, *, weigh: bool = False
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Return examples and labels in columns, and settings, as the open functions take them.

        They are checked as in `fit`; with `weigh` the settings have the examples' weights, which
        those of their classes are multiplied with.
        """
        self._weights_checked()
        X, y = self._validate_held(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        given = self._example_weights(y, sample_weight) if weigh else None
        arguments: tuple[Any, Any, dict[str, Any]] = self._in_columns(X, y, given)
        return arguments

    def _in_columns(
        self: Any, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Do the same with examples that have been checked."""
        weights = self._weights
        X = X.toarray() if scipy.sparse.issparse(X) else X
        X = X.astype(weights.vector.dtype, copy=False)
        labels = self._encode(y, weights.vector.dtype)
        expected = select(labels, np.arange(len(X)))
        if labels.classes is not None:
            n_out = weights.layer_dims[-1]
            numbers = np.arange(n_out) if n_out > 1 else np.ones(1, int)
            expected = (expected.reshape(-1, 1) == numbers).astype(X.dtype)
        loss, parameter, _ = self._engine_loss(X.dtype)
        settings = {
            "activations": self._activations(),
            "loss": loss,
            "loss_parameter": parameter if loss in ("huber", "quantile") else None,
        }
        if sample_weight is not None:
            settings["sample_weight"] = sample_weight
        return X.T, expected.T, settings

    def __trace_arguments__(
        self: Any, X: Any, y: Any, sample_weight: Any, rows: int
    ) -> dict[str, Any]:
        """Return the arguments of `trace` for some of a fit's checked examples."""
        weights = self._example_weights(y, sample_weight)
        X = X.tocsr() if scipy.sparse.issparse(X) else X
        if X.shape[0] > rows:
            chosen = np.sort(np.random.default_rng(0).choice(X.shape[0], rows, replace=False))
            X, y = X[chosen], y[chosen]
            weights = None if weights is None else weights[chosen]
        X, Y, settings = self._in_columns(X, y, weights)
        parameters = self._weights.as_mapping()
        return {"X": X, "Y": Y, "parameters": parameters, "l2": float(self.alpha), **settings}
