"""An estimator's epochs as a state: what a checkpoint holds, and how one is gone on from."""

from typing import TYPE_CHECKING, Any

import numpy as np

from backlit.estimators.job import Job
from backlit.estimators.validation import Judge
from backlit.formats.generations import State
from backlit.training.checkpoints import random_state, set_random_state, whole
from backlit.training.loop import Loop

if TYPE_CHECKING:
    from backlit.estimators.privacy import PrivateLoop
    from backlit.training.checkpoints import Keeper

#: attributes that grow by a number an epoch
_CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_")
#: attributes that are single numbers
_NUMBERS = ("loss_", "best_loss_", "best_validation_score_")


class Epochs:
    """An estimator in training.

    Parameters
    ----------
    estimator : BaseMLP
        The estimator; its attributes are part of the state.
    job : Job
        The network and its data.
    loop : Loop or PrivateLoop
        What runs the epochs; a private one has no state to keep.
    judge : Judge or None
        What judges them.
    keeper : Keeper or None
        What saves the state.

    Attributes
    ----------
    safe : array
        Parameters to go back to: the last finite ones, or with early stopping the best.
    """

    def __init__(
        self,
        estimator: Any,
        job: Job,
        loop: "Loop | PrivateLoop",
        judge: Judge | None,
        keeper: "Keeper | None",
    ) -> None:
        self._estimator, self._job, self._keeper = estimator, job, keeper
        self.loop, self.judge = loop, judge
        vector = job.weights.vector
        if estimator.early_stopping:
            best = getattr(estimator, "_best", None)
            if best is None or best.shape != vector.shape:
                estimator._best = vector.copy()
        self.safe = estimator._best if estimator.early_stopping else vector.copy()
        estimator.n_iter_ = 0

    def _state(self) -> State:
        estimator, optimizer = self._estimator, self._estimator._optimizer
        assert isinstance(self.loop, Loop)  # a private training takes no checkpoint
        run = self.loop.state()
        arrays = {**run.arrays, "safe": self.safe}
        for name in _CURVES:
            curve = getattr(estimator, name, None)
            if curve is not None:
                arrays[name] = np.array(curve, np.float64)
        values: dict[str, Any] = {
            **run.values,
            "first_random_state": self._job.first_random_state,
            "random_state": random_state(self._job.random_state),
            "dropout": None,
            "learning_rate": optimizer.learning_rate,
            "waited": estimator._no_improvement_count,
            "epoch": estimator.n_iter_,
            "seen": estimator.t_,
        }
        if optimizer._generator is not None:
            values["dropout"] = random_state(optimizer._generator)
        for name in _NUMBERS:
            number = getattr(estimator, name, None)
            values[name] = None if number is None else float(number).hex()
        return State(arrays, values)

    def restore(self) -> bool:
        """Go on from the checkpoint that was found, if one was; return whether all is over."""
        keeper, estimator = self._keeper, self._estimator
        if keeper is None:
            return False
        keeper.watch(self._state)
        if keeper.found is None:
            return False
        arrays, values = keeper.found
        optimizer = estimator._optimizer
        assert isinstance(self.loop, Loop)
        self.loop.restore(keeper.found)
        self.safe[...] = arrays["safe"]
        for name in _CURVES:
            if name in arrays:
                setattr(estimator, name, arrays[name].tolist())
        for name in _NUMBERS:
            number = values[name]
            if number is not None or hasattr(estimator, name):
                setattr(estimator, name, None if number is None else float.fromhex(number))
        set_random_state(self._job.random_state, values["random_state"])
        if values["dropout"] is not None:
            set_random_state(optimizer.generator(self._job.random_state), values["dropout"])
        optimizer.learning_rate = values["learning_rate"]
        estimator._no_improvement_count = values["waited"]
        estimator.n_iter_, estimator.t_ = values["epoch"], values["seen"]
        if values["stopped"] is None:
            return False
        if estimator.early_stopping:
            self._job.weights.vector[...] = self.safe
            del estimator._best
        return True

    def tick(self, *, epoch_over: bool = False) -> None:
        """Save if it is time to."""
        if self._keeper is not None:
            self._keeper.tick(epoch_over=epoch_over)

    def whole(self) -> Any:
        """Return a context in which a signal is answered at once."""
        return whole(self._keeper)

    def end(self, reason: str) -> None:
        """Save the last state; one that a callback ended may be gone on from."""
        if self._keeper is not None:
            self._keeper.save(stopped=None if reason == "callback" else reason)
