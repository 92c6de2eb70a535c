"""scikit-learn's private methods of a pass forward and backward, to be called or overridden.

They are written on NumPy arrays with the open statement's functions. `fit` runs the compiled engine
instead, as long as none of them is overridden; see `backlit.estimators.overrides`.
"""

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.special import xlogy
from sklearn.utils.extmath import safe_sparse_dot

from backlit.activations import FUNCTIONS
from backlit.estimators.forward import activate
from backlit.losses import FUNCTIONS_OF_LOGITS
from backlit.names import ACTIVATION_ALIASES


def reported_losses(
    name: str, parameter: float, y: NDArray[Any], outputs: NDArray[Any]
) -> NDArray[Any]:
    """Return each output's loss as scikit-learn reports it, shape (m, n_L).

    Parameters
    ----------
    name : str
        The engine's name of the loss.
    parameter : float
        Huber's delta or the quantile; for cross-entropies what probabilities are kept away from 0
        and 1 by.
    y : array, shape (m, n_L)
        Targets; for classes columns of 0 and 1.
    outputs : array, shape (m, n_L)
        What the network says.
    """
    each: NDArray[Any]
    if name == "cross_entropy":
        each = -xlogy(y, np.clip(outputs, parameter, 1 - parameter))
    elif name == "binary_cross_entropy":
        p = np.clip(outputs, parameter, 1 - parameter)
        each = -(xlogy(y, p) + xlogy(1 - y, 1 - p))
    elif name == "poisson":  # half the deviance
        each = xlogy(y, y / outputs) - y + outputs
    else:  # the output is the identity, so that it is its own logit
        each = FUNCTIONS_OF_LOGITS[name].value(outputs, y, parameter)
    return each


def mean_loss(losses: NDArray[Any], scale: float, sample_weight: NDArray[Any] | None) -> float:
    """Return the mean over the examples of the sum over the outputs, times `scale`."""
    mean: float = scale * np.average(losses, weights=sample_weight, axis=0).sum()
    return mean


