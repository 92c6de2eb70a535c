"""The epoch loop: the one path from steps to a trained network.

An epoch is run in calls that take about a tenth of a second each. Between two calls Python answers
Ctrl-C, reports progress and saves checkpoints. Where a call ends changes no bit. After an epoch the
validation set is evaluated, the stopping rule applied, and observers are called.

Where Python has nothing to do between two epochs, a call runs several of them.
"""

import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._signals import Caught, Signals
from backlit.errors import ClusterError
from backlit.formats.generations import State
from backlit.training.checkpoints import Checkpointer, whole
from backlit.training.history import History
from backlit.training.lbfgs import CUT_OFF, LBFGSResult, minimize_lbfgs
from backlit.training.optimizers import LBFGS
from backlit.training.schedules import Constant, Schedule
from backlit.training.settings import Settings
from backlit.training.steps import (
    Differentiable,
    Epochs,
    Steps,
    StepsAndGradient,
    ValidationPlan,
    run_several,
)
from backlit.training.stopping import (
    CALLBACK,
    CONVERGED,
    DIVERGENCE,
    EPOCHS,
    FINAL,
    INTERRUPTED,
    REDUCED,
    SCORE_REACHES,
    Scores,
    Stopping,
    StoppingState,
)

#: seconds that a call should take, or that pass between two reports where each step is a call
CALL_SECONDS = 0.1
#: evaluations of the gradient that L-BFGS may take for each of its iterations
_EVALUATIONS = 20


class Keep(Enum):
    """Which parameters a training keeps aside.

    None; the last finite ones, to go back to after a divergence; or those of the best epoch.
    """

    NOTHING = 0
    LAST = 1
    BEST = 2


class Epoch(NamedTuple):
    """A finished epoch.

    Attributes
    ----------
    number : int
        Counted from 1.
    loss : float
        The mean training loss, penalty included, each batch at the parameters before its step.
    validation : Scores or None
        Loss and score of the validation set.
    stopping : StoppingState
        What the stopping rule knows now.
    reason : str or None
        Why training ends, or "reduced" where the learning rate was lowered.
    """

    number: int
    loss: float
    validation: Scores | None
    stopping: StoppingState
    reason: str | None


class Observer:
    """What happens around epochs; does nothing by itself."""

    #: report also whenever the optimizer's steps are a multiple of this
    every: int | None = None
    #: who is observed; set by the trainer
    trainer: "Trainer"

    @property
    def watches(self) -> bool:
        """Whether it has to be called after each epoch."""
        return False

    def epoch_begins(self) -> None:
        """Take note that an epoch begins."""

    def progress(self, share: float) -> bool:
        """Take note of the share of the epoch that is done; return whether to stop."""
        return False

    def epoch_ends(self, epoch: Epoch) -> bool:
        """Take note of a finished epoch; return whether to stop."""
        return False

    def call_ends(self) -> bool:
        """Take note that a call of several epochs is over; return whether to stop."""
        return False


class _Stop(Exception):
    """The observer wants to stop."""


