"""When a training ends: pure rules, from what is known and a finished epoch to what is known now.

A rule is called with a `StoppingState`, the epoch's training loss and its validation scores, and
returns the next state and, where there is one, a reason. `Patience` is the rule of
`backlit.training.fit`, `ScikitLearnStopping` that of scikit-learn's `MLPClassifier`, which also
sets the learning rate of the next epoch. Both are functions of their arguments alone, so that a
state that was saved goes on to the same end.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

#: reasons to stop
EPOCHS, PATIENCE, STANDSTILL, CONVERGED = "epochs", "patience", "standstill", "converged"
DIVERGENCE, CALLBACK, INTERRUPTED = "divergence", "callback", "interrupted"
#: no reason to stop: the learning rate was lowered instead
REDUCED = "reduced"
#: reasons after which there is nothing to go on with
FINAL = (EPOCHS, PATIENCE, STANDSTILL, CONVERGED)

#: scikit-learn's adaptive schedule ends below this rate, and divides by this number above it
SMALLEST_RATE, RATE_DIVISOR = 1e-6, 5.0


class Scores(NamedTuple):
    """The mean validation loss after an epoch, and the accuracy or R^2."""

    loss: float
    score: float


class StoppingState(NamedTuple):
    """What a rule knows after some epochs.

    Attributes
    ----------
    epoch : int
        How many epochs there were.
    best_epoch : int
        The best of them, counted from 1; 0 before there is one.
    best_loss, best_score : float
        The lowest loss, and the highest validation score.
    waited : int
        Epochs since the last one that counted as an improvement.
    learning_rate : float
        The next epoch's rate, before the factors of a schedule by steps.
    seen : int
        Examples that have been trained on.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_score: float = -math.inf
    waited: int = 0
    learning_rate: float = math.nan
    seen: int = 0

    @property
    def is_best(self) -> bool:
        """Whether no epoch was better than the last one."""
        return self.epoch == self.best_epoch


class Stopping(Protocol):
    """A rule."""

    def __call__(
        self, state: StoppingState, loss: float, validation: Scores | None
    ) -> tuple[StoppingState, str | None]:
        """Return the state after an epoch, and a reason where there is one."""


@dataclass(frozen=True)
class Patience:
    """Stop after some epochs without an improvement of the loss.

    The loss is that of the validation set where there is one, else the training loss.

    Parameters
    ----------
    patience : int or None
        How many epochs; None never stops.
    min_improvement : float
        The least decrease below the best loss that counts as an improvement.
    """

    patience: int | None = None
    min_improvement: float = 0.0

    def __call__(
        self, state: StoppingState, loss: float, validation: Scores | None
    ) -> tuple[StoppingState, str | None]:
        """Return the state after an epoch, and a reason where there is one."""
        judged = loss if validation is None else validation.loss
        improved = judged < state.best_loss - self.min_improvement
        state = state._replace(epoch=state.epoch + 1, waited=0 if improved else state.waited + 1)
        if judged < state.best_loss:
            state = state._replace(best_loss=judged, best_epoch=state.epoch)
        stops = self.patience is not None and state.waited >= self.patience
        return state, PATIENCE if stops else None


@dataclass(frozen=True)
class ScikitLearnStopping:
    """scikit-learn's rule, with its learning rates by epoch.

    Parameters
    ----------
    tol : float
        The least improvement that counts.
    n_iter_no_change : float
        Stop after more epochs than this without one.
    by_score : bool
        Whether the validation score decides (`early_stopping`), or the training loss.
    rows : int
        Examples an epoch.
    adaptive : bool, default False
        Whether the rate is divided by 5 in place of stopping, until it is below 1e-6.
    first_rate : float, default nan
        The rate that `power` refers to.
    power : float, optional
        Where given, the rate after t examples is ``first_rate / (t + 1) ** power``.
    stops : bool, default True
        Whether the rule may end the training. A private training takes the steps that were
        planned: to stop by the loss would reveal something of the data.
    """

    tol: float
    n_iter_no_change: float
    by_score: bool
    rows: int
    adaptive: bool = False
    first_rate: float = math.nan
    power: float | None = None
    stops: bool = True

    def __call__(
        self, state: StoppingState, loss: float, validation: Scores | None
    ) -> tuple[StoppingState, str | None]:
        """Return the state after an epoch, and a reason where there is one."""
        state = state._replace(epoch=state.epoch + 1, seen=state.seen + self.rows)
        if self.by_score:
            score = math.nan if validation is None else validation.score
            short = score < state.best_score + self.tol
            if score > state.best_score:
                state = state._replace(best_score=score, best_epoch=state.epoch)
        else:
            short = loss > state.best_loss - self.tol
            if loss < state.best_loss:
                state = state._replace(best_loss=loss, best_epoch=state.epoch)
        state = state._replace(waited=state.waited + 1 if short and self.stops else 0)
        if self.power is not None:
            rate = self.first_rate / (state.seen + 1) ** self.power
            state = state._replace(learning_rate=rate)
        if state.waited <= self.n_iter_no_change:
            return state, None
        if self.adaptive and state.learning_rate > SMALLEST_RATE:
            rate = state.learning_rate / RATE_DIVISOR
            return state._replace(learning_rate=rate, waited=0), REDUCED
        return state, STANDSTILL


def never(
    state: StoppingState, loss: float, validation: Scores | None
) -> tuple[StoppingState, str | None]:
    """Count epochs, and stop at none."""
    return state._replace(epoch=state.epoch + 1), None
