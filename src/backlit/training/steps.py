"""What the trainer asks of an engine: the steps of an epoch, and the state they leave behind.

`Steps` is the Protocol. The batches of one machine are `backlit.training.batches.BatchSteps`, over
either engine: the compiled one, or the plain one in NumPy (`backlit.training.numpy_steps`).
Differentially private steps are `backlit.estimators.privacy.PrivateSteps`, those of a cluster
`backlit.cluster.steps.ClusterSteps`, and those of networks for tables
`backlit.tables.steps.TableSteps`.
"""

from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from backlit.formats.generations import State
from backlit.parameters import Layout
from backlit.training.data import Examples
from backlit.training.stopping import Criterion, Scores


class ValidationPlan(NamedTuple):
    """A validation set that an engine scores by itself: by accuracy, or R^2 if there are targets.

    Attributes
    ----------
    examples : Examples
        The data, without weights.
    rows : int64 array, shape (m,)
        Which of them.
    expected : int32 array, shape (m,) or (m, n_L), or None
        The classes; or for each output whether it has to lie above one half.
    by_largest : bool
        Whether the largest output of a row has to be its class.
    targets : float64 array, shape (m, n_L), or None
        Targets.
    spread : float64 array, shape (n_L,), or None
        The squares around their means, as `RSquared` adds them.
    """

    examples: Examples
    rows: NDArray[np.int64]
    expected: NDArray[np.int32] | None = None
    by_largest: bool = False
    targets: NDArray[np.float64] | None = None
    spread: NDArray[np.float64] | None = None


class Epochs(NamedTuple):
    """Epochs that are to be run in one call, as the trainer asks for them.

    Attributes
    ----------
    rates : float64 array, shape (count, batches)
        Learning rates.
    criterion : Criterion
        Where the call has to end.
    best : float
        The best loss, or score, before it.
    waited : int
        Epochs without an improvement before it.
    kept : array or None
        Where finite parameters are kept, or those of the best epoch.
    keep_best : bool
        Which of the two.
    validation : ValidationPlan or None
        What validates each epoch.
    """

    rates: NDArray[np.float64]
    criterion: Criterion
    best: float
    waited: int
    kept: NDArray[Any] | None
    keep_best: bool
    validation: ValidationPlan | None


class EpochsRun(NamedTuple):
    """What came of them.

    Attributes
    ----------
    losses : list of float
        Each epoch's mean loss, penalty included.
    validations : list of Scores or None
        Each epoch's validation; None for one that diverged.
    diverged : bool
        Whether the loss or a parameter was not finite after the last one.
    """

    losses: list[float]
    validations: list[Scores | None]
    diverged: bool


class Drawn(NamedTuple):
    """What chance decides in several epochs, drawn before they are run.

    Attributes
    ----------
    order : int64 array, shape (count, n_rows)
        Each epoch's rows, in the order in which they are used.
    starts : int64 array, shape (batches + 1,)
        Batch i of an epoch is ``order[epoch, starts[i] : starts[i + 1]]``.
    sizes : float64 array, shape (count, batches)
        What each batch counts by in its epoch's mean: its rows, or the sum of their weights.
    weights : float64 array, shape (count,)
        What each epoch's sum is divided by.
    random : uint16 array or None
        For dropout, as in `Engine.train`, one epoch after the other.
    loss_scale : float
        What a batch's mean loss is multiplied by before the penalty is added, and a validation
        set's.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.float64]
    weights: NDArray[np.float64]
    random: NDArray[np.uint16] | None
    loss_scale: float


class Steps(Protocol):
    """Runs the batches of an epoch."""

    @property
    def parameters(self) -> NDArray[Any]:
        """The flat vector, shape (size,), changed in place by each step."""

    @property
    def taken(self) -> int:
        """Optimizer steps so far."""

    @property
    def per_epoch(self) -> int:
        """Steps an epoch."""

    @property
    def largest_call(self) -> int:
        """Steps that one call may take at most."""

    def begin_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""

    def run(self, first: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the epoch's steps from number `first` on, one for each learning rate.

        Returns
        -------
        float64 array, shape (len(rates),)
            Each batch's mean loss before its step, penalty included, times the batch's weight.
        """

    def epoch_weight(self) -> float:
        """Return the sum of the epoch's weights, which makes a mean of what `run` returned."""

    def state(self) -> State:
        """Return all that the steps to come depend on; whole between two calls of `run`."""

    def restore(self, state: State) -> None:
        """Go on from a state."""


class EpochSteps(Steps, Protocol):
    """Steps that can be run several epochs at a time."""

    @property
    def epochs_per_call(self) -> int:
        """Epochs that a first call may take: a few hundredths of a second's; 0 for none."""

    def run_epochs(self, epochs: Epochs) -> EpochsRun:
        """Run epochs, as many as there are rates for, until one has to be the last."""


def run_several(steps: Steps) -> TypeGuard[EpochSteps]:
    """Return whether steps can be run several epochs at a time."""
    return hasattr(steps, "run_epochs")


