"""The batches of one machine: orders and dropout's masks are drawn here, an engine computes."""

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import SettingError
from backlit.formats.generations import State
from backlit.training.checkpoints import Random, random_state, set_random_state, set_state, state_of
from backlit.training.data import Examples
from backlit.training.metrics import RSquared, score_of
from backlit.training.steps import (
    Drawn,
    Engine,
    Epochs,
    EpochsRun,
    ValidationPlan,
    trains_epochs,
)
from backlit.training.stopping import Scores

#: puts rows into a new order, which it draws from a source of random numbers
Shuffle = Callable[[NDArray[np.int64], Any], None]

#: random numbers for dropout that are drawn at once, at most
_RANDOM_BLOCK = 1 << 22
#: rows that `shuffle_blocks` keeps together
BLOCK_ROWS = 1 << 14
#: rows that run forward, or through a sum of gradients, at a time
FORWARD_ROWS = 512
#: multiply-adds that a first call of several epochs may take, and what else a step costs
_FIRST_CALL, _STEP_COSTS = 100_000_000, 20_000
#: batches whose bounds and sizes are kept for the next training with the same ones
_FEW = 4096
#: numbers that are drawn for one call, at most
_DRAWN = 1 << 22


def shuffle_blocks(
    rows: NDArray[np.int64], generator: np.random.Generator, block: int = BLOCK_ROWS
) -> None:
    """Shuffle rows in place, by blocks of neighbours and within each block.

    Parameters
    ----------
    rows : int64 array
        Row numbers, in any order.
    generator : Generator
        Where the order comes from.
    block : int
        Rows of a block; the rows left over at the end are a block that stays last.
    """
    rows.sort()
    whole = len(rows) // block
    for i in range(whole - 1, 0, -1):  # Fisher and Yates, with blocks for cards
        j = int(generator.integers(i + 1))
        if i != j:
            held = rows[i * block : (i + 1) * block].copy()
            rows[i * block : (i + 1) * block] = rows[j * block : (j + 1) * block]
            rows[j * block : (j + 1) * block] = held
    for begin in range(0, len(rows), block):
        generator.shuffle(rows[begin : begin + block])


def _shuffle_rows(rows: NDArray[np.int64], source: Random) -> None:
    source.shuffle(rows)


def shuffler(function: str, shuffle: bool | str) -> Shuffle | None:
    """Return what puts rows into a new order, or None.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    if shuffle == "blocks":
        return shuffle_blocks
    if not isinstance(shuffle, bool):
        raise SettingError(f"{function}: shuffle is {shuffle!r}, expected True, False or 'blocks'.")
    return _shuffle_rows if shuffle else None


def batch_starts(n_rows: int, batch_size: int) -> NDArray[np.int64]:
    """Return where batches begin, and where the last one ends, which takes what is left.

    Parameters
    ----------
    n_rows : int
        Rows of an epoch.
    batch_size : int
        Rows of a batch.

    Returns
    -------
    int64 array, shape (batches + 1,)
        Read-only: it may be that of others with the same sizes.
    """
    make = _known_starts if n_rows <= _FEW * batch_size else _known_starts.__wrapped__
    return make(n_rows, batch_size)


@lru_cache(maxsize=64)
def _known_starts(n_rows: int, batch_size: int) -> NDArray[np.int64]:
    starts = np.append(np.arange(0, n_rows, batch_size, dtype=np.int64), n_rows)
    starts.flags.writeable = False
    return starts


def unweighted(
    n_rows: int, batch_size: int, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what batches and epochs count by where examples have no weights.

    Parameters
    ----------
    n_rows : int
        Rows of an epoch.
    batch_size : int
        Rows of a batch.
    count : int
        Epochs.

    Returns
    -------
    sizes : float64 array, shape (count, batches)
        The rows of each batch.
    totals : float64 array, shape (count,)
        The rows of each epoch. Both are read-only, as `batch_starts`.
    """
    few = count * n_rows <= _FEW * batch_size
    return (_known_sizes if few else _known_sizes.__wrapped__)(n_rows, batch_size, count)


