"""One network for a table: first parameters, steps, and the trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import DivergenceError
from backlit.tables.calibration import fitted_temperature
from backlit.tables.engines import table_engine
from backlit.tables.initialization import first_parameters
from backlit.tables.layout import TableLayout
from backlit.tables.recipe import Recipe
from backlit.tables.steps import TableData, TableSteps, TableValidation, outputs_of
from backlit.training.schedules import CosLog
from backlit.training.stopping import DIVERGENCE, BestScore, StoppingState
from backlit.training.trainer import Keep, Observer, Trainer


@dataclass(frozen=True)
class TableNetwork:
    """A trained network.

    Attributes
    ----------
    vector : array
        Its parameters, flat.
    losses, validation_losses, validation_scores : list of float
        Of each epoch; the latter two are empty without validation.
    best_epoch, n_epochs, n_steps : int
        The epoch whose parameters these are, counted from 1, and how many epochs and steps there
        were.
    stopped : str
        Why training ended.
    temperature : float
        What logits are divided by for calibrated probabilities.
    """

    vector: NDArray[Any]
    losses: list[float]
    validation_losses: list[float]
    validation_scores: list[float]
    best_epoch: int
    n_epochs: int
    n_steps: int
    stopped: str
    temperature: float = 1.0


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes
    ----------
    recipe : Recipe
        The network's and the optimizer's numbers.
    kind : {"classes", "numbers"}
        What is predicted.
    n_outputs : int
        Outputs.
    n_embedded : int
        How many numbers, the first ones, have periodic embeddings.
    n_levels : tuple of int
        Levels of the categories that have trained vectors.
    epochs, batch_size : int
        How many, and examples a step.
    early : bool
        Whether to stop when the best epoch lies far back.
    calibrated : bool
        Whether classes' logits get a temperature from the rows that validate.
    """

    recipe: Recipe
    kind: str
    n_outputs: int
    n_embedded: int
    n_levels: tuple[int, ...]
    epochs: int
    batch_size: int
    early: bool
    calibrated: bool = False

    def layout(self, n_numbers: int) -> TableLayout:
        """Return where the parameters lie."""
        return TableLayout(n_numbers, self.n_embedded, self.n_levels, self.n_outputs, self.recipe)


def train_network(
    plan: Plan,
    data: TableData,
    held: TableData | None,
    score: Callable[[NDArray[Any]], float] | None,
    seed: np.random.SeedSequence,
    observer: Observer | None = None,
    on_compile: Callable[[], None] | None = None,
) -> TableNetwork:
    """Train one network.

    Parameters
    ----------
    plan : Plan
        How.
    data : TableData
        The training rows.
    held : TableData or None
        Rows that validate.
    score : callable or None
        From outputs for these rows to a score, by which the best epoch is chosen.
    seed : SeedSequence
        Where all draws come from.
    observer : Observer, optional
        What happens around epochs.
    on_compile : callable, optional
        Called before a compilation.

    Raises
    ------
    DivergenceError
        If the loss or the parameters stop being finite before an epoch was good.
    """
    first, order, dropout = (np.random.Generator(np.random.SFC64(s)) for s in seed.spawn(3))
    layout = plan.layout(len(data.numbers))
    vector = first_parameters(layout, data.numbers, data.levels, first)
    engine = table_engine(layout, vector, plan.kind, on_compile)
    batch_size = min(plan.batch_size, data.numbers.shape[1])
    total = plan.epochs * (data.numbers.shape[1] // batch_size)
    steps = TableSteps(engine, data, batch_size, total, order, dropout)
    validation = None if held is None else TableValidation(engine, held, score)
    trainer = Trainer(
        steps,
        plan.epochs,
        BestScore(2.0 if plan.early else None),
        StoppingState(learning_rate=plan.recipe.learning_rate),
        schedule=CosLog(4),
        validate=None if validation is None else validation.measure,
        observer=observer,
        keep=Keep.LAST if validation is None else Keep.BEST,
    )
    reason = trainer.run()
    history, state = trainer.history, trainer.stopping_state
    if reason == DIVERGENCE and (validation is None or not state.best_epoch):
        raise DivergenceError(
            f"the network's loss became {history.losses[-1]} in epoch {state.epoch}, expected "
            "finite numbers; lower the learning rate."
        )
    best = state.epoch
    if validation is not None and state.best_epoch:
        trainer.restore_kept()
        best = state.best_epoch
    temperature = 1.0
    if plan.calibrated and held is not None and held.classes is not None:
        temperature = fitted_temperature(outputs_of(engine, held), held.classes, held.weights)
    return TableNetwork(
        vector,
        history.losses,
        history.validation_losses,
        history.validation_scores,
        best,
        state.epoch,
        steps.taken,
        reason,
        temperature,
    )
