"""What keeps an eye on a training: progress, validation, the best parameters, reasons to stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import DivergenceError
from backlit.formats.generations import State
from backlit.training.checkpoints import Keeper, whole
from backlit.training.data import Labels
from backlit.training.engine.engine import Engine, Examples
from backlit.training.task import Task


@dataclass
class Progress:
    """What a callback is told; the same object each time.

    Attributes
    ----------
    epoch : int
        Epochs finished.
    epochs : int
        Epochs at most.
    share : float
        Share of the running epoch that is done.
    loss : float
        Mean training loss of the last finished epoch, penalty included; NaN before there is one.
    validation_loss, validation_score : float
        Mean validation loss, and accuracy (or R^2), of the last finished epoch; NaN without.
    seconds : float
        Time since the start.
    parameters : dict
        ``W1, b1, ...``, the engine's own arrays.
    steps : int
        Steps of the optimizer so far.
    task : Task or None
        What is minimised, and on which data, where it is all in this process.
    """

    epochs: int
    parameters: dict[str, NDArray[Any]]
    task: Task | None = None
    steps: int = 0
    epoch: int = 0
    share: float = 0.0
    loss: float = float("nan")
    validation_loss: float = float("nan")
    validation_score: float = float("nan")
    seconds: float = 0.0


@dataclass(frozen=True)
class FitResult:
    """A trained network and how it came about.

    Attributes
    ----------
    parameters : dict
        ``W1, b1, ..., WL, bL``: views into `vector`.
    vector : array
        All parameters, flat.
    layer_dims : tuple of int
        ``n_0, ..., n_L``.
    activations : tuple of str
        One a layer.
    loss : str
        The loss that was minimised.
    loss_curve : list of float
        Mean training loss of each epoch, penalty included.
    validation_curve, validation_scores : list of float
        Mean validation loss and score after each epoch; empty without validation.
    n_epochs, n_steps : int
        How many were run.
    best_epoch : int
        The epoch whose parameters these are, counted from 1; 0 if training was cut off before one
        was over.
    stopped : str
        Why it ended: "epochs", "patience", "callback", "interrupted", or for L-BFGS "converged".
    seconds : float
        Time taken, compilation included, and what was taken before a checkpoint.
    """

    parameters: dict[str, NDArray[Any]] = field(repr=False)
    vector: NDArray[Any] = field(repr=False)
    layer_dims: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    loss_curve: list[float] = field(repr=False)
    validation_curve: list[float] = field(repr=False)
    validation_scores: list[float] = field(repr=False)
    n_epochs: int
    n_steps: int
    best_epoch: int
    stopped: str
    seconds: float


class Validation:
    """Rows that are only looked at: their loss and score after each epoch."""

    def __init__(
        self, engine: Engine, examples: Examples, rows: NDArray[np.int64], labels: Labels
    ) -> None:
        self._engine, self._examples, self._rows = engine, examples, rows
        if labels.classes is not None:
            self._expected = labels.classes[rows]
        else:
            assert labels.targets is not None
            self._expected = labels.targets[rows]
        self._classes = labels.classes is not None

    def measure(self, output: str) -> tuple[float, float]:
        """Return the mean loss and the accuracy, or R^2 for a regression."""
        loss, outputs = self._engine.forward(self._examples, self._rows)
        assert outputs is not None
        if output in ("identity", "exp"):
            centred = self._expected - self._expected.mean(axis=0, dtype=np.float64)
            total = float(np.sum(centred * centred))
            with np.errstate(over="ignore"):
                left = float(np.sum((outputs - self._expected) ** 2, dtype=np.float64))
            return loss, 1 - left / total if total > 0 else float("nan")
        if output == "softmax":
            expected = self._expected if self._classes else self._expected.argmax(axis=1)
            right = outputs.argmax(axis=1) == expected
        elif self._classes:
            right = (outputs[:, 0] > 0.5) == (self._expected > 0.5)
        else:
            right = ((outputs > 0.5) == (self._expected > 0.5)).all(axis=1)
        return loss, float(right.mean())


class Watch:
    """Keeps an eye on a training: curves, the best parameters, the reasons to stop."""

    def __init__(
        self,
        engine: Engine,
        judge: Validation | None,
        output: str,
        patience: int | None,
        min_improvement: float,
        progress: Progress,
        callback: Callable[[Progress], Any] | None,
        began: float,
        keeper: Keeper | None = None,
    ) -> None:
        self.engine, self.progress = engine, progress
        self._judge, self._output = judge, output
        self._patience, self._min_improvement = patience, min_improvement
        self._callback, self._began, self._keeper = callback, began, keeper
        self._best = engine.parameters.copy() if judge else engine.parameters
        self._best_epoch, self._best_loss, self._waited = 0, np.inf, 0
        self._loss_curve: list[float] = []
        self._validation_curve: list[float] = []
        self._validation_scores: list[float] = []

    def state(self) -> State:
        """Return what the epochs so far have left behind."""
        arrays = {
            "loss_curve": np.array(self._loss_curve, np.float64),
            "validation_curve": np.array(self._validation_curve, np.float64),
            "validation_scores": np.array(self._validation_scores, np.float64),
        }
        if self._judge is not None:
            arrays["best"] = self._best
        values = {
            "epoch": self.progress.epoch,
            "best_epoch": self._best_epoch,
            "best_loss": float(self._best_loss).hex(),
            "waited": self._waited,
            "seconds": time.perf_counter() - self._began,
        }
        return State(arrays, values)

    def restore(self, state: State) -> None:
        """Go on from a state."""
        arrays, values = state
        self._loss_curve = arrays["loss_curve"].tolist()
        self._validation_curve = arrays["validation_curve"].tolist()
        self._validation_scores = arrays["validation_scores"].tolist()
        if self._judge is not None:
            self._best[:] = arrays["best"]
        self._best_epoch, self._waited = values["best_epoch"], values["waited"]
        self._best_loss = float.fromhex(values["best_loss"])
        self._began -= values["seconds"]
        progress = self.progress
        progress.epoch = values["epoch"]
        nan = [float("nan")]
        progress.loss = (nan + self._loss_curve)[-1]
        progress.validation_loss = (nan + self._validation_curve)[-1]
        progress.validation_score = (nan + self._validation_scores)[-1]

    def report(self, share: float) -> bool:
        """Tell the callback how far the epoch is; return whether it wants to stop."""
        self.progress.share = share
        self.progress.steps = int(self.engine.state.steps[0])
        self.progress.seconds = time.perf_counter() - self._began
        answer = self._callback(self.progress) if self._callback is not None else None
        return isinstance(answer, (bool, np.bool_)) and bool(answer)

    def finish_epoch(self, loss: float) -> str | None:
        """Take note of an epoch; return why the training is to stop, or None.

        Raises
        ------
        DivergenceError
            If the loss or a parameter is not finite.
        """
        progress, vector = self.progress, self.engine.parameters
        if not (np.isfinite(loss) and np.isfinite(vector).all()):
            raise DivergenceError(
                f"fit: in epoch {progress.epoch + 1} the loss became {loss}, expected finite "
                "numbers in the loss and the parameters; scale the inputs (to mean 0 and variance "
                "1) or lower the learning rate."
            )
        measured = (float("nan"), float("nan"))
        if self._judge is not None:
            with whole(self._keeper):  # nothing is changed yet
                measured = self._judge.measure(self._output)
        progress.loss = judged = loss
        self._loss_curve.append(loss)
        if self._judge is not None:
            progress.validation_loss, progress.validation_score = measured
            self._validation_curve.append(progress.validation_loss)
            self._validation_scores.append(progress.validation_score)
            judged = progress.validation_loss
        progress.epoch += 1
        self._waited += 1
        if judged < self._best_loss - self._min_improvement:
            self._waited = 0
        if judged < self._best_loss:
            if self._judge is not None:
                self._best[:] = vector
            self._best_loss, self._best_epoch = judged, progress.epoch
        if self.report(0.0):
            return "callback"
        if self._patience is not None and self._waited >= self._patience:
            return "patience"
        return None

    def result(self, stopped: str, activations: tuple[str, ...], loss: str) -> FitResult:
        """Return the network: the best one if there is a judge, else the last."""
        vector, layout = self.engine.parameters, self.engine.layout
        if self._judge is None:
            self._best_epoch = self.progress.epoch
        elif self._best_epoch:
            vector[:] = self._best
        return FitResult(
            layout.views(vector),
            vector,
            layout.layer_dims,
            activations,
            loss,
            self._loss_curve,
            self._validation_curve,
            self._validation_scores,
            self.progress.epoch,
            int(self.engine.state.steps[0]),
            self._best_epoch,
            stopped,
            time.perf_counter() - self._began,
        )
