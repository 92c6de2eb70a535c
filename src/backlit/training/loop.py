"""The epoch loop: the one path from data to a trained network.

An epoch is run in calls of the compiled engine that take about a tenth of a second each. Between
two calls Python answers Ctrl-C and reports progress. Where a call ends changes no bit.
"""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from backlit.formats.generations import State
from backlit.training.engine.engine import Engine, Examples
from backlit.training.schedules import Schedule

#: seconds that a call of the engine should take
CALL_SECONDS = 0.1
#: random numbers for dropout that are drawn at once, at most
_RANDOM_BLOCK = 1 << 22


#: rows that `shuffle_blocks` keeps together
BLOCK_ROWS = 1 << 14


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


class Loop:
    """Runs epochs over a set of rows.

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
    learning_rate : float
        The optimizer's rate, before the schedule; may be changed between epochs.
    schedule : Schedule
        Factors of it.
    total_steps : int
        How many steps there will be at most, for the schedule.
    hidden_units : int, default 0
        Hidden units an example, if there is dropout.
    dropout_generator : Generator, optional
        Where dropout's random numbers come from.
    loss_scale : float, default 1
        What the mean loss is multiplied by before the penalty is added; for reports only.
    weigh_batches : bool, default True
        Whether a batch counts in the epoch's mean by the sum of its weights, which makes it the
        mean over examples, or by its rows.
    report_every : int, optional
        `tick` is also called whenever the optimizer's steps are a multiple of this.
    """

    def __init__(
        self,
        engine: Engine,
        examples: Examples,
        rows: NDArray[np.int64],
        batch_size: int,
        *,
        shuffle: Callable[[NDArray[np.int64]], None] | None,
        learning_rate: float,
        schedule: Schedule,
        total_steps: int,
        hidden_units: int = 0,
        dropout_generator: np.random.Generator | None = None,
        loss_scale: float = 1.0,
        weigh_batches: bool = True,
        report_every: int | None = None,
    ) -> None:
        self.engine, self.examples, self.rows = engine, examples, rows
        self.batch_size, self.shuffle = batch_size, shuffle
        self.learning_rate, self.schedule, self.total_steps = learning_rate, schedule, total_steps
        self._hidden_units, self._generator = hidden_units, dropout_generator
        self._starts = np.append(np.arange(0, len(rows), batch_size, dtype=np.int64), len(rows))
        self._steps_per_call = 1
        self._loss_scale, self._report_every = loss_scale, report_every
        self._step, self._total, self._goes_on = 0, 0.0, False
        self._batch_weights = examples.sample_weight if weigh_batches else None

    @property
    def steps_per_epoch(self) -> int:
        """How many steps an epoch has."""
        return len(self._starts) - 1

    def state(self) -> State:
        """Return all that the steps to come depend on; whole in a `tick` and between epochs.

        Where the loop stands in its epoch, the order of the rows, parameters and moments. Where the
        orders and dropout's masks are drawn from is the caller's to keep.
        """
        engine = self.engine.state
        arrays = {"parameters": engine.parameters}
        if engine.first.size:
            arrays["first_moments"] = engine.first
        if engine.second.size:
            arrays["second_moments"] = engine.second
        if self.shuffle is not None:
            short = len(self.rows) == 0 or self.rows.max() <= np.iinfo(np.int32).max
            arrays["rows"] = self.rows.astype(np.int32) if short else self.rows
        values = {"steps": int(engine.steps[0]), "step": self._step, "total": self._total.hex()}
        return State(arrays, values)

    def restore(self, state: State) -> None:
        """Go on from a state, at the step of the epoch where it was."""
        engine = self.engine.state
        engine.parameters[:] = state.arrays["parameters"]
        if engine.first.size:
            engine.first[:] = state.arrays["first_moments"]
        if engine.second.size:
            engine.second[:] = state.arrays["second_moments"]
        if self.shuffle is not None:
            self.rows[:] = state.arrays["rows"]
        engine.steps[0] = state.values["steps"]
        self._step, self._total = state.values["step"], float.fromhex(state.values["total"])
        self._goes_on = self._step > 0

    def end_epoch(self) -> None:
        """Say that the epoch is judged: from here on the state is that of the next one's start."""
        self._step, self._total, self._goes_on = 0, 0.0, False

    def run_epoch(self, tick: Callable[[float], None] | None = None) -> float:
        """Go through all rows once.

        Parameters
        ----------
        tick : callable, optional
            Called after each call of the engine with the share of the epoch that is done.

        Returns
        -------
        float
            The epoch's mean loss, penalty included, each batch at the parameters before its step;
            not finite if training diverged, and the rest of the epoch is then left out.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, between two calls: parameters and moments are those after the last step.
        """
        if not self._goes_on:
            self.end_epoch()
            if self.shuffle is not None:
                self.shuffle(self.rows)
        self._goes_on = False
        n_steps = self.steps_per_epoch
        while self._step < n_steps and np.isfinite(self._total):
            count = min(self._steps_per_call, n_steps - self._step)
            if self._report_every:
                done = int(self.engine.state.steps[0])
                count = min(count, self._report_every - done % self._report_every)
            if self._generator is not None:
                most = _RANDOM_BLOCK // max(self._hidden_units * self.batch_size, 1)
                count = min(count, max(most, 1))
            began = time.perf_counter()
            # added up one by one, so that where a call ends does not change the sum
            parts = np.concatenate(([self._total], self._run_steps(self._step, count)))
            self._total = float(np.add.accumulate(parts)[-1])
            self._step += count
            seconds = time.perf_counter() - began
            # double at most, so that one quick call does not make the next one long
            wanted = int(count * CALL_SECONDS / max(seconds, 1e-9))
            self._steps_per_call = max(1, min(wanted, 2 * self._steps_per_call))
            if tick is not None:
                tick(self._step / n_steps)
        weights = self._batch_weights
        whole = float(len(self.rows) if weights is None else weights[self.rows].sum())
        return self._total / whole

    def _run_steps(self, first: int, count: int) -> NDArray[np.float64]:
        """Run some of the epoch's steps; return their losses times their weights."""
        starts = self._starts[first : first + count + 1]
        order = self.rows[starts[0] : starts[-1]]
        done = int(self.engine.state.steps[0])
        steps = np.arange(done, done + count, dtype=np.int64)
        rates = self.learning_rate * self.schedule.factors(steps, self.total_steps)
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