class BackpropagationMixin:
    """`_forward_pass`, `_backprop`, `_init_coef` and what belongs to them, by rows of examples."""

    def _init_coef(
        self: Any, fan_in: int, fan_out: int, dtype: Any, activation: str | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw a layer's first weights and biases.

        Uniform in +-sqrt(6 / (n_{l-1} + n_l)) (Glorot and Bengio 2010), with 2 in place of 6 for
        the logistic function.

        Parameters
        ----------
        fan_in, fan_out : int
            n_{l-1} and n_l.
        dtype : dtype
            float32 or float64; drawn in double precision and then rounded.
        activation : str, optional
            The layer's activation, where each hidden layer has one of its own.

        Returns
        -------
        coefs, intercepts : array, shapes (fan_in, fan_out) and (fan_out,)
            New arrays.
        """
        name = self.activation if activation is None else activation
        gain = 2.0 if name in ("logistic", "sigmoid") else 6.0
        bound = np.sqrt(gain / (fan_in + fan_out))
        W = self._random_state.uniform(-bound, bound, (fan_in, fan_out))
        b = self._random_state.uniform(-bound, bound, fan_out)
        return W.astype(dtype, copy=False), b.astype(dtype, copy=False)

    def _forward_pass(self: Any, activations: list[Any]) -> list[Any]:
        """Run examples forward, ``A_l = g(A_{l-1} @ W_l + b_l)``, and keep every layer's.

        Parameters
        ----------
        activations : list, length L + 1
            ``activations[0]`` is X, of shape (m, n_0); the others are set, of shape (m, n_l).

        Returns
        -------
        list
            The same list.
        """
        layers = zip(self.coefs_, self.intercepts_, self._activations(), strict=True)
        for l, (W, b, name) in enumerate(layers):
            Z = safe_sparse_dot(activations[l], W)
            Z += b
            activations[l + 1] = activate(name, Z)
        return activations

    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> NDArray[Any]:
        """Return the network's outputs, shape (m, n_L)."""
        if check_input:
            X = self._checked_inputs(X)
        layers, A = zip(self.coefs_, self.intercepts_, self._activations(), strict=True), X
        for W, b, name in layers:
            Z = safe_sparse_dot(A, W)
            Z += b
            A = activate(name, Z)
        return np.asarray(A)

    def _backprop(
        self: Any,
        X: Any,
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None,
        activations: list[Any],
        deltas: list[Any],
        coef_grads: list[Any],
        intercept_grads: list[Any],
    ) -> tuple[float, list[Any], list[Any]]:
        """Run examples forward and backward.

        ``dZ_L = A_L - Y`` times the examples' weights, ``dZ_{l-1} = dZ_l @ W_l.T * g'(Z_{l-1})``,
        ``dW_l = (A_{l-1}.T @ dZ_l + alpha W_l) / m`` and ``db_l = sum(dZ_l) / m``, m being the sum
        of the weights.

        Parameters
        ----------
        X : {array, sparse matrix}, shape (m, n_0)
            Examples in rows; ``activations[0]`` is what is run forward.
        y : array, shape (m, n_L)
            Targets; for classes columns of 0 and 1.
        sample_weight : array, shape (m,), or None
            Weights of the examples.
        activations, deltas, coef_grads, intercept_grads : list
            Of lengths L + 1, L, L and L: set to A_0, ..., A_L, dZ_1, ..., dZ_L and the gradients.

        Returns
        -------
        loss : float
            The mean loss as scikit-learn reports it, penalty included.
        coef_grads, intercept_grads : list of array
            The same lists.
        """
        activations = self._forward_pass(activations)
        loss, parameter, scale = self._engine_loss(activations[-1].dtype)
        y = np.asarray(y).reshape(len(activations[-1]), -1)
        each = reported_losses(loss, parameter, y, activations[-1])
        total = X.shape[0] if sample_weight is None else sample_weight.sum()
        squares = sum(np.dot(W.ravel(), W.ravel()) for W in self.coefs_)
        value = mean_loss(each, scale, sample_weight) + 0.5 * self.alpha * squares / total
        last = len(self.coefs_) - 1
        deltas[last] = _output_gradient(loss, parameter, y, activations[-1])
        if sample_weight is not None:
            deltas[last] *= sample_weight.reshape(-1, 1)
        grads = total, activations, deltas, coef_grads, intercept_grads
        self._compute_loss_grad(last, *grads)
        names = self._activations()
        for l in range(last, 0, -1):
            dA = safe_sparse_dot(deltas[l], self.coefs_[l].T)
            deltas[l - 1] = self._through(names[l - 1], dA, activations, l)
            self._compute_loss_grad(l - 1, *grads)
        return value, coef_grads, intercept_grads

    def _through(
        self: Any, name: str, dA: NDArray[Any], activations: list[Any], l: int
    ) -> NDArray[Any]:
        """Return dZ_l from dA_l: by A_l where it says enough, as in scikit-learn, else by Z_l."""
        A, name = activations[l], ACTIVATION_ALIASES.get(name, name)
        if name == "sigmoid":  # g' = A (1 - A)
            dA *= A
            dA *= 1 - A
        elif name == "tanh":  # g' = 1 - A^2
            dA *= 1 - A**2
        elif name == "relu":  # g' = [A > 0]
            dA[A == 0] = 0
        elif name != "identity":
            Z = safe_sparse_dot(activations[l - 1], self.coefs_[l - 1])
            Z += self.intercepts_[l - 1]
            return np.asarray(FUNCTIONS[name].backward(dA, Z))
        return dA

    def _compute_loss_grad(
        self: Any,
        layer: int,
        sw_sum: float,
        activations: list[Any],
        deltas: list[Any],
        coef_grads: list[Any],
        intercept_grads: list[Any],
    ) -> None:
        """Set a layer's gradients from its dZ."""
        dW = safe_sparse_dot(activations[layer].T, deltas[layer])
        dW += self.alpha * self.coefs_[layer]
        dW /= sw_sum
        coef_grads[layer] = dW
        intercept_grads[layer] = np.sum(deltas[layer], axis=0) / sw_sum

    def _unpack(self: Any, packed_parameters: NDArray[Any]) -> None:
        """Set all weights, and then all biases, from one vector."""
        begin = 0
        for array in (*self.coefs_, *self.intercepts_):
            part = packed_parameters[begin : begin + array.size]
            array[...] = part.reshape(array.shape)
            begin += array.size

    def _loss_grad_lbfgs(
        self: Any,
        packed_coef_inter: NDArray[Any],
        X: Any,
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None,
        activations: list[Any],
        deltas: list[Any],
        coef_grads: list[Any],
        intercept_grads: list[Any],
    ) -> tuple[float, NDArray[Any]]:
        """Return the loss and its gradient, packed as the parameters are: as `_backprop`."""
        self._unpack(packed_coef_inter)
        loss, coef_grads, intercept_grads = self._backprop(
            X, y, sample_weight, activations, deltas, coef_grads, intercept_grads
        )
        return loss, np.hstack([array.ravel() for array in (*coef_grads, *intercept_grads)])


def _output_gradient(
    loss: str, parameter: float, y: NDArray[Any], outputs: NDArray[Any]
) -> NDArray[Any]:
    """Return dZ_L."""
    if loss in ("absolute", "huber", "quantile"):  # the output is the identity
        return np.asarray(FUNCTIONS_OF_LOGITS[loss].gradient(outputs, y, parameter))
    dZ: NDArray[Any] = outputs - y  # squared error, and losses that go with their activation
    return dZ


def columns_of(
    classes: NDArray[Any] | None, targets: NDArray[Any] | None, n_outputs: int, boolean: bool
) -> NDArray[Any]:
    """Return labels in the engine's numbers as scikit-learn's columns, shape (m, n_L)."""
    if classes is not None:
        numbers = np.arange(n_outputs) if n_outputs > 1 else np.ones(1, int)
        columns: NDArray[Any] = classes.reshape(-1, 1) == numbers
        return columns
    assert targets is not None
    return targets.astype(bool) if boolean else targets


def as_matrix(X: Any) -> Any:
    """Return examples as the engine reads them as an array or a sparse matrix."""
    if isinstance(X, np.ndarray):
        return X
    return scipy.sparse.csr_array((X.values, X.columns, X.starts), shape=X.shape)
