"""What a fit writes into an estimator after each epoch, and how it says how it ended."""

from typing import Any

from sklearn.exceptions import ConvergenceWarning

from backlit._warning import warn_user
from backlit.estimators.callbacks import EpochCallbacks
from backlit.estimators.progress import Silent
from backlit.estimators.weights import Parameters, Weights
from backlit.training.stopping import (
    DIVERGENCE,
    REDUCED,
    STANDSTILL,
    StoppingState,
)
from backlit.training.trainer import Epoch, Observer
from backlit.training.workers import asked_to_stop

#: how every solver says that it went astray; scikit-learn's words come first
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed. Scale the inputs to mean 0 and variance 1 (StandardScaler), or take "
    "smaller steps (learning_rate_init, max_grad_norm). The last finite weights are kept."
)


class EstimatorObserver(Observer):
    """Writes each epoch into the estimator's attributes, shows it, and calls the callbacks.

    Parameters
    ----------
    estimator : BaseMLP
        Whose training it is.
    weights : Parameters
        The network in training.
    show : Silent
        What shows the progress.
    callbacks : EpochCallbacks, optional
        scikit-learn's callbacks.
    """

    def __init__(
        self,
        estimator: Any,
        weights: Parameters,
        show: Silent,
        callbacks: EpochCallbacks | None = None,
    ) -> None:
        self._estimator, self._weights = estimator, weights
        self._show, self._callbacks = show, callbacks

    def _fitted(self) -> dict[str, Any]:
        weights = self._weights
        return {"_weights": Weights(weights.vector, weights.layer_dims)}

    @property
    def watches(self) -> bool:
        """Whether epochs are shown, or there are callbacks."""
        called = self._callbacks is not None and self._callbacks.there_are
        return called or type(self._show) is not Silent

    def epoch_begins(self) -> None:
        """Tell the callbacks."""
        if self._callbacks is not None:
            self._callbacks.epoch_begins()

    def progress(self, share: float) -> bool:
        """Move the bar on."""
        if self._show.live:
            self._show.share(share)
        return asked_to_stop()

    def call_ends(self) -> bool:
        """Return whether to stop."""
        return asked_to_stop()

    def epoch_ends(self, epoch: Epoch) -> bool:
        """Write the attributes, show the epoch, and ask the callbacks whether to stop."""
        estimator = self._estimator
        self._show.epoch(epoch.number, epoch.loss)
        if estimator.solver != "lbfgs":
            self.take(epoch.loss, epoch.stopping)
        if epoch.validation is not None:
            self._show.score(epoch.validation.score)
        if epoch.reason == DIVERGENCE:
            return False
        if self._callbacks is not None and self._callbacks.epoch_ends(self._fitted):
            return True
        if epoch.reason == REDUCED:
            rate = epoch.stopping.learning_rate
            self._show.say(f"{standstill(estimator)} Setting learning rate to {rate:f}")
        elif epoch.reason == STANDSTILL:
            small = estimator._optimizer.adaptive
            end = "Learning rate too small. Stopping." if small else "Stopping."
            self._show.say(f"{standstill(estimator)} {end}")
        return asked_to_stop()

    def take(self, loss: float, state: StoppingState) -> None:
        """Write what an epoch has come to into the estimator's attributes."""
        estimator = self._estimator
        estimator.loss_, estimator.n_iter_, estimator.t_ = loss, state.epoch, state.seen
        estimator._no_improvement_count = state.waited
        estimator._optimizer.learning_rate = state.learning_rate
        if estimator.early_stopping:
            estimator.best_validation_score_ = state.best_score
        else:
            estimator.best_loss_ = state.best_loss


def standstill(estimator: Any) -> str:
    """Say that nothing has improved for as long as the settings allow."""
    what = "Validation score" if estimator.early_stopping else "Training loss"
    return (
        f"{what} did not improve more than tol={estimator.tol:f} for "
        f"{estimator.n_iter_no_change} consecutive epochs."
    )


def warn_of_convergence(message: str) -> None:
    """Warn, at the line of the caller, of how a fit ended."""
    warn_user(message, ConvergenceWarning)
