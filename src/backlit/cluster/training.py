"""The training itself, driven from one place: what is asked of the executor, and when."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.executors import Executor
from backlit.cluster.network import Network
from backlit.cluster.plan import Plan
from backlit.errors import ClusterError
from backlit.formats.generations import State
from backlit.parameters import Layout
from backlit.training.checkpoints import Keeper, whole
from backlit.training.engine.engine import Engine, Examples
from backlit.training.optimizers import LBFGS
from backlit.training.running import FINAL
from backlit.training.running import run_lbfgs as run_lbfgs_on
from backlit.training.schedules import Schedule
from backlit.training.signals import Caught
from backlit.training.stepping import Stepper
from backlit.training.watch import FitResult, Progress, Validation, Watch

_TELL_SECONDS = 0.1


class _Stop(Exception):
    pass


class _Judge:
    """Measures the validation set on the executor."""

    def __init__(self, training: "Training") -> None:
        self._training = training

    def measure(self, output: str) -> tuple[float, float]:
        """Return the mean loss and the score."""
        sums = self._training.executor.total("judge", "held", self._training.vector)
        loss, weight, rows, right, left = sums.numbers.tolist()
        if output not in ("identity", "exp"):
            return loss / weight, right / rows
        total_of, squares = np.asarray(sums.vector, np.float64).reshape(2, -1)
        around = float((squares - total_of**2 / rows).sum())
        return loss / weight, 1 - left / around if around > 0 else float("nan")


class Training:
    """A training on an executor; also what `minimize_lbfgs` takes for its engine."""

    def __init__(
        self,
        executor: Executor,
        network: Network,
        plans: dict[str, Plan],
        vector: NDArray[Any],
        *,
        patience: int | None,
        min_improvement: float,
        epochs: int,
        callback: Callable[[Progress], Any] | None,
        began: float,
        keeper: Keeper | None,
        first_state: dict[str, Any],
    ) -> None:
        self.executor, self.network, self.vector = executor, network, vector
        self.plan, self.epochs = plans["train"], epochs
        self.layout = Layout(network.layer_dims)
        self.parameters = vector
        self.batch_size = 1
        self.stepper = Stepper(self.layout, vector, network.numbers)
        self.state = SimpleNamespace(steps=[0])
        self.epoch = self.batch = 0
        self.loss_sum = self.weight_sum = 0.0
        self.keeper, self._first_state, self._told = keeper, first_state, 0.0
        self.watch = Watch(
            cast(Engine, self),
            cast(Validation, _Judge(self)) if "held" in plans else None,
            network.activations[-1],
            patience,
            min_improvement,
            Progress(epochs, self.layout.views(vector)),
            callback,
            began,
            keeper,
        )

    # --------------------------------------------------------------- for minimize_lbfgs

    def gradient(
        self, examples: Examples, rows: Any, starts: Any, total_weight: float
    ) -> tuple[float, NDArray[Any]]:
        """Return the mean loss of all rows and its gradient."""
        sums = self.executor.total("whole_gradient", "train", self.vector)
        return float(sums.numbers[0]) / total_weight, sums.vector / total_weight

    # ---------------------------------------------------------------------------- steps

    def step(self, rate: float) -> None:
        """Take one step, with the gradient of the next batch."""
        with whole(self.keeper):  # nothing is changed yet
            sums = self.executor.total("gradient", "train", self.vector, self.epoch, self.batch)
        loss, weight = sums.numbers.tolist()
        # a batch without weight learns from the penalty alone, as in the engine
        divisor = weight if weight > 0 else 1.0
        penalty = self.stepper.penalty(divisor)
        gradient = sums.vector / self.vector.dtype.type(divisor)
        self.stepper.step(gradient, rate, divisor)
        self.loss_sum += loss + penalty * weight
        self.weight_sum += weight
        self.batch += 1

    def finish_epoch(self, loss: float) -> str | None:
        """Take note of an epoch; return why the training is to stop, or None."""
        self.state.steps[0] = self.stepper.steps
        return self.watch.finish_epoch(loss)

    def tell(self) -> None:
        """Tell the callback how far the epoch is; keep a checkpoint when it is time."""
        now, keeper = time.monotonic(), self.keeper
        due = now - self._told >= _TELL_SECONDS
        self.state.steps[0] = self.stepper.steps
        if due:
            self._told = now
            if self.watch.report(self.batch / self.plan.n_batches):
                raise _Stop
        if keeper is not None and (due or keeper.signals.pending is not None):
            keeper.tick()

    def result(self, reason: str) -> FitResult:
        """Return the network."""
        return self.watch.result(reason, self.network.activations, self.network.loss)

    def run_lbfgs(self, total_weight: float, l2: float, optimizer: LBFGS) -> str:
        """Run iterations of L-BFGS; return why they ended."""
        # one row that weighs as much as all of them: `gradient` knows the rows itself
        stand_in = Examples(np.empty((1, 1)), sample_weight=np.array([total_weight]))
        return run_lbfgs_on(
            self.watch,
            stand_in,
            np.zeros(1, np.int64),
            l2,
            optimizer,
            self.keeper,
            self._first_state,
        )

    # ---------------------------------------------------------------------- checkpoints

    def collect(self) -> State:
        """Return everything that the rest of the training follows from."""
        s, judged = self.stepper, self.watch.state()
        arrays = {"parameters": self.vector, **judged.arrays}
        arrays |= {k: m for k, m in (("first", s.first), ("second", s.second)) if len(m)}
        values = {
            "first_random_state": self._first_state,
            "batch": self.batch,
            "steps": s.steps,
            "loss_sum": float(self.loss_sum).hex(),
            "weight_sum": float(self.weight_sum).hex(),
            **judged.values,
        }
        return State(arrays, values)

    def restore(self, state: State) -> None:
        """Go on from a state."""
        arrays, values = state
        self.watch.restore(state)
        self.vector[...] = arrays["parameters"]
        s = self.stepper
        for name, moment in (("first", s.first), ("second", s.second)):
            if len(moment):
                moment[...] = arrays[name]
        s.steps = self.state.steps[0] = int(values["steps"])
        self.epoch, self.batch = int(values["epoch"]), int(values["batch"])
        self.loss_sum = float.fromhex(values["loss_sum"])
        self.weight_sum = float.fromhex(values["weight_sum"])


def run_epochs(training: Training, learning_rate: float, schedule: Schedule) -> str:
    """Run epochs of batches, from the checkpoint if there is one; return why they ended.

    Raises
    ------
    ClusterError
        If the cluster is lost; what was reached is kept.
    """
    keeper = training.keeper
    if keeper is None:
        return _run(training, learning_rate, schedule)
    if keeper.found is not None:
        training.restore(keeper.found)
        if keeper.found.values["stopped"] is not None:
            return str(keeper.found.values["stopped"])
    keeper.watch(training.collect)
    with keeper:
        reason = _run(training, learning_rate, schedule)
        if reason in FINAL:
            keeper.save(stopped=reason)
        elif reason == "callback":
            keeper.save()
    return reason


def _run(training: Training, learning_rate: float, schedule: Schedule) -> str:
    plan, stepper, keeper = training.plan, training.stepper, training.keeper
    total = training.epochs * plan.n_batches
    try:
        while training.epoch < training.epochs:
            while training.batch < plan.n_batches:
                steps = np.array([stepper.steps], np.int64)
                training.step(float((learning_rate * schedule.factors(steps, total))[0]))
                if not np.isfinite(training.loss_sum):
                    break
                training.tell()
            reason = training.finish_epoch(training.loss_sum / training.weight_sum)
            training.epoch, training.batch = training.epoch + 1, 0
            training.loss_sum = training.weight_sum = 0.0
            if reason is not None:
                return reason
            if keeper is not None:
                keeper.tick(epoch_over=True)
    except (KeyboardInterrupt, Caught):
        training.state.steps[0] = stepper.steps
        return "interrupted"
    except _Stop:
        return "callback"
    except ClusterError as error:
        if keeper is not None:
            keeper.save()
        raise ClusterError(_lost(training, error)) from error
    return "epochs"


def _lost(training: Training, error: ClusterError) -> str:
    where = f"epoch {training.epoch + 1}, batch {training.batch + 1}"
    if training.keeper is None:
        return f"{error} The training ended in {where}; nothing is kept without a checkpoint."
    return (
        f"{error} The training ended in {where}; {training.keeper.folder} goes on from there with "
        "resume=True."
    )