class Differentiable(Protocol):
    """Takes the gradient of all rows at once, for L-BFGS."""

    @property
    def layout(self) -> Layout:
        """Where each layer's parameters lie in the flat vector."""

    @property
    def parameters(self) -> NDArray[Any]:
        """The flat vector, shape (layout.size,)."""

    def total_weight(self) -> float:
        """Return the number of rows, or the sum of their weights."""

    def gradient(self) -> tuple[float, NDArray[Any]]:
        """Return the mean loss over all rows without the penalty, and its gradient.

        The next call may overwrite the gradient, of shape (layout.size,).
        """


class StepsAndGradient(Steps, Differentiable, Protocol):
    """Steps that take the gradient of all rows as well."""


class EngineState(Protocol):
    """Parameters and what the optimizer remembers of them."""

    @property
    def parameters(self) -> NDArray[Any]:
        """The flat vector that is trained, shape (size,)."""

    @property
    def gradient(self) -> NDArray[Any]:
        """Its gradient, shape (size,)."""

    @property
    def first(self) -> NDArray[Any]:
        """First moments, shape (size,); empty where the optimizer has none."""

    @property
    def second(self) -> NDArray[Any]:
        """Second moments, shape (size,); empty where the optimizer has none."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps taken, shape (1,)."""


class Engine(Protocol):
    """Computes with one network; draws nothing: orders and masks come in.

    The compiled engine is `backlit.training.engine.engine.Engine`, the plain one
    `backlit.training.numpy_steps.NumpyEngine`; their constructors take the same arguments.
    """

    @property
    def layout(self) -> Layout:
        """Where each layer's parameters lie in the flat vector."""

    @property
    def parameters(self) -> NDArray[Any]:
        """The flat vector, shape (layout.size,)."""

    @property
    def batch_size(self) -> int:
        """The largest batch."""

    @property
    def state(self) -> EngineState:
        """Parameters and moments, changed in place."""

    def go_on_from(
        self, first: NDArray[Any], second: NDArray[Any], steps: NDArray[np.int64]
    ) -> None:
        """Take moments and the number of steps of an engine before, and change them in place."""

    def train(
        self,
        examples: Examples,
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        rates: NDArray[np.float64],
        random: NDArray[np.uint16] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take one optimizer step for each batch.

        Parameters
        ----------
        examples : Examples
            The data.
        order : int64 array
            Rows of X in the order in which they are used.
        starts : int64 array, shape (n_batches + 1,)
            Batch i is ``order[starts[i] : starts[i + 1]]``.
        rates : float64 array, shape (n_batches,)
            Learning rates.
        random : uint16 array, optional
            For dropout, one number for each hidden unit of each example, batch after batch.

        Returns
        -------
        losses, penalties : float64 array, shape (n_batches,)
            Each batch's mean loss, and the L2 penalty, both before its step.
        """

    def gradient(
        self,
        examples: Examples,
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        total_weight: float,
    ) -> tuple[float, NDArray[Any]]:
        """Sum the gradient over batches, each example's share being its weight / `total_weight`.

        Returns
        -------
        loss : float
            ``sum_i w_i loss_i / total_weight``, without the penalty.
        gradient : array, shape (layout.size,)
            Its gradient; the next call overwrites it.
        """

    def forward(
        self,
        examples: Examples,
        order: NDArray[np.int64],
        *,
        outputs: bool = True,
        total_weight: float | None = None,
    ) -> tuple[float, NDArray[Any] | None]:
        """Run rows forward, `batch_size` at a time.

        Returns
        -------
        loss : float
            ``sum_i w_i loss_i / total_weight`` if the examples are labelled, else 0.
        outputs : array, shape (len(order), n_L), or None
            The network's outputs, if they are asked for.
        """


class EpochEngine(Engine, Protocol):
    """An engine that runs several epochs in one call."""

    def train_epochs(self, examples: Examples, drawn: Drawn, epochs: Epochs) -> EpochsRun:
        """Run epochs one after the other, until the criterion ends the call or one diverges."""

    def shuffled(
        self, rows: NDArray[np.int64], source: Any, count: int
    ) -> NDArray[np.int64] | None:
        """Put rows into a new order, several times, as `source.shuffle` does; return the orders.

        None, and nothing drawn, where that is left to NumPy.
        """


class RestartingEngine(Engine, Protocol):
    """An engine that one training may take over from another."""

    def restart(self, parameters: NDArray[Any]) -> None:
        """Begin with a copy of these parameters, and with nothing else of what was before."""


def restarts(engine: Engine) -> TypeGuard[RestartingEngine]:
    """Return whether one training may take an engine over from another."""
    return hasattr(engine, "restart")


def trains_epochs(engine: Engine) -> TypeGuard[EpochEngine]:
    """Return whether an engine runs several epochs in one call."""
    return hasattr(engine, "train_epochs")
