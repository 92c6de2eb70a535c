"""What a callback receives while a network trains, and the result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import DivergenceError
from backlit.parameters import Layout
from backlit.training.settings import Settings
from backlit.training.stopping import DIVERGENCE
from backlit.training.task import Task
from backlit.training.trainer import Epoch, Observer, Trainer


@dataclass
class Progress:
    """What a callback receives; the same object each time.

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
        Why it ended: "epochs", "patience", "callback", "interrupted", or for L-BFGS "converged";
        for one of many networks also "halved" and "divergence".
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


class CallbackObserver(Observer):
    """Calls a callback with the same `Progress` each time.

    Parameters
    ----------
    epochs : int
        Epochs at most.
    parameters : dict
        ``W1, b1, ...``, the engine's own arrays.
    callback : callable or None
        Stops the training by returning True.
    task : Task, optional
        What is minimised, and on which data.
    """

    def __init__(
        self,
        epochs: int,
        parameters: dict[str, NDArray[Any]],
        callback: Callable[[Progress], Any] | None,
        task: Task | None = None,
    ) -> None:
        self._progress, self._callback = Progress(epochs, parameters, task), callback
        self.every = getattr(callback, "every", None)

    @property
    def watches(self) -> bool:
        """Whether there is a callback."""
        return self._callback is not None

    def progress(self, share: float) -> bool:
        """Call the callback within an epoch."""
        return self._call(share)

    def epoch_ends(self, epoch: Epoch) -> bool:
        """Call the callback after an epoch."""
        return epoch.reason != DIVERGENCE and self._call(0.0)

    def _call(self, share: float) -> bool:
        if self._callback is None:
            return False
        progress, trainer = self._progress, self.trainer
        history, nan = trainer.history, [float("nan")]
        progress.share, progress.epoch = share, trainer.stopping_state.epoch
        progress.steps, progress.seconds = trainer.n_steps, trainer.seconds
        progress.loss = (nan + history.losses[-1:])[-1]
        progress.validation_loss = (nan + history.validation_losses[-1:])[-1]
        progress.validation_score = (nan + history.validation_scores[-1:])[-1]
        answer = self._callback(progress)
        return isinstance(answer, (bool, np.bool_)) and bool(answer)


def fit_result(
    trainer: Trainer, layout: Layout, settings: Settings, reason: str, *, alone: bool = True
) -> FitResult:
    """Return the network: the best one if there is a validation set, else the last.

    One that is not trained alone leaves its engine, with the vector, to another.

    Raises
    ------
    DivergenceError
        If the training ended since a loss or a parameter was not finite, and the network was
        trained alone.
    """
    history, state = trainer.history, trainer.stopping_state
    if reason == DIVERGENCE and alone:
        raise DivergenceError(
            f"{settings.function}: in epoch {state.epoch} the loss became {history.losses[-1]}, "
            "expected finite numbers in the loss and the parameters; scale the inputs (to mean 0 "
            "and variance 1) or lower the learning rate."
        )
    best_epoch = state.epoch
    if trainer.validates:
        best_epoch = state.best_epoch
        if best_epoch:
            trainer.restore_kept()
    vector = trainer.steps.parameters if alone else trainer.steps.parameters.copy()
    return FitResult(
        layout.views(vector),
        vector,
        layout.layer_dims,
        settings.activations,
        settings.loss,
        history.losses,
        history.validation_losses,
        history.validation_scores,
        state.epoch,
        trainer.n_steps,
        best_epoch,
        reason,
        trainer.seconds,
    )
