"""A subclass that overrides a pass forward or backward: `fit` then runs it, batch by batch.

It is slower than the compiled engine by what NumPy and Python take; epochs, reasons to stop,
early stopping and checkpoints are the same code.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from backlit._warning import warn_user
from backlit.estimators.backpropagation import (
    BackpropagationMixin,
    as_matrix,
    columns_of,
    mean_loss,
    reported_losses,
)
from backlit.parameters import Layout, aligned_zeros
from backlit.training.optimizers import Numbers
from backlit.training.stepping import Stepper

if TYPE_CHECKING:
    from backlit.training.data import Examples

#: what `fit` runs if it is overridden
_PASSES = ("_forward_pass", "_backprop", "_compute_loss_grad", "_loss_grad_lbfgs")
#: what scikit-learn's `fit` calls and ours has no place for
_WITHOUT_EFFECT = ("_fit_stochastic", "_fit_lbfgs", "_update_no_improvement_count", "_score")

#: as they are before anybody replaces one on the class itself
_OURS: Mapping[str, Any] = dict(vars(BackpropagationMixin))


def overrides(estimator: Any, name: str) -> bool:
    """Whether a method is not ours: in a subclass, on the class or on the object."""
    return name in vars(estimator) or getattr(type(estimator), name) is not _OURS[name]


def overridden_pass(estimator: Any) -> str | None:
    """Return the name of a pass that is not ours, or None if all are."""
    return next((name for name in _PASSES if overrides(estimator, name)), None)


def check_overrides(estimator: Any) -> None:
    """Refuse what an override cannot do, and warn where one has no effect.

    Raises
    ------
    ValueError
        If a setting would leave an overridden pass out.
    """
    name, kind = overridden_pass(estimator), type(estimator)
    if name is not None:
        for setting, given in (
            ("dropout", bool(np.any(estimator.dropout))),
            ("dp", estimator.dp is not None),
        ):
            if given:
                raise ValueError(
                    f"{setting} is {getattr(estimator, setting)!r}, expected its default, because "
                    f"{kind.__name__} overrides {name}, which does not know of it."
                )
    unused = [name for name in _WITHOUT_EFFECT if hasattr(kind, name)]
    if unused:
        warn_user(
            f"{kind.__name__} defines {', '.join(unused)}, which scikit-learn's fit calls and this "
            "one does not. What it does use: " + ", ".join(("_init_coef", *_PASSES)) + "."
        )


class _State(NamedTuple):
    parameters: NDArray[Any]
    gradient: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    steps: NDArray[np.int64]


class MethodEngine:
    """Runs mini-batches through an estimator's own methods; it stands where `Engine` does.

    Parameters
    ----------
    estimator : BaseMLP
        Whose methods; they read and write its `coefs_` and `intercepts_`.
    parameters : array, shape (layout.size,)
        The flat vector that `train` updates in place.
    batch_size : int
        The largest batch.
    numbers : Numbers, optional
        The optimizer; the penalty is the methods' own.
    """

    def __init__(
        self,
        estimator: Any,
        parameters: NDArray[Any],
        batch_size: int,
        numbers: Numbers | None = None,
    ) -> None:
        self._estimator, self.parameters, self.batch_size = estimator, parameters, batch_size
        self.layout: Layout = estimator._weights.layout
        self.dtype = parameters.dtype
        self._stepper = Stepper(
            self.layout, parameters, (numbers or Numbers(moments=0))._replace(l2=0.0)
        )
        self.state = _State(
            parameters,
            aligned_zeros(self.layout.size, self.dtype),
            self._stepper.first,
            self._stepper.second,
            np.zeros(1, np.int64),
        )
        self._examples: Examples | None = None
        self._X: Any = None

    def go_on_from(
        self, first: NDArray[Any], second: NDArray[Any], steps: NDArray[np.int64]
    ) -> None:
        """Take moments and the number of steps of an engine before, and change them in place."""
        self.state = self.state._replace(first=first, second=second, steps=steps)

    def _batch(self, examples: "Examples", rows: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """Return some rows as scikit-learn's methods take them: X, y and weights."""
        if examples is not self._examples:
            self._examples, self._X = examples, as_matrix(examples.X)
        y = columns_of(
            None if examples.classes is None else examples.classes[rows],
            None if examples.targets is None else examples.targets[rows],
            self.layout.layer_dims[-1],
            is_classifier(self._estimator),
        )
        weights = examples.sample_weight
        return self._X[rows], y, None if weights is None else weights[rows]

    def _lists(self, X: Any) -> tuple[list[Any], ...]:
        """Return lists for activations, deltas and the two kinds of gradients."""
        layers = self._estimator._weights.layers
        empty: list[Any] = [None] * len(layers)
        gradients = ([np.empty_like(layer[place]) for layer in layers] for place in (0, 1))
        return [X, *empty], empty, *gradients

    def _packed(self, name: str, coef_grads: Any, intercept_grads: Any) -> NDArray[Any]:
        """Return gradients in the engine's order."""
        views = self.layout.views(self.state.gradient)
        for l, (W, b) in enumerate(self._estimator._weights.layers):
            for which, expected, given in (
                ("coef_grads", W, coef_grads[l]),
                ("intercept_grads", b, intercept_grads[l]),
            ):
                if np.shape(given) != expected.shape:
                    raise ValueError(
                        f"{name}: {which}[{l}] has shape {np.shape(given)}, expected "
                        f"{expected.shape} because the parameter has that shape."
                    )
            views[f"W{l + 1}"][...] = np.asarray(coef_grads[l]).T
            views[f"b{l + 1}"][:, 0] = intercept_grads[l]
        return self.state.gradient

    def train(
        self,
        examples: "Examples",
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        rates: NDArray[np.float64],
        random: NDArray[np.uint16] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take one optimizer step for each batch; as `Engine.train`.

        The losses have the penalty in them already.
        """
        stepper, weights = self._stepper, self._estimator._weights
        stepper.first, stepper.second = self.state.first, self.state.second
        stepper.steps = int(self.state.steps[0])
        losses = np.zeros(len(rates))
        weights.take(self.parameters)
        for i, rate in enumerate(rates):
            X, y, sample_weight = self._batch(examples, order[starts[i] : starts[i + 1]])
            loss, coef_grads, intercept_grads = self._estimator._backprop(
                X, y, sample_weight, *self._lists(X)
            )
            losses[i] = loss
            gradient = self._packed("_backprop", coef_grads, intercept_grads)
            stepper.step(gradient, float(rate), 1.0)
            self.state.steps[0] = stepper.steps
            weights.take(self.parameters)
        return losses, np.zeros(len(rates))

    def gradient(
        self,
        examples: "Examples",
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        total_weight: float,
    ) -> tuple[float, NDArray[Any]]:
        """Return the loss, penalty included, and its gradient, over all rows at once."""
        estimator, layers = self._estimator, self._estimator._weights.layers
        estimator._weights.take(self.parameters)
        packed = np.concatenate([layer[place].ravel() for place in (0, 1) for layer in layers])
        X, y, sample_weight = self._batch(examples, order)
        loss, gradient = estimator._loss_grad_lbfgs(packed, X, y, sample_weight, *self._lists(X))
        if np.shape(gradient) != packed.shape:
            raise ValueError(
                f"_loss_grad_lbfgs: the gradient has shape {np.shape(gradient)}, expected "
                f"{packed.shape}, one number a parameter."
            )
        parts: tuple[list[Any], list[Any]] = [], []
        begin = 0
        for place in (0, 1):
            for layer in layers:
                end = begin + layer[place].size
                parts[place].append(np.reshape(gradient[begin:end], layer[place].shape))
                begin = end
        return float(loss), self._packed("_loss_grad_lbfgs", *parts)

    def forward(
        self,
        examples: "Examples",
        order: NDArray[np.int64],
        *,
        outputs: bool = True,
        total_weight: float | None = None,
    ) -> tuple[float, NDArray[Any] | None]:
        """Return the rows' mean loss, as it is reported and without penalty, and the outputs."""
        self._estimator._weights.take(self.parameters)
        X, y, sample_weight = self._batch(examples, order)
        found = self._estimator._forward_pass_fast(X, check_input=False)
        name, parameter, scale = self._estimator._engine_loss(self.dtype)
        losses = reported_losses(name, parameter, y, found)
        return mean_loss(losses, scale, sample_weight), found