@lru_cache(maxsize=64)
def _known_sizes(
    n_rows: int, batch_size: int, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sizes = np.diff(batch_starts(n_rows, batch_size)).astype(np.float64)
    both = np.tile(sizes, (count, 1)), np.full(count, float(n_rows))
    for array in both:
        array.flags.writeable = False
    return both


class Sources(NamedTuple):
    """Where a training's random numbers come from.

    Attributes
    ----------
    named : dict
        Each source by the name under which its state is saved.
    orders : Generator or RandomState
        Which of them the orders are drawn from.
    dropout : Generator or None
        Which of them dropout's random numbers are drawn from.
    private : bool
        Whether nobody else draws from them, so that they may be set back.
    """

    named: dict[str, Random]
    orders: Random
    dropout: np.random.Generator | None = None
    private: bool = False


class BatchSteps:
    """Steps over mini-batches of rows in memory, or in a memory map.

    Parameters
    ----------
    engine : Engine
        The network and its state.
    examples : Examples
        The data.
    rows : int64 array
        The rows that are trained on; `shuffle` reorders this array in place.
    batch_size : int
        Examples a step; the last batch of an epoch takes what is left.
    sources : Sources
        Where random numbers come from.
    shuffle : callable or None
        Called with `rows` and a source at the start of each epoch.
    hidden_units : int, default 0
        Hidden units of an example, if there is dropout.
    loss_scale : float, default 1
        What the mean loss is multiplied by before the penalty is added; for reports only.
    weigh_batches : bool, default True
        Whether a batch counts in the epoch's mean by the sum of its weights, which makes it the
        mean over examples, or by its rows.
    """

    def __init__(
        self,
        engine: Engine,
        examples: Examples,
        rows: NDArray[np.int64],
        batch_size: int,
        sources: Sources,
        *,
        shuffle: Shuffle | None,
        hidden_units: int = 0,
        loss_scale: float = 1.0,
        weigh_batches: bool = True,
    ) -> None:
        self.engine, self.examples, self.rows = engine, examples, rows
        self.layout, self.parameters = engine.layout, engine.parameters
        self.batch_size, self.shuffle = batch_size, shuffle
        self._hidden_units = hidden_units
        self._sources = self._ahead = sources
        self._starts = batch_starts(len(rows), batch_size)
        self._loss_scale = loss_scale
        self._batch_weights = examples.sample_weight if weigh_batches else None

    @property
    def taken(self) -> int:
        """Optimizer steps so far."""
        return int(self.engine.state.steps[0])

    @property
    def per_epoch(self) -> int:
        """Steps an epoch."""
        return len(self._starts) - 1

    @property
    def largest_call(self) -> int:
        """Steps that one call may take: as many as it is worth drawing masks for at once."""
        if self._sources.dropout is None:
            return self.per_epoch
        return max(_RANDOM_BLOCK // max(self._hidden_units * self.batch_size, 1), 1)

    def begin_epoch(self, epoch: int) -> None:
        """Put the rows into a new order."""
        if self.shuffle is not None:
            self.shuffle(self.rows, self._sources.orders)

    def run(self, first: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the epoch's steps from number `first` on, one for each learning rate."""
        starts = self._starts[first : first + len(rates) + 1]
        order = self.rows[starts[0] : starts[-1]]
        random = self._draw(np.diff(starts), self._sources.dropout)
        losses, penalties = self.engine.train(
            self.examples, order, starts - starts[0], np.ascontiguousarray(rates), random
        )
        sizes = self._sizes(order, starts - starts[0])
        with np.errstate(over="ignore", invalid="ignore"):
            weighted: NDArray[np.float64] = (self._loss_scale * losses + penalties) * sizes
        return weighted

    def _sizes(self, order: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return each batch's number of rows, or the sum of their weights."""
        if self._batch_weights is None:
            return np.diff(starts).astype(np.float64)
        return np.add.reduceat(self._batch_weights[order], starts[:-1])

    @property
    def epochs_per_call(self) -> int:
        """Epochs that a first call may take; 0 where one takes longer, or they cannot be run so."""
        if not trains_epochs(self.engine):
            return 0
        numbers = len(self.rows) * (1 + self._hidden_units // 4)
        work = 3 * self.layout.size * len(self.rows) + _STEP_COSTS * self.per_epoch
        return min(_FIRST_CALL // work, _DRAWN // numbers)

    def run_epochs(self, epochs: Epochs) -> EpochsRun:
        """Run epochs, as many as there are rates for, until one has to be the last.

        What they draw is drawn before. Afterwards the sources stand where the epochs that were run
        have brought them: sources that others may draw from are never set back, so that copies are
        drawn from first.
        """
        engine = self.engine
        assert trains_epochs(engine)
        sources, count = self._sources, len(epochs.rates)
        states = {}
        if sources.private:
            states = {name: state_of(source) for name, source in sources.named.items()}
        elif self._ahead is sources:
            self._ahead = copy.deepcopy(sources)
        before = self.rows.copy()
        drawn = self._drawn(count, self._ahead)
        run = engine.train_epochs(self.examples, drawn, epochs)
        done = len(run.losses)
        if sources.private and done == len(drawn.order):
            return run
        for name, state in states.items():
            set_state(sources.named[name], state)
        if done < len(drawn.order):
            self._ahead = sources  # the copies have drawn too much
        self.rows[:] = before
        self._draw_epochs(done, sources)
        return run

    def _draw_epochs(
        self, count: int, sources: Sources
    ) -> tuple[NDArray[np.int64], list[NDArray[np.uint16] | None]]:
        """Draw the next epochs' orders and, for each, dropout's numbers.

        There are fewer where an order is refused; it will be refused again when it is its turn.
        """
        engine, order = self.engine, None
        # one source for both has to be drawn from by turns
        apart = sources.dropout is not sources.orders
        if self.shuffle is _shuffle_rows and apart and count > 1 and trains_epochs(engine):
            order = engine.shuffled(self.rows, sources.orders, count)
        if order is not None:
            return order, [self._draw_numbers(sources) for _ in range(count)]
        order, numbers = np.empty((count, len(self.rows)), np.int64), []
        for epoch in range(count):
            try:
                numbers.append(self._draw_epoch(sources))
            except ValueError:
                if not epoch:
                    raise
                return order[:epoch], numbers
            order[epoch] = self.rows
        return order, numbers

    def _draw_epoch(self, sources: Sources) -> NDArray[np.uint16] | None:
        """Put the rows into the next epoch's order; return dropout's numbers for all of it."""
        if self.shuffle is not None:
            self.shuffle(self.rows, sources.orders)
        return self._draw_numbers(sources)

    def _draw_numbers(self, sources: Sources) -> NDArray[np.uint16] | None:
        """Return dropout's numbers for an epoch."""
        if sources.dropout is None:
            return None
        return self._draw(np.diff(self._starts), sources.dropout)

    def _drawn(self, count: int, sources: Sources) -> Drawn:
        """Draw what chance decides in the next epochs."""
        order, numbers = self._draw_epochs(count, sources)
        random = [each for each in numbers if each is not None]
        count, weights = len(order), self._batch_weights
        if weights is None:
            sizes, totals = unweighted(len(self.rows), self.batch_size, count)
        else:
            sizes = np.array([self._sizes(rows, self._starts) for rows in order])
            totals = np.array([weights[rows].sum() for rows in order])
        return Drawn(
            order,
            self._starts,
            sizes,
            totals,
            np.concatenate(random) if random else None,
            self._loss_scale,
        )

    def epoch_weight(self) -> float:
        """Return the number of rows, or the sum of their weights."""
        weights = self._batch_weights
        return float(len(self.rows) if weights is None else weights[self.rows].sum())

    def total_weight(self) -> float:
        """Return the number of rows, or the sum of their weights if they have some."""
        weights = self.examples.sample_weight
        return float(len(self.rows) if weights is None else weights[self.rows].sum())

    def gradient(self) -> tuple[float, NDArray[Any]]:
        """Return the mean loss over all rows without the penalty, and its gradient."""
        starts = batch_starts(len(self.rows), self.engine.batch_size)
        loss, gradient = self.engine.gradient(self.examples, self.rows, starts, self.total_weight())
        return loss * self._loss_scale, gradient

    def state(self) -> State:
        """Return parameters, moments, the order of the rows, and where the draws have come to."""
        engine = self.engine.state
        arrays = {"parameters": engine.parameters}
        if engine.first.size:
            arrays["first_moments"] = engine.first
        if engine.second.size:
            arrays["second_moments"] = engine.second
        if self.shuffle is not None:
            short = len(self.rows) == 0 or self.rows.max() <= np.iinfo(np.int32).max
            arrays["rows"] = self.rows.astype(np.int32) if short else self.rows
        sources = {name: random_state(source) for name, source in self._sources.named.items()}
        return State(arrays, {"steps": self.taken, "sources": sources})

    def restore(self, state: State) -> None:
        """Go on from a state."""
        engine = self.engine.state
        engine.parameters[:] = state.arrays["parameters"]
        if engine.first.size:
            engine.first[:] = state.arrays["first_moments"]
        if engine.second.size:
            engine.second[:] = state.arrays["second_moments"]
        if self.shuffle is not None:
            self.rows[:] = state.arrays["rows"]
        engine.steps[0] = state.values["steps"]
        for name, source in self._sources.named.items():
            set_random_state(source, state.values["sources"][name])

    def _draw(
        self, sizes: NDArray[np.int64], source: np.random.Generator | None
    ) -> NDArray[np.uint16] | None:
        """Draw dropout's random numbers for batches of these sizes."""
        if source is None:
            return None
        # NumPy cuts two such numbers from a word and forgets the second one of an odd draw: what a
        # draw takes together must not depend on where a call ends
        aligned = self.batch_size * self._hidden_units % 2 == 0
        draws = [sizes.sum()] if aligned else sizes
        numbers = [
            source.integers(0, 1 << 16, int(size) * self._hidden_units, dtype=np.uint16)
            for size in draws
        ]
        return numbers[0] if len(numbers) == 1 else np.concatenate(numbers)


class Validation:
    """Rows that are not trained on: their loss and score after each epoch.

    Parameters
    ----------
    engine : Engine
        What runs them.
    examples : Examples
        The data.
    rows : int64 array
        Which of them.
    score : callable
        From the network's outputs for these rows, of shape (m, n_L), to a score.
    loss_scale : float, default 1
        What the mean loss is multiplied by.
    plan : ValidationPlan, optional
        The same, where the engine can score it by itself.
    """

    def __init__(
        self,
        engine: Engine,
        examples: Examples,
        rows: NDArray[np.int64],
        score: Callable[[NDArray[Any]], float],
        loss_scale: float = 1.0,
        plan: ValidationPlan | None = None,
    ) -> None:
        self.plan = plan
        self._engine, self._examples, self._rows = engine, examples, rows
        self._score, self._loss_scale = score, loss_scale

    def measure(self) -> Scores:
        """Return the mean loss and the score, which is NaN if the outputs are not finite."""
        loss, outputs = self._engine.forward(self._examples, self._rows)
        assert outputs is not None
        loss *= self._loss_scale
        if not np.isfinite(outputs).all():
            return Scores(loss, float("nan"))
        with np.errstate(over="ignore", invalid="ignore"):  # before a divergence
            return Scores(loss, self._score(outputs))


def validation_plan(
    examples: Examples, rows: NDArray[np.int64], output: str, batch_size: int
) -> ValidationPlan | None:
    """Return how an engine scores these rows by itself; None where only Python can.

    An engine knows accuracy and R^2, of rows without weights. It adds up at most two losses, since
    more could be added up in another order than Python's.

    Parameters
    ----------
    examples : Examples
        The data.
    rows : int64 array
        Which of them.
    output : str
        The output activation.
    batch_size : int
        The engine's largest batch.
    """
    if examples.sample_weight is not None or len(rows) > 2 * batch_size:
        return None
    if output in ("identity", "exp"):
        assert examples.targets is not None
        targets = np.ascontiguousarray(examples.targets[rows], np.float64)
        spread = RSquared.of(targets, targets).spread
        return ValidationPlan(examples, rows, targets=targets, spread=spread)
    expected: NDArray[Any]
    if examples.classes is not None:
        expected = examples.classes[rows]
    else:
        assert examples.targets is not None
        goal = examples.targets[rows]
        expected = goal.argmax(axis=1) if output == "softmax" else goal > 0.5
    return ValidationPlan(
        examples, rows, np.ascontiguousarray(expected, np.int32), output == "softmax"
    )


def score_by(
    examples: Examples, rows: NDArray[np.int64], output: str
) -> Callable[[NDArray[Any]], float]:
    """Return what scores outputs for these rows: by accuracy, or R^2 for a regression."""
    _, classes, targets, weights = examples
    expected = None if classes is None else classes[rows]
    goal = None if targets is None else targets[rows]
    w = None if weights is None else weights[rows]
    return lambda outputs: score_of(output, outputs, expected, goal, w).value
