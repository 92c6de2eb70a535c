"""The batches of one machine: orders and dropout's masks are drawn here, an engine computes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import SettingError
from backlit.formats.generations import State
from backlit.training.checkpoints import Random, random_state, set_random_state
from backlit.training.data import Examples
from backlit.training.metrics import score_of
from backlit.training.steps import Engine
from backlit.training.stopping import Scores

#: random numbers for dropout that are drawn at once, at most
_RANDOM_BLOCK = 1 << 22
#: rows that `shuffle_blocks` keeps together
BLOCK_ROWS = 1 << 14
#: rows that run forward, or through a sum of gradients, at a time
FORWARD_ROWS = 512


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


def shuffler(
    function: str, shuffle: bool | str, generator: np.random.Generator
) -> Callable[[NDArray[np.int64]], None] | None:
    """Return what puts rows into a new order, or None.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    if shuffle == "blocks":
        return lambda rows: shuffle_blocks(rows, generator)
    if not isinstance(shuffle, bool):
        raise SettingError(f"{function}: shuffle is {shuffle!r}, expected True, False or 'blocks'.")
    return generator.shuffle if shuffle else None


def batch_starts(n_rows: int, batch_size: int) -> NDArray[np.int64]:
    """Return where batches begin, and where the last one ends, which takes what is left."""
    return np.append(np.arange(0, n_rows, batch_size, dtype=np.int64), n_rows)


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
    shuffle : callable or None
        Called with `rows` at the start of each epoch.
    hidden_units : int, default 0
        Hidden units of an example, if there is dropout.
    dropout_generator : Generator, optional
        Where dropout's random numbers come from.
    sources : dict, optional
        The sources of random numbers by the names under which their states are saved.
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
        *,
        shuffle: Callable[[NDArray[np.int64]], None] | None,
        hidden_units: int = 0,
        dropout_generator: np.random.Generator | None = None,
        sources: dict[str, Random] | None = None,
        loss_scale: float = 1.0,
        weigh_batches: bool = True,
    ) -> None:
        self.engine, self.examples, self.rows = engine, examples, rows
        self.layout, self.parameters = engine.layout, engine.parameters
        self.batch_size, self.shuffle = batch_size, shuffle
        self._hidden_units, self._generator = hidden_units, dropout_generator
        self._sources = sources or {}
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
        if self._generator is None:
            return self.per_epoch
        return max(_RANDOM_BLOCK // max(self._hidden_units * self.batch_size, 1), 1)

    def begin_epoch(self, epoch: int) -> None:
        """Put the rows into a new order."""
        if self.shuffle is not None:
            self.shuffle(self.rows)

    def run(self, first: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the epoch's steps from number `first` on, one for each learning rate."""
        starts = self._starts[first : first + len(rates) + 1]
        order = self.rows[starts[0] : starts[-1]]
        random = self._draw(np.diff(starts))
        losses, penalties = self.engine.train(
            self.examples, order, starts - starts[0], np.ascontiguousarray(rates), random
        )
        if self._batch_weights is None:
            sizes = np.diff(starts).astype(np.float64)
        else:
            sizes = np.add.reduceat(self._batch_weights[order], starts[:-1] - starts[0])
        with np.errstate(over="ignore", invalid="ignore"):
            weighted: NDArray[np.float64] = (self._loss_scale * losses + penalties) * sizes
        return weighted

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
        sources = {name: random_state(source) for name, source in self._sources.items()}
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
        for name, source in self._sources.items():
            set_random_state(source, state.values["sources"][name])

    def _draw(self, sizes: NDArray[np.int64]) -> NDArray[np.uint16] | None:
        """Draw dropout's random numbers for batches of these sizes."""
        if self._generator is None:
            return None
        # NumPy cuts two such numbers from a word and forgets the second one of an odd draw: what a
        # draw takes together must not depend on where a call ends
        aligned = self.batch_size * self._hidden_units % 2 == 0
        draws = [sizes.sum()] if aligned else sizes
        numbers = [
            self._generator.integers(0, 1 << 16, int(size) * self._hidden_units, dtype=np.uint16)
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
    """

    def __init__(
        self,
        engine: Engine,
        examples: Examples,
        rows: NDArray[np.int64],
        score: Callable[[NDArray[Any]], float],
        loss_scale: float = 1.0,
    ) -> None:
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


def score_by(
    examples: Examples, rows: NDArray[np.int64], output: str
) -> Callable[[NDArray[Any]], float]:
    """Return what scores outputs for these rows: by accuracy, or R^2 for a regression."""
    _, classes, targets, weights = examples
    expected = None if classes is None else classes[rows]
    goal = None if targets is None else targets[rows]
    w = None if weights is None else weights[rows]
    return lambda outputs: score_of(output, outputs, expected, goal, w).value
