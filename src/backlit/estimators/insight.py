"""What a fitted network knows besides its predictions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from backlit.estimators.forward import every_layer
from backlit.estimators.labels import select
from backlit.model import model_backward, model_forward
from backlit.names import ACTIVATION_ALIASES

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
    """Methods of both estimators that look into the network."""

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
        weights = self._weights_checked()
        X, y = self._validate_held(X, y)
        X = X.toarray() if scipy.sparse.issparse(X) else X
        X = X.astype(weights.vector.dtype, copy=False)
        labels = self._encode(y, weights.vector.dtype)
        expected = select(labels, np.arange(len(X)))
        if labels.classes is not None:
            n_out = weights.layer_dims[-1]
            numbers = np.arange(n_out) if n_out > 1 else np.ones(1, int)
            expected = (expected.reshape(-1, 1) == numbers).astype(X.dtype)
        activations = self._activations()
        loss, parameter, _ = self._engine_loss(X.dtype)
        AL, caches = model_forward(
            X.T, weights.layout.views(weights.vector), activations=activations
        )
        gradients = model_backward(
            AL,
            expected.T,
            caches,
            activations=activations,
            loss=loss,
            loss_parameter=parameter if loss in ("huber", "quantile") else None,
        )
        return np.ascontiguousarray(gradients["dA0"].T)