class Trainer:
    """Runs epochs of steps until there is a reason to stop.

    Parameters
    ----------
    steps : Steps
        What runs the batches.
    epochs : int
        Epochs at most.
    stopping : Stopping
        The rule by which training ends earlier.
    stopping_state : StoppingState
        What it begins with, the learning rate included.
    schedule : Schedule, optional
        Factors of the learning rate by step.
    total_steps : int, optional
        How many steps there will be at most, for the schedule; by default those of `epochs`.
    validate : callable, optional
        Returns the scores of the network as it is.
    validation_plan : ValidationPlan, optional
        How an engine comes to the same scores by itself.
    observer : Observer, optional
        What happens around epochs.
    checkpointer : Checkpointer, optional
        What saves the state now and then.
    keep : Keep
        Which parameters are kept aside.
    final : tuple of str
        Reasons after which a checkpoint is not gone on from. With "divergence" among them the
        validation set is evaluated after a divergence too.
    kept : array, optional
        Where they are kept; by default in a copy of the first ones.
    history : History, optional
        Curves to go on with.

    Attributes
    ----------
    history : History
        The curves.
    stopping_state : StoppingState
        What the rule knows.
    minimum : LBFGSResult or None
        How L-BFGS ended.
    """

    def __init__(
        self,
        steps: Steps,
        epochs: int,
        stopping: Stopping,
        stopping_state: StoppingState,
        *,
        schedule: Schedule | None = None,
        total_steps: int | None = None,
        validate: Callable[[], Scores] | None = None,
        validation_plan: ValidationPlan | None = None,
        observer: Observer | None = None,
        checkpointer: Checkpointer | None = None,
        keep: Keep = Keep.NOTHING,
        kept: NDArray[Any] | None = None,
        history: History | None = None,
        final: tuple[str, ...] = FINAL,
    ) -> None:
        self.steps, self.epochs = steps, epochs
        self.stopping_state = stopping_state
        self.history = history or History()
        self._stopping, self._schedule = stopping, schedule or Constant()
        self._total_steps = total_steps or epochs * steps.per_epoch
        self._validate, self._validation_plan = validate, validation_plan
        self._observer = observer or Observer()
        # no cycle, so that a training's memory is given back when it is over
        self._observer.trainer = weakref.proxy(self)
        self._checkpointer, self._keep = checkpointer, keep
        self._kept, self._final = kept, final
        if keep is not Keep.NOTHING and kept is None:
            self._kept = steps.parameters.copy()
        self.minimum: LBFGSResult | None = None
        self._step, self._total, self._begun = 0, 0.0, False
        self._steps_per_call, self._minimizes = 1, False
        self._reported = self._began = time.perf_counter()
        self._epochs_per_call = self._first_epochs_per_call()

    def _first_epochs_per_call(self) -> int:
        """Return how many epochs the first call may run; 0 where each has to be run by itself."""
        steps, observer = self.steps, self._observer
        if not run_several(steps) or observer.watches or observer.every:
            return 0
        if self._validate is not None and self._validation_plan is None:
            return 0
        if self._checkpointer is not None and self._checkpointer.every_epoch:
            return 0
        return steps.epochs_per_call

    @property
    def _left(self) -> int:
        """Epochs that are left."""
        return self.epochs - self.stopping_state.epoch

    @property
    def place(self) -> tuple[int, int]:
        """The epoch and the step in it that are next, counted from 0."""
        return self.stopping_state.epoch, self._step

    @property
    def validates(self) -> bool:
        """Whether there is a validation set."""
        return self._validate is not None

    @property
    def n_steps(self) -> int:
        """Steps of the optimizer, or iterations of L-BFGS."""
        return self.stopping_state.epoch if self._minimizes else self.steps.taken

    @property
    def seconds(self) -> float:
        """Time since the start, with that before a checkpoint."""
        return time.perf_counter() - self._began

    def count_from(self, began: float) -> None:
        """Count the time from an earlier start."""
        self._began = began

    # ------------------------------------------------------------------------------- the state

    def state(self) -> State:
        """Return all that the rest of the training follows from."""
        run = self.steps.state()
        arrays = {**run.arrays, **self.history.arrays()}
        if self._kept is not None:
            arrays["kept"] = self._kept
        values = {
            **run.values,
            "step": self._step,
            "total": float(self._total).hex(),
            "stopping": [
                number.hex() if isinstance(number, float) else number
                for number in self.stopping_state
            ],
            "seconds": self.seconds,
        }
        if self.minimum is not None:
            values["minimum"] = list(self.minimum)
        return State(arrays, values)

    def restore(self, state: State) -> None:
        """Go on from a state, at the step of the epoch where it was."""
        arrays, values = state
        self.steps.restore(state)
        self.history.restore(state)
        if self._kept is not None:
            self._kept[...] = arrays["kept"]
        numbers: list[Any] = [
            float.fromhex(number) if isinstance(number, str) else number
            for number in values["stopping"]
        ]
        self.stopping_state = StoppingState(*numbers)
        self._step, self._total = values["step"], float.fromhex(values["total"])
        self._begun = self._step > 0
        self._began -= values["seconds"]

    def restore_kept(self) -> None:
        """Put back the parameters that were kept aside."""
        if self._kept is not None:
            self.steps.parameters[...] = self._kept

    # --------------------------------------------------------------------------------- running

    def minimize(
        self, target: Differentiable, *, l2: float, tolerance: float, max_evaluations: int
    ) -> str:
        """Train by L-BFGS, an iteration counting as an epoch; return why it ended.

        A checkpoint holds the end alone: a minimisation that was cut off starts over.

        Parameters
        ----------
        target : Differentiable
            The loss over all rows, and its gradient.
        l2 : float
            Strength of the penalty.
        tolerance : float
            It has converged when no element of the gradient is larger than this.
        max_evaluations : int
            Evaluations at most.
        """
        checkpointer, reasons, self._minimizes = self._checkpointer, [], True
        if checkpointer is not None and checkpointer.found is not None:
            values = checkpointer.found.values
            self.restore(checkpointer.found)
            self.minimum = LBFGSResult(*values["minimum"])
            return str(values["stopped"])

        def after_iteration(loss: float) -> bool:
            self._observer.epoch_begins()
            reason = self.finish_epoch(loss)
            if reason is not None:
                reasons.append(reason)
            return reason is not None

        with checkpointer if checkpointer is not None else nullcontext():
            self.minimum = minimize_lbfgs(
                target,
                l2=l2,
                max_iterations=self.epochs,
                max_evaluations=max_evaluations,
                tolerance=tolerance,
                after_iteration=after_iteration,
                checkpointer=checkpointer,
            )
            if self.minimum.status == CUT_OFF:
                return INTERRUPTED
            if not self.minimum.finite:
                return DIVERGENCE
            over = self.stopping_state.epoch >= self.epochs
            reason = reasons[0] if reasons else EPOCHS if over else CONVERGED
            if checkpointer is not None and reason in self._final:
                checkpointer.watch(self.state)
                checkpointer.save(stopped=reason)
        return reason

    def run(self) -> str:
        """Train, from the checkpoint if there is one; return why it ended.

        Returns
        -------
        str
            A reason of `backlit.training.stopping`. After a divergence the parameters are those
            that were kept aside, if some were.
        """
        checkpointer = self._checkpointer
        if checkpointer is None:
            return self._run()
        if checkpointer.found is not None:
            self.restore(checkpointer.found)
            stopped = checkpointer.found.values["stopped"]
            if stopped is not None:
                return str(stopped)
        checkpointer.watch(self.state)
        with checkpointer:
            try:
                reason = self._run()
            except ClusterError:  # no step was half taken
                checkpointer.save()
                raise
            if reason in self._final:
                checkpointer.save(stopped=reason)
            elif reason == CALLBACK:
                checkpointer.save()
        return reason

    def _run(self) -> str:
        try:
            while self.stopping_state.epoch < self.epochs:
                if self._epochs_per_call and not self._begun and self._left > 1:
                    reason = self._run_epochs()
                else:
                    self._observer.epoch_begins()
                    reason = self.finish_epoch(self.run_epoch())
                if reason is not None:
                    return reason
                if self._checkpointer is not None:
                    self._checkpointer.tick(epoch_over=True)
        except (KeyboardInterrupt, Caught):
            return INTERRUPTED
        except _Stop:
            return CALLBACK
        return EPOCHS

    def _run_epochs(self) -> str | None:
        """Run several epochs in one call; return why training ends, or None."""
        steps, rule, state = self.steps, self._stopping, self.stopping_state
        assert run_several(steps)
        count = min(self._epochs_per_call, self._left)
        n, done = steps.per_epoch, steps.taken
        rates = np.repeat(rule.rates(state, count), n).reshape(count, n)
        if not isinstance(self._schedule, Constant):
            numbers = np.arange(done, done + count * n, dtype=np.int64)
            rates *= self._schedule.factors(numbers, self._total_steps).reshape(count, n)
        criterion = rule.criterion(self._validate is not None)
        by_score = criterion.kind == SCORE_REACHES
        asked = Epochs(
            rates,
            criterion,
            state.best_score if by_score else state.best_loss,
            state.waited,
            self._kept,
            self._keep is Keep.BEST,
            self._validation_plan,
        )
        # Ctrl-C waits until the epochs that were run are counted
        with Signals() if self._checkpointer is None else nullcontext():
            began = time.perf_counter()
            run = steps.run_epochs(asked)
            each = (time.perf_counter() - began) / len(run.losses)
            # double at most, so that one quick call does not make the next one long
            self._epochs_per_call = min(int(CALL_SECONDS / max(each, 1e-9)), 2 * count)
            finished = len(run.losses) - run.diverged
            reason = None
            if finished:
                losses, validations = run.losses[:finished], run.validations[:finished]
                self.history.extend(losses, validations)
                self.stopping_state, reason = rule(state, losses, validations)
            if run.diverged:
                return self.finish_epoch(run.losses[-1])
        if reason in (None, REDUCED):
            return CALLBACK if self._observer.call_ends() else None
        return reason

    def run_epoch(self) -> float:
        """Go through the epoch's steps; return the mean loss, not finite if training diverged."""
        steps = self.steps
        if not self._begun:
            self._step, self._total = 0, 0.0
            steps.begin_epoch(self.stopping_state.epoch)
        self._begun = False
        n_steps, every = steps.per_epoch, self._observer.every
        while self._step < n_steps and np.isfinite(self._total):
            done = steps.taken
            count = min(self._steps_per_call, n_steps - self._step, steps.largest_call)
            if every:
                count = min(count, every - done % every)
            numbers = np.arange(done, done + count, dtype=np.int64)
            factors = self._schedule.factors(numbers, self._total_steps)
            began = time.perf_counter()
            losses = steps.run(self._step, self.stopping_state.learning_rate * factors)
            # added up one by one, so that where a call ends does not change the sum
            self._total = float(np.add.accumulate(np.concatenate(([self._total], losses)))[-1])
            self._step += count
            seconds = time.perf_counter() - began
            # double at most, so that one quick call does not make the next one long
            wanted = int(count * CALL_SECONDS / max(seconds, 1e-9))
            self._steps_per_call = max(1, min(wanted, 2 * self._steps_per_call))
            self._report()
        return self._total / steps.epoch_weight()

    def _report(self) -> None:
        """Tell the observer how far the epoch is, and save if it is time to."""
        share, checkpointer = self._step / self.steps.per_epoch, self._checkpointer
        if share == 1.0:
            return
        now, every = time.perf_counter(), self._observer.every
        # calls grow until they take long enough, but for steps that are each a call of their own
        due = self.steps.largest_call > 1 or now - self._reported >= CALL_SECONDS
        if due or (every and self.steps.taken % every == 0):
            self._reported = now
            if self._observer.progress(share):
                raise _Stop
        if checkpointer is not None and (due or checkpointer.signals.pending is not None):
            checkpointer.tick()

    def finish_epoch(self, loss: float) -> str | None:
        """Evaluate an epoch; return why training ends, or None.

        Parameters
        ----------
        loss : float
            The epoch's mean training loss, penalty included.
        """
        vector = self.steps.parameters
        finite = bool(np.isfinite(loss)) and all_finite(vector)
        validation = None
        if self._validate is not None and (finite or DIVERGENCE in self._final):
            with whole(self._checkpointer):  # nothing is changed yet
                validation = self._validate()
        self.history.append(loss, validation)
        self.stopping_state, reason = self._stopping(self.stopping_state, [loss], [validation])
        if not finite:
            reason = DIVERGENCE
        worth_keeping = self._keep is Keep.LAST or self.stopping_state.is_best
        if self._kept is not None and finite and worth_keeping:
            self._kept[...] = vector
        self._step, self._total = 0, 0.0
        epoch = Epoch(self.stopping_state.epoch, loss, validation, self.stopping_state, reason)
        if reason == DIVERGENCE:
            self.restore_kept()
        if self._observer.epoch_ends(epoch):
            return CALLBACK
        return None if reason == REDUCED else reason


def all_finite(vector: NDArray[Any]) -> bool:
    """Return whether all elements are finite; mostly by one product, without a vector of truths."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(vector, vector)
    return bool(np.isfinite(total) or np.isfinite(vector).all())


def train(trainer: Trainer, steps: StepsAndGradient, settings: Settings) -> str:
    """Run epochs, or L-BFGS where it is the optimizer; return why they ended."""
    optimizer = settings.optimizer
    if not isinstance(optimizer, LBFGS):
        return trainer.run()
    return trainer.minimize(
        steps,
        l2=settings.l2,
        tolerance=optimizer.tolerance,
        max_evaluations=_EVALUATIONS * settings.epochs,
    )
