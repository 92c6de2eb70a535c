"""The training itself, driven from one place: what is asked of the executor, and when."""

import hashlib
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.checkpoints import Keeper, Standing, finite
from backlit.cluster.executors import Executor
from backlit.cluster.plan import Plan
from backlit.cluster.shard import Network
from backlit.errors import ClusterError, SettingError
from backlit.parameters import Layout
from backlit.training.engine.engine import Engine, Examples
from backlit.training.lbfgs import INTERRUPTED, minimize_lbfgs
from backlit.training.optimizers import LBFGS
from backlit.training.schedules import Schedule
from backlit.training.stepping import Stepper
from backlit.training.watch import FitResult, Progress, Validation, Watch

_TELL_SECONDS = 0.1


class _Stop(Exception):
    pass


class _Judge:
    """Measures the validation set on the executor, or repeats what was measured before."""

    def __init__(self, training: "Training") -> None:
        self._training = training
        self.repeated: list[tuple[float, float]] = []

    def measure(self, output: str) -> tuple[float, float]:
        """Return the mean loss and the score."""
        if self.repeated:
            return self.repeated.pop(0)
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
        plan: Plan,
        vector: NDArray[Any],
        *,
        judged: bool,
        patience: int | None,
        min_improvement: float,
        epochs: int,
        callback: Callable[[Progress], Any] | None,
        began: float,
        keeper: Keeper | None,
        keep_seconds: float,
        local_steps: int,
    ) -> None:
        self.executor, self.network, self.plan, self.vector = executor, network, plan, vector
        self.layout = Layout(network.layer_dims)
        self.parameters = vector
        self.batch_size = 1
        self.stepper = Stepper(self.layout, vector, network.numbers)
        self.state = SimpleNamespace(steps=[0])
        self.local_steps = local_steps
        self.epoch = self.batch = 0
        self.loss_sum = self.weight_sum = 0.0
        self._keeper, self._keep_seconds, self._kept = keeper, keep_seconds, time.monotonic()
        self._callback, self._muted, self._told = callback, False, 0.0
        self._judge = _Judge(self) if judged else None
        self._best, self._best_loss = vector.copy(), np.inf
        self.curves: dict[str, list[float]] = {"loss": [], "validation": [], "score": []}
        self.epochs = epochs
        self.watch = Watch(
            cast(Engine, self),
            cast(Validation, self._judge) if self._judge else None,
            network.activations[-1],
            patience,
            min_improvement,
            Progress(epochs, self.layout.views(vector)),
            self._call,
            began,
        )

    def _call(self, progress: Progress) -> Any:
        if self._muted or self._callback is None:
            return None
        return self._callback(progress)

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
        sums = self.executor.total("gradient", "train", self.vector, self.epoch, self.batch)
        loss, weight = sums.numbers.tolist()
        # a batch without weight learns from the penalty alone, as in the engine
        whole = weight if weight > 0 else 1.0
        penalty = self.stepper.penalty(whole)
        gradient = sums.vector / self.vector.dtype.type(whole)
        self.stepper.step(gradient, rate, whole)
        self.loss_sum += loss + penalty * weight
        self.weight_sum += weight
        self.batch += 1

    def local_round(self, rates: NDArray[np.float64]) -> None:
        """Let each lane take steps of its own, then average."""
        s = self.stepper
        state = np.stack([self.vector, *(m for m in (s.first, s.second) if len(m))])
        sums = self.executor.total(
            "local_steps", "train", state, s.steps, self.epoch, self.batch, rates
        )
        loss, weight = sums.numbers.tolist()
        mean = (sums.vector / self.vector.dtype.type(weight)).reshape(state.shape)
        self.vector[...] = mean[0]
        for moment, value in zip((s.first, s.second), mean[1:], strict=False):
            moment[...] = value
        s.steps += len(rates)
        self.loss_sum += loss
        self.weight_sum += weight
        self.batch += len(rates)

    def finish_epoch(self, loss: float) -> str | None:
        """Take note of an epoch; return why the training is to stop, or None."""
        self.state.steps[0] = self.stepper.steps
        reason = self.watch.finish_epoch(loss)
        progress = self.watch.progress
        self.curves["loss"].append(loss)
        if self._judge is not None:
            self.curves["validation"].append(progress.validation_loss)
            self.curves["score"].append(progress.validation_score)
            if progress.validation_loss < self._best_loss:
                self._best_loss = progress.validation_loss
                self._best[...] = self.vector
        return reason

    def tell(self) -> None:
        """Tell the callback how far the epoch is; keep a checkpoint when it is time."""
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            if self.watch.report(self.batch / self.plan.n_batches):
                raise _Stop
        if now - self._kept >= self._keep_seconds:
            self.keep()

    def result(self, reason: str) -> FitResult:
        """Return the network."""
        return self.watch.result(reason, self.network.activations, self.network.loss)

    # ---------------------------------------------------------------------- checkpoints

    def _settings(self) -> dict[str, Any]:
        sizes = hashlib.sha256(json.dumps(self.plan.sizes).encode()).hexdigest()
        n = self.network
        return {
            "layer_dims": list(n.layer_dims),
            "activations": list(n.activations),
            "loss": [n.loss, n.loss_parameter],
            "dtype": n.dtype,
            "optimizer": [float(number) for number in n.numbers],
            "partitions": sizes,
            "plan": [self.plan.batch_size, self.plan.n_lanes, self.plan.seed, self.plan.shuffle],
            "local_steps": self.local_steps,
        }

    def keep(self) -> None:
        """Keep where the training stands, if there is where."""
        self._kept = time.monotonic()
        if self._keeper is None:
            return
        s = self.stepper
        arrays = {"parameters": self.vector}
        arrays |= {k: m for k, m in (("first", s.first), ("second", s.second)) if len(m)}
        if self._judge is not None:
            arrays["best"] = self._best
        if not finite(arrays):
            return
        place = {
            "epoch": self.epoch,
            "batch": self.batch,
            "steps": s.steps,
            "loss_sum": self.loss_sum,
            "weight_sum": self.weight_sum,
        }
        curves = {name: list(values) for name, values in self.curves.items()}
        self._keeper.save(Standing(arrays, self._settings(), place, curves))

    def resume(self) -> None:
        """Go on from what was kept, if there is anything.

        Raises
        ------
        SettingError
            If it belongs to another training.
        """
        standing = self._keeper.load() if self._keeper is not None else None
        if standing is None:
            return
        for name, value in self._settings().items():
            if standing.settings.get(name) != value:
                raise SettingError(
                    f"fit: the checkpoint's {name} is {standing.settings.get(name)}, expected "
                    f"{value}: it belongs to another training."
                )
        arrays, place, curves = standing.arrays, standing.place, standing.curves
        # what was watched is watched again, so that curves and patience are as they were
        self._muted = True
        self.vector[...] = arrays.get("best", arrays["parameters"])
        if self._judge is not None:
            self._judge.repeated = list(zip(curves["validation"], curves["score"], strict=True))
        for loss in curves["loss"]:
            self.finish_epoch(loss)
        self._muted = False
        self.vector[...] = arrays["parameters"]
        s = self.stepper
        for name, moment in (("first", s.first), ("second", s.second)):
            if len(moment):
                moment[...] = arrays[name]
        s.steps = self.state.steps[0] = int(place["steps"])
        self.epoch, self.batch = int(place["epoch"]), int(place["batch"])
        self.loss_sum, self.weight_sum = float(place["loss_sum"]), float(place["weight_sum"])


