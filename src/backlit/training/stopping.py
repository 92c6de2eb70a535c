"""When a training ends: pure rules, from what is known and a finished epoch to what is known now.

A rule is called with a `StoppingState`, the training losses of the epochs since, and their
validation scores, and returns the next state and, where there is one, a reason. `Patience` is the
rule of `backlit.training.fit`, `ScikitLearnStopping` that of scikit-learn's `MLPClassifier`, which
also sets the learning rate of the next epoch. All are functions of their arguments alone, so that a
state that was saved goes on to the same end.

Where an engine runs several epochs in one call, it has to know itself where to end it: a rule is
described to it by a `Criterion`, and afterwards decides over the losses that came of it.
"""

import math
from collections.abc import Sequence
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


#: what a `Criterion` compares: a loss that has to fall below the best one by more than the margin,
#: a loss that must not exceed the best one less the margin, a score that has to reach the best one
#: and the margin
LOSS_BELOW, LOSS_WITHIN, SCORE_REACHES = range(3)


class Criterion(NamedTuple):
    """A rule as an engine follows it through the epochs of one call.

    Attributes
    ----------
    kind : int
        What counts as an improvement: LOSS_BELOW, LOSS_WITHIN or SCORE_REACHES.
    by_validation : bool
        Whether the validation set decides, or the training loss.
    margin : float
        The least improvement that counts.
    limit : float
        The call ends with the epoch after which more than this many in a row were no improvement.
    """

    kind: int
    by_validation: bool
    margin: float
    limit: float


class Stopping(Protocol):
    """A rule."""

    def __call__(
        self, state: StoppingState, losses: Sequence[float], validations: Sequence[Scores | None]
    ) -> tuple[StoppingState, str | None]:
        """Return the state after some more epochs, and a reason where there is one.

        A reason is that of the last epoch: none before it may have had one.
        """

    def rates(self, state: StoppingState, count: int) -> list[float]:
        """Return the learning rates of the next epochs, as long as the rule lowers none."""

    def criterion(self, validated: bool) -> Criterion:
        """Return where a call of several epochs has to end."""


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
        self, state: StoppingState, losses: Sequence[float], validations: Sequence[Scores | None]
    ) -> tuple[StoppingState, str | None]:
        """Return the state after some more epochs, and a reason where there is one."""
        epoch, best_epoch, best, _, waited, rate, seen = state
        for loss, validation in zip(losses, validations, strict=True):
            judged = loss if validation is None else validation.loss
            epoch += 1
            waited = 0 if judged < best - self.min_improvement else waited + 1
            if judged < best:
                best, best_epoch = judged, epoch
        state = StoppingState(epoch, best_epoch, best, state.best_score, waited, rate, seen)
        stops = self.patience is not None and waited >= self.patience
        return state, PATIENCE if stops else None

    def rates(self, state: StoppingState, count: int) -> list[float]:
        """Return the learning rates of the next epochs."""
        return [state.learning_rate] * count

    def criterion(self, validated: bool) -> Criterion:
        """Return where a call of several epochs has to end."""
        limit = math.inf if self.patience is None else self.patience - 1
        return Criterion(LOSS_BELOW, validated, self.min_improvement, limit)


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
        self, state: StoppingState, losses: Sequence[float], validations: Sequence[Scores | None]
    ) -> tuple[StoppingState, str | None]:
        """Return the state after some more epochs, and a reason where there is one."""
        epoch, best_epoch, best_loss, best_score, waited, rate, seen = state
        tol, rows, stops = self.tol, self.rows, self.stops
        for loss, validation in zip(losses, validations, strict=True):
            epoch += 1
            seen += rows
            if self.by_score:
                score = math.nan if validation is None else validation.score
                short = score < best_score + tol
                if score > best_score:
                    best_score, best_epoch = score, epoch
            else:
                short = loss > best_loss - tol
                if loss < best_loss:
                    best_loss, best_epoch = loss, epoch
            waited = waited + 1 if short and stops else 0
        if self.power is not None:
            rate = self._rate(seen)
        reason = None
        if waited > self.n_iter_no_change:
            reason = STANDSTILL
            if self.adaptive and rate > SMALLEST_RATE:
                rate, waited, reason = rate / RATE_DIVISOR, 0, REDUCED
        return (
            StoppingState(epoch, best_epoch, best_loss, best_score, waited, rate, seen),
            reason,
        )

    def _rate(self, seen: int) -> float:
        assert self.power is not None
        return float(self.first_rate / (seen + 1) ** self.power)

    def rates(self, state: StoppingState, count: int) -> list[float]:
        """Return the learning rates of the next epochs, as long as the rule lowers none."""
        if self.power is None or count == 1:
            return [state.learning_rate] * count
        later = [self._rate(state.seen + i * self.rows) for i in range(1, count)]
        return [state.learning_rate, *later]

    def criterion(self, validated: bool) -> Criterion:
        """Return where a call of several epochs has to end."""
        kind = SCORE_REACHES if self.by_score else LOSS_WITHIN
        limit = self.n_iter_no_change if self.stops else math.inf
        return Criterion(kind, self.by_score, self.tol, limit)


@dataclass(frozen=True)
class BestScore:
    """Keep the epoch with the best validation score, the last one of several that are level.

    Parameters
    ----------
    factor : float, optional
        Where given, stop after ``factor * best_epoch + more`` epochs.
    more : int
        The epochs that are added.
    """

    factor: float | None = None
    more: int = 20

    def __call__(
        self, state: StoppingState, losses: Sequence[float], validations: Sequence[Scores | None]
    ) -> tuple[StoppingState, str | None]:
        """Return the state after some more epochs, and a reason where there is one."""
        epoch, best_epoch, best, late = state.epoch, state.best_epoch, state.best_score, False
        for validation in validations:
            epoch += 1
            if validation is None:
                continue
            if validation.score >= best:
                best, best_epoch = validation.score, epoch
            late = self.factor is not None and epoch > self.factor * best_epoch + self.more
        state = state._replace(epoch=epoch, best_epoch=best_epoch, best_score=best)
        return state, PATIENCE if late else None

    def rates(self, state: StoppingState, count: int) -> list[float]:
        """Return the learning rates of the next epochs."""
        return [state.learning_rate] * count

    def criterion(self, validated: bool) -> Criterion:
        """Return that an engine cannot follow this rule by itself: one epoch a call."""
        return Criterion(SCORE_REACHES, True, 0.0, 0.0)


class Never:
    """Count epochs, and stop at none."""

    def __call__(
        self, state: StoppingState, losses: Sequence[float], validations: Sequence[Scores | None]
    ) -> tuple[StoppingState, str | None]:
        """Return the state after some more epochs; there is no reason to stop."""
        return state._replace(epoch=state.epoch + len(losses)), None

    def rates(self, state: StoppingState, count: int) -> list[float]:
        """Return the learning rates of the next epochs."""
        return [state.learning_rate] * count

    def criterion(self, validated: bool) -> Criterion:
        """Return that no call has to end."""
        return Criterion(LOSS_BELOW, False, 0.0, math.inf)
