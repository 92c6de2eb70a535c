"""The engine: a network, its flat vectors and its buffers, and calls that run batches through it.

Arrays are prepared by the caller; whenever a record of them changes, `boundary` checks that
compiled code may read and write them. Nothing here draws a random number. Buffers are planned once,
for the largest batch.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import SettingError
from backlit.names import ACTIVATIONS, LOSSES
from backlit.parameters import (
    address_of,
    aligned_room,
    aligned_zeros,
    checked_layer_dims,
    layout_of,
)
from backlit.training.data import Examples, Rows
from backlit.training.engine import blocks, boundary, compiled, records, shuffling, units
from backlit.training.engine.codes import (
    BINARY_CROSS_ENTROPY,
    CROSS_ENTROPY,
    FROM_ACTIVATION,
    PACK_SIZE,
    RELU,
    SOFTMAX,
)
from backlit.training.optimizers import Numbers
from backlit.training.steps import Drawn, Epochs, EpochsRun, ValidationPlan
from backlit.training.stopping import Scores

#: multiply-adds after which a call that learns nothing returns to Python, so that it can be
#: interrupted: a tenth of a second's, or less
_WORK_PER_CALL = 400_000_000

#: how long a thread whose start was interrupted is waited for
_SECONDS_TO_APPEAR = 0.1


def _once(call: Callable[[], None] | None) -> Callable[[], None]:
    """Return a function that makes the call when it is first called."""
    left = [call] if call else []
    return lambda: left.pop()() if left else None


def _units_of(activations: Sequence[str], loss: str, numbers: Numbers | None) -> set[str]:
    """Name the compiled units that a network needs, whatever its examples are."""
    needed = {*units.ALWAYS, "activate", "differentiate"}
    hidden = {ACTIVATIONS[name].code for name in activations[:-1]}
    last = ACTIVATIONS[activations[-1]].code
    if any(code > RELU for code in (*hidden, last)):
        needed |= {"activate_rare", "differentiate_rare"}
    if last == SOFTMAX:
        needed.add("softmax")
    code = LOSSES[loss].code
    if code == BINARY_CROSS_ENTROPY:
        needed.add("losses_of_logits")
    elif code != CROSS_ENTROPY:
        needed.add("losses_of_residuals")
    if numbers is not None:
        needed |= {"update", "squared_norm"}
    return needed


def _units_for(examples: Examples, n0: int, n1: int, loss: int) -> set[str]:
    """Name the compiled units that examples need besides."""
    needed = set()
    if isinstance(examples.X, Rows):
        needed |= {"sparse_product", "sparse_weight_gradient"}
    elif records.is_direct(n0, n1):
        needed.add("direct_gradient")
    if loss == CROSS_ENTROPY:
        if examples.classes is not None:
            needed.add("losses_of_classes")
        elif examples.targets is not None:
            needed.add("losses_of_shares")
    return needed


#: the fields of `records.Epochs` that describe a validation set, where there is none
_NO_VALIDATION: dict[str, Any] = {
    "validation": None, "chunks": 0, "scoring": 0, "examples": 0, "n_outputs": 0, "outputs": None,
    "expected": None, "targets": None, "spread": None, "squares": None,
}  # fmt: skip


class _Room(NamedTuple):
    """Where compiled code writes the results of several epochs, from one call to the next."""

    results: records.Results
    curves: NDArray[np.float64]
    rows: tuple[NDArray[np.float64], ...]
    judged: NDArray[np.float64]
    outcome: NDArray[np.int64]
    sync: NDArray[np.int64]


class _ValidationBlock(NamedTuple):
    """How a validation set is run, and all that the numbers in its block point to."""

    plan: ValidationPlan
    state: records.State
    records: tuple[Any, ...]
    fields: dict[str, Any]


class Engine:
    """Runs mini-batches of one network through the compiled loop.

    Parameters
    ----------
    layer_dims : sequence of int
        ``n_0, ..., n_L``.
    activations : sequence of str
        The L names, one a layer.
    loss : str
        A name of `backlit.names.LOSSES`.
    parameters : array, shape (layout.size,)
        The flat vector that `train` updates in place; its dtype is the engine's.
    batch_size : int
        The largest batch.
    loss_parameter : float, default 0
        Huber's delta or the quantile. For the cross-entropies of whole classes, the share that
        probabilities are kept away from 0 and 1 in the losses that are reported; gradients are
        exact all the same.
    numbers : Numbers, optional
        The optimizer and penalty. Without, the engine only runs forward and takes gradients.
    dropout : sequence of float, optional
        The share of units dropped in each hidden layer.
    threads : int, default 1
        How many threads share each batch.
    on_compile : callable, optional
        Called before a compilation.

    Raises
    ------
    SettingError, ShapeError, DTypeError
        If the parts are not as many as the layers, or `parameters` is another vector than the
        layout's. Each call raises them for arrays that do not fit: see `boundary`.
    """

    def __init__(
        self,
        layer_dims: Sequence[int],
        activations: Sequence[str],
        loss: str,
        parameters: NDArray[Any],
        batch_size: int,
        *,
        loss_parameter: float = 0.0,
        numbers: Numbers | None = None,
        dropout: Sequence[float] = (),
        threads: int = 1,
        on_compile: Callable[[], None] | None = None,
    ) -> None:
        self.layout = layout_of(checked_layer_dims("Layout", layer_dims))
        self.parameters = parameters
        self.dtype = parameters.dtype
        boundary.check_network(
            self.layout.layer_dims, tuple(activations), loss, tuple(dropout), batch_size, threads
        )
        self.threads = threads
        self._on_compile = _once(on_compile)
        needed = _units_of(activations, loss, numbers)
        engine = compiled.engine_for(self.dtype, needed, self._on_compile)
        self._run, self._addresses = engine.run, engine.addresses
        self._vector_bytes = engine.vector_bytes
        dims = np.array(self.layout.layer_dims, np.int64)
        codes = np.array([ACTIVATIONS[name].code for name in activations], np.int64)
        self._net = records.Net(
            len(codes),
            dims,
            codes,
            np.array(self.layout.weight_offsets, np.int64),
            np.array(self.layout.bias_offsets, np.int64),
            LOSSES[loss].code,
            float(loss_parameter),
        )
        self._dropout = np.array(dropout if any(dropout) else (), np.float64)
        self._learns = numbers is not None
        self._settings = self._settings_of(numbers or Numbers())
        empty = np.empty(0, self.dtype)
        size = self.layout.size
        numbers = numbers or Numbers(moments=0)
        self.state = records.State(
            size,
            parameters,
            aligned_zeros(size, self.dtype),
            aligned_zeros(size, self.dtype) if numbers.moments > 0 else empty,
            aligned_zeros(size, self.dtype) if numbers.moments > 1 else empty,
            np.zeros(1, np.int64),
        )
        self._plan(dims, codes, batch_size)
        self._empty = empty
        self._examples: Examples | None = None
        self._data: Any = None
        self._n_rows = 0
        self._checked_state: records.State | None = None
        self._block = blocks.empty(records.FIELDS)
        self._written: tuple[Any, ...] | None = None  # what the block holds
        self._places = tuple(
            address_of(array) for array in (self._addresses, self._block, self._work.buffer)
        )
        self._epochs_block = blocks.empty(records.EPOCH_FIELDS)
        self._epochs_place = address_of(self._epochs_block)
        self._written_epochs: tuple[Any, ...] | None = None
        self._room: _Room | None = None
        self._validation: _ValidationBlock | None = None

    def _settings_of(self, numbers: Numbers) -> records.Settings:
        return records.Settings(
            numbers.optimizer,
            float(numbers.beta1),
            float(numbers.beta2),
            float(numbers.epsilon),
            bool(numbers.scaled_epsilon),
            float(numbers.l2),
            float(numbers.decay),
            float(numbers.clip),
            self._dropout,
        )

    def _plan(self, dims: NDArray[np.int64], codes: NDArray[np.int64], batch_size: int) -> None:
        """Lay out the buffers: two batches of activations, a few rows, and room to pack."""
        lanes = self._vector_bytes // self.dtype.itemsize
        vectors = (batch_size + lanes - 1) // lanes
        pitch = ((vectors + self.threads - 1) // self.threads + 1) * lanes
        n_layers = len(codes)
        direct = records.is_direct(dims[0], dims[1])
        place, a, dz = 0, [], [0]
        for l in range(n_layers + 1):
            a.append(place)
            place += 0 if l == 0 and direct else int(dims[l]) * pitch
        for l in range(1, n_layers + 1):
            dz.append(place)
            place += int(dims[l]) * pitch
        slope_source = list(a)
        for l in range(1, n_layers):
            if codes[l - 1] not in FROM_ACTIVATION or self._dropout.size:
                slope_source[l] = place
                place += int(dims[l]) * pitch
        y = place
        place += int(dims[-1]) * pitch
        losses, weights, ones = place, place + pitch, place + 2 * pitch
        slab = place + 3 * pitch + 2 * lanes  # apart by more than what is fetched ahead
        self.batch_size = batch_size
        share = int(dims.max()) + lanes
        self._work = records.Work(
            aligned_zeros(self.threads * slab, self.dtype),
            slab,
            np.array(a, np.int64),
            np.array(dz, np.int64),
            np.array(slope_source, np.int64),
            y,
            losses,
            weights,
            ones,
            np.zeros((vectors + self.threads) * lanes, np.int64),
            np.zeros(max(vectors * lanes, self.threads * share), np.int64),
            share,
            aligned_room(self.threads * PACK_SIZE, self.dtype),
            np.zeros(32 * self.threads, self.dtype),
            np.zeros(int(dims[1:].sum()), np.float64),
            np.zeros(16, np.int64),
        )
        for thread in range(self.threads):
            begin = thread * slab + ones
            self._work.buffer[begin : begin + pitch] = 1

    def restart(self, parameters: NDArray[Any]) -> None:
        """Begin with a copy of these parameters, and with nothing else of what was before.

        Not after a divergence: what is not finite may lie in buffers that a shorter batch leaves as
        they are.
        """
        state = self.state
        state.parameters[...] = parameters
        for array in (state.gradient, state.first, state.second, state.steps):
            array[...] = 0
        self._validation = None

    def go_on_from(
        self, first: NDArray[Any], second: NDArray[Any], steps: NDArray[np.int64]
    ) -> None:
        """Take moments and the number of steps of an engine before, and change them in place."""
        self.state = self.state._replace(first=first, second=second, steps=steps)

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
        n = max(len(starts) - 1, 0)
        results = records.Results(np.zeros(n), np.zeros(n), self._empty)
        if random is None:
            random = np.empty(0, np.uint16)
        self._call(examples, records.TRAIN, order, starts, rates, random, 0.0, results)
        return results.losses, results.penalties

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
        self.state.gradient[...] = 0
        losses = self._evaluate_in_chunks(
            examples, records.GRADIENT, order, starts, total_weight, self._empty
        )
        return float(losses.sum()), self.state.gradient

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
        n_rows, n_out = len(order), self.layout.layer_dims[-1]
        starts = np.append(np.arange(0, n_rows, self.batch_size, dtype=np.int64), n_rows)
        room = np.empty(n_rows * n_out if outputs else 0, self.dtype)
        if total_weight is None:
            weights = examples.sample_weight
            total_weight = float(n_rows if weights is None else weights[order].sum())
        losses = self._evaluate_in_chunks(
            examples, records.FORWARD, order, starts, total_weight, room
        )
        return float(losses.sum()), room.reshape(n_rows, n_out) if outputs else None

    def _evaluate_in_chunks(
        self,
        examples: Examples,
        mode: int,
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        total_weight: float,
        outputs: NDArray[Any],
    ) -> NDArray[np.float64]:
        """Evaluate batches without learning, in chunks; return their losses."""
        n, n_out = len(starts) - 1, self.layout.layer_dims[-1]
        losses = np.zeros(n)
        nothing, no_rates = np.empty(0, np.uint16), np.zeros(0)
        passes = 3 if mode == records.GRADIENT else 1
        chunk = max(1, _WORK_PER_CALL // (passes * self.layout.size * self.batch_size))
        for first in range(0, n, chunk):
            last = min(first + chunk, n)
            begin, end = int(starts[first]), int(starts[last])
            results = records.Results(
                losses[first:last], no_rates, outputs[begin * n_out : end * n_out]
            )
            shifted = starts[first : last + 1] - begin
            self._call(
                examples, mode, order[begin:end], shifted, no_rates, nothing, total_weight, results
            )
        return losses

    def _call(
        self,
        examples: Examples,
        mode: int,
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        rates: NDArray[np.float64],
        random: NDArray[np.uint16],
        total_weight: float,
        results: records.Results,
    ) -> None:
        if examples is not self._examples:
            self._take(examples)
        if mode != records.FORWARD:
            self._check_that_it_can_learn(mode)
        batches = records.Batches(mode, len(starts) - 1, order, starts, rates, random, total_weight)
        self._check(batches, results)
        self._describe(batches, results)
        self._run_all(self._run, self._places, self._work.sync)

    def _describe(self, batches: records.Batches, results: records.Results) -> None:
        """Write a call's arguments to the block."""
        call = (self._net, self._data, batches, self._settings, self.state, self._work, results)
        # an interrupt in between must not leave the block with arrays that nobody keeps
        before, self._written = self._written, None
        blocks.write(self._block, call, before, records.FIELDS, self.dtype)
        self._written = call

    def _room_for(self, n_batches: int, count: int) -> "_Room":
        """Return where the results of epochs go: the same room as before, where it suffices."""
        room = self._room
        if room is None or len(room.results.losses) != n_batches or room.curves.shape[1] < count:
            results = records.Results(np.zeros(n_batches), np.zeros(n_batches), self._empty)
            curves = np.empty((3, count))
            outcome, sync = np.zeros(3, np.int64), np.zeros(16, np.int64)
            room = self._room = _Room(results, curves, (*curves,), np.empty(2), outcome, sync)
        room.outcome[:] = room.sync[:] = 0
        return room

    def train_epochs(self, examples: Examples, drawn: Drawn, asked: Epochs) -> EpochsRun:
        """Run epochs one after the other, until the criterion ends the call or one diverges.

        Parameters
        ----------
        examples : Examples
            The data.
        drawn : Drawn
            Orders, batches and dropout's random numbers of all epochs.
        asked : Epochs
            Learning rates, when to end, what is kept and what validates.
        """
        if examples is not self._examples:
            self._take(examples)
        self._check_that_it_can_learn(records.TRAIN)
        (count, in_epoch), starts = drawn.order.shape, drawn.starts
        n = len(starts) - 1
        random = np.empty(0, np.uint16) if drawn.random is None else drawn.random
        hidden = sum(self.layout.layer_dims[1:-1]) if random.size else 0
        batches = records.Batches(
            records.TRAIN,
            n,
            drawn.order[0],
            starts,
            asked.rates[0],
            random[: in_epoch * hidden],
            0.0,
        )
        room = self._room_for(n, count)
        room.judged[:] = asked.best, asked.waited
        boundary.check_epochs(drawn, asked, self._n_rows, self.layout.size, self.dtype)
        self._check(batches, room.results, ordered=True)
        if hidden:
            boundary.check_array(
                "random", random, np.uint16, count * in_epoch * hidden, f"for {count} epochs"
            )
        engine = compiled.engine_for(self.dtype, (units.EPOCHS,), self._on_compile)
        validation = None if asked.validation is None else self._validation_block(asked.validation)
        self._describe(batches, room.results)
        losses, validation_losses, scores = room.rows
        keep = records.KEEP_BEST if asked.keep_best else records.KEEP_LAST
        record = records.Epochs(
            count,
            n,
            in_epoch,
            hidden,
            drawn.order,
            asked.rates,
            drawn.sizes,
            drawn.weights,
            random,
            drawn.loss_scale,
            engine.address_of_run,
            asked.criterion.kind,
            asked.criterion.by_validation,
            asked.criterion.margin,
            asked.criterion.limit,
            room.judged,
            records.KEEP_NOTHING if asked.kept is None else keep,
            asked.kept,
            self.layout.size,
            self.state.parameters,
            **(_NO_VALIDATION if validation is None else validation.fields),
            losses=losses,
            validation_losses=validation_losses,
            scores=scores,
            sync=room.sync,
            outcome=room.outcome,
        )
        before, self._written_epochs = self._written_epochs, None
        blocks.write(self._epochs_block, (record,), before, records.EPOCH_FIELDS, self.dtype)
        self._written_epochs = (record,)
        table, block, example = self._places
        try:
            self._run_all(engine.run_epochs, (table, block, self._epochs_place, example), room.sync)
        finally:  # the block describes the batches of another epoch now
            self._written = tuple(None if one is batches else one for one in self._written or ())
        run, diverged = room.outcome[: records.DIVERGED + 1].tolist()
        validations: list[Scores | None] = [None] * run
        if validation is not None:
            validations[: run - diverged] = map(Scores, *room.curves[1:, : run - diverged].tolist())
        return EpochsRun(losses[:run].tolist(), validations, bool(diverged))

    def shuffled(
        self, rows: NDArray[np.int64], source: Any, count: int
    ) -> NDArray[np.int64] | None:
        """Put rows into a new order, several times, as `source.shuffle` does; return the orders.

        None, and nothing drawn, where that is left to NumPy.
        """
        engine = compiled.engine_for(self.dtype, (units.SHUFFLE,), self._on_compile)
        return shuffling.shuffled(engine, rows, source, count)

    def _validation_block(self, plan: ValidationPlan) -> "_ValidationBlock":
        """Return the arguments with which a validation set is run forward."""
        found = self._validation
        if found is not None and found.plan is plan and found.state is self.state:
            return found
        # the data are checked, and what they need compiled, as those of a call of their own
        before = self._examples
        self._take(plan.examples)
        data, n_rows = self._data, len(plan.rows)
        n_out = self.layout.layer_dims[-1]
        starts = np.append(np.arange(0, n_rows, self.batch_size, dtype=np.int64), n_rows)
        chunks, none = len(starts) - 1, np.zeros(0)
        outputs = np.empty(n_rows * n_out, self.dtype)
        batches = records.Batches(
            records.FORWARD, chunks, plan.rows, starts, none, np.empty(0, np.uint16), float(n_rows)
        )
        results = records.Results(np.zeros(chunks), none, outputs)
        self._check(batches, results)
        boundary.check_expected(plan, n_out)
        block = blocks.empty(records.FIELDS)
        written = (self._net, data, batches, self._settings, self.state, self._work, results)
        blocks.write(block, written, None, records.FIELDS, self.dtype)
        if before is not None:
            self._take(before)
        scoring = records.LARGEST if plan.by_largest else records.HALVES
        if plan.targets is not None:
            scoring = records.SQUARES
        fields = {
            "validation": block,
            "chunks": chunks,
            "scoring": scoring,
            "examples": n_rows,
            "n_outputs": n_out,
            "outputs": outputs,
            "expected": plan.expected,
            "targets": plan.targets,
            "spread": plan.spread,
            "squares": None if plan.targets is None else np.empty(n_rows * n_out),
        }
        found = self._validation = _ValidationBlock(plan, self.state, written, fields)
        return found

    def _run_all(self, function: Any, places: tuple[int, ...], sync: NDArray[np.int64]) -> None:
        """Call compiled code, in as many threads as the engine has."""
        self._work.sync[:] = 0
        if self.threads == 1:
            function(0, 1, *places)
        else:
            self._run_threads(function, places, sync)

    def _take(self, examples: Examples) -> None:
        """Check examples, and have what they need compiled."""
        X, dims = examples.X, self.layout.layer_dims
        self._n_rows = boundary.check_examples(
            examples, isinstance(X, Rows), dims, self._net.loss, self.dtype
        )
        needed = _units_for(examples, dims[0], dims[1], self._net.loss)
        compiled.engine_for(self.dtype, needed, self._on_compile)
        if isinstance(X, Rows):
            self._data = records.Data(X.values, X.starts, X.columns, *examples[1:])
        else:
            self._data = records.Data(X, None, None, *examples[1:])
        self._examples = examples

    def _check_that_it_can_learn(self, mode: int) -> None:
        if self._data.classes is None and self._data.targets is None:
            raise SettingError("engine: the examples have no labels, expected classes or targets.")
        if mode == records.TRAIN and not self._learns:
            raise SettingError(
                "engine: there is no optimizer, expected the `numbers` of one to train with."
            )

    def _check(
        self, batches: records.Batches, results: records.Results, *, ordered: bool = False
    ) -> None:
        """Check the arrays of this call, and the state if it is another one.

        `ordered` says that the order has been compared with the rows.
        """
        if self.state is not self._checked_state:
            boundary.check_state(self.state, self._settings.optimizer, self.layout.size, self.dtype)
            self._checked_state = self.state
        n_rows = None if ordered else self._n_rows
        n_ordered = boundary.check_batches(batches, n_rows, self.batch_size)
        n = batches.count
        boundary.check_array("losses", results.losses, np.float64, n, "(batches)", written=True)
        if batches.mode == records.TRAIN:
            boundary.check_array("rates", batches.rates, np.float64, n, "as there are batches")
            boundary.check_array(
                "penalties", results.penalties, np.float64, n, "(batches)", written=True
            )
            if self._dropout.size:
                hidden = sum(self.layout.layer_dims[1:-1])
                boundary.check_array(
                    "random", batches.random, np.uint16, n_ordered * hidden,
                    f"for {n_ordered} rows and {hidden} hidden units",
                )  # fmt: skip
        if results.outputs.size:
            boundary.check_array(
                "outputs", results.outputs, self.dtype, n_ordered * self.layout.layer_dims[-1],
                "(rows and outputs)", written=True,
            )  # fmt: skip

    def _run_threads(self, function: Any, places: tuple[int, ...], sync: NDArray[np.int64]) -> None:
        """Call compiled code in all threads; the calling one is number 0.

        An interrupt may come between any two lines. Then the others must not wait for this one,
        nor go on, or begin only now, with arrays that nobody keeps any more. So they wait at a
        gate until all have been started, are waited for, and hold this engine with all that it
        reads and writes.
        """
        gate = threading.Event()
        may_run: list[bool] = []
        appeared: set[int] = set()

        def work(number: int) -> None:
            appeared.add(number)
            gate.wait()
            if may_run:
                function(number, self.threads, *places)

        others = [
            threading.Thread(target=work, args=(number,), daemon=True)
            for number in range(1, self.threads)
        ]
        begun = []
        try:
            for thread in others:
                begun.append(thread)
                thread.start()
            may_run.append(True)
            gate.set()
            function(0, self.threads, *places)
        except BaseException:
            self._work.sync[records.ABORTED] = sync[records.ABORTED] = 1
            raise
        finally:
            gate.set()
            _join(begun, appeared)


def _join(threads: Sequence[threading.Thread], appeared: set[int]) -> None:
    """Wait for threads 1, 2, ..., which end soon, and only then hand on an interrupt.

    One whose start was interrupted may not have `appeared` yet, or never will.
    """
    interrupt = None
    for number, thread in enumerate(threads, start=1):
        latest = time.monotonic() + _SECONDS_TO_APPEAR
        while thread.is_alive() or (number not in appeared and time.monotonic() < latest):
            try:
                if thread.is_alive():
                    thread.join()
                else:
                    time.sleep(0.001)
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