def run_epochs(training: Training, learning_rate: float, schedule: Schedule) -> str:
    """Run epochs of batches; return why they ended.

    Raises
    ------
    ClusterError
        If the cluster is lost; what was reached is kept.
    """
    plan, stepper = training.plan, training.stepper
    total = training.epochs * plan.n_batches
    try:
        while training.epoch < training.epochs:
            while training.batch < plan.n_batches:
                count = min(training.local_steps, plan.n_batches - training.batch)
                steps = np.arange(stepper.steps, stepper.steps + count, dtype=np.int64)
                rates = learning_rate * schedule.factors(steps, total)
                if training.local_steps == 1:
                    training.step(float(rates[0]))
                else:
                    training.local_round(np.ascontiguousarray(rates))
                if not np.isfinite(training.loss_sum):
                    break
                training.tell()
            mean = training.loss_sum / training.weight_sum
            reason = training.finish_epoch(mean)
            training.epoch, training.batch = training.epoch + 1, 0
            training.loss_sum = training.weight_sum = 0.0
            if reason is not None:
                training.keep()
                return reason
        training.keep()
    except KeyboardInterrupt:
        training.state.steps[0] = stepper.steps
        training.keep()
        return "interrupted"
    except _Stop:
        training.state.steps[0] = stepper.steps
        training.keep()
        return "callback"
    except ClusterError as error:
        training.keep()
        raise ClusterError(_lost(training, error)) from error
    return "epochs"


def _lost(training: Training, error: ClusterError) -> str:
    where = f"epoch {training.epoch + 1}, batch {training.batch + 1}"
    path = getattr(training._keeper, "path", None)
    if training._keeper is None:
        return f"{error} The training ended in {where}; nothing is kept without a checkpoint."
    kept = f"; {path} goes on from there with resume=True." if path else "; it is kept."
    return f"{error} The training ended in {where}{kept}"


def run_lbfgs(training: Training, total_weight: float, l2: float, optimizer: LBFGS) -> str:
    """Run iterations of L-BFGS; return why they ended."""
    reasons: list[str] = []

    def after(iteration: int, loss: float) -> bool:
        training.stepper.steps = iteration
        reason = training.finish_epoch(loss)
        if reason is not None:
            reasons.append(reason)
        return reason is not None

    # one row that weighs as much as all of them: `Training.gradient` knows the rows itself
    stand_in = Examples(np.empty((1, 1)), sample_weight=np.array([total_weight]))
    found = minimize_lbfgs(
        cast(Engine, training),
        stand_in,
        np.zeros(1, np.int64),
        l2=l2,
        max_iterations=training.epochs,
        max_evaluations=20 * training.epochs,
        tolerance=optimizer.tolerance,
        after_iteration=after,
    )
    if found.status == INTERRUPTED:
        return "interrupted"
    if reasons:
        return reasons[0]
    return "epochs" if training.watch.progress.epoch >= training.epochs else "converged"
