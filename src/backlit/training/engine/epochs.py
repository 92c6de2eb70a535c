"""Many epochs in one call of compiled code: what happens between two of them.

After an epoch's steps the loss is added up, the parameters are searched for numbers that are not
finite, the validation set is run forward, and a criterion says whether the call has to end. The
steps themselves are those of `steps.run`, called through its address, once for an epoch's batches
and once for the validation set. Orders, rates and random numbers of all epochs come in.

All threads run it together. What lies between the epochs is the work of thread 0, for which the
others wait.
"""

import math
from typing import Any

import llvmlite.ir
from numba.core import types
from numba.extending import intrinsic

from backlit.training.engine.reading import is_set, readers
from backlit.training.engine.records import (
    ARRIVED,
    BEST,
    DIVERGED,
    ENDED,
    EPOCH_FIELDS,
    FIELDS,
    KEEP_BEST,
    KEEP_LAST,
    LARGEST,
    RUN,
    SQUARES,
    WAITED,
    Batches,
    Results,
    Work,
)
from backlit.training.engine.simd import (
    like,
)
from backlit.training.engine.steps import barrier
from backlit.training.machine_code.kernels import kernel
from backlit.training.stopping import LOSS_BELOW, LOSS_WITHIN

_BYTES_OF_WORD, _BYTES_OF_RANDOM = 8, 2


(_epochs,) = readers(EPOCH_FIELDS)


def _place(record: Any, field: str) -> int:
    """Return where a field of a record stands in the block of `steps.FIELDS`."""
    before = list(FIELDS)[: list(FIELDS).index(record)]
    return sum(len(FIELDS[other]) for other in before) + int(record._fields.index(field))


_ORDER, _RATES, _RANDOM = (_place(Batches, name) for name in ("order", "rates", "random"))
_LOSSES, _PENALTIES = (_place(Results, name) for name in ("losses", "penalties"))
_SYNC = _place(Work, "sync")


@intrinsic
def _address(typing_context: Any, pointer: Any) -> Any:
    """Return where a pointer points."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], llvmlite.ir.IntType(64))

    return types.int64(pointer), codegen


def _pointer_to(kind: Any) -> Any:
    """Make the compiled function that takes an address for a pointer."""

    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        target = types.CPointer(kind)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(target))

        return target(address), codegen

    return pointer


_doubles, _words = _pointer_to(types.float64), _pointer_to(types.int64)


@intrinsic
def _call(
    typing_context: Any, run: Any, thread: Any, threads: Any, table: Any, block: Any, example: Any
) -> Any:
    """Call `steps.run`, which lies at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = [context.get_value_type(kind) for kind in signature.args[1:]]
        function = llvmlite.ir.FunctionType(context.get_value_type(types.void), kinds)
        builder.call(builder.inttoptr(args[0], function.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(run, thread, threads, table, block, example), codegen


@kernel()
def _begin(epochs, block, e):
    """Let the block describe the batches of an epoch."""
    at = e * epochs.rows
    block[_ORDER] = _address(epochs.order) + _BYTES_OF_WORD * at
    block[_RATES] = _address(epochs.rates) + _BYTES_OF_WORD * e * epochs.batches
    if is_set(epochs.random):
        block[_RANDOM] = _address(epochs.random) + _BYTES_OF_RANDOM * at * epochs.hidden
    _words(block[_SYNC])[ARRIVED] = 0


@kernel()
def _mean_loss(epochs, block, e):
    """Add up an epoch's losses one by one, as in a training that is run in shorter calls."""
    losses, penalties = _doubles(block[_LOSSES]), _doubles(block[_PENALTIES])
    total, at = 0.0, e * epochs.batches
    for i in range(epochs.batches):
        total += (epochs.loss_scale * losses[i] + penalties[i]) * epochs.sizes[at + i]
    return total / epochs.weights[e]


@kernel()
def _all_finite(vector, n):
    # zero times a number is zero, unless that is not finite; four sums, so that none waits
    zero = like(vector, 0.0)
    a = b = c = d = zero
    whole = n - n % 4
    for i in range(0, whole, 4):
        a += vector[i] * zero
        b += vector[i + 1] * zero
        c += vector[i + 2] * zero
        d += vector[i + 3] * zero
    for i in range(whole, n):
        a += vector[i] * zero
    return math.isfinite(a + b + c + d)


@kernel()
def _add_rows(values, rows, width):
    """Add all rows to the first, in the order of `metrics.added`."""
    while rows > 1:
        half = (rows + 1) // 2
        for i in range((rows - half) * width):
            values[i] += values[half * width + i]
        rows = half


@kernel()
def _r_squared(epochs):
    """Return the mean R^2 of the outputs; an output without spread has 1 if it is met, else 0."""
    n_out, squares = epochs.n_outputs, epochs.squares
    for i in range(epochs.examples * n_out):
        difference = epochs.targets[i] - epochs.outputs[i]
        squares[i] = difference * difference
    _add_rows(squares, epochs.examples, n_out)
    for k in range(n_out):
        left, spread = squares[k], epochs.spread[k]
        if spread != 0.0:
            squares[k] = (spread - left) / spread
        else:
            squares[k] = 1.0 if left == 0.0 else 0.0
    _add_rows(squares, n_out, 1)
    return squares[0] / n_out


@kernel()
def _score(epochs):
    """Return accuracy or R^2 of the validation set; NaN if an output is not finite."""
    n_out, right = epochs.n_outputs, 0
    if not _all_finite(epochs.outputs, epochs.examples * n_out):
        return math.nan
    if epochs.scoring == SQUARES:
        return _r_squared(epochs)
    for i in range(epochs.examples):
        at = i * n_out
        if epochs.scoring == LARGEST:
            largest = 0
            for k in range(1, n_out):
                if epochs.outputs[at + k] > epochs.outputs[at + largest]:
                    largest = k
            right += int(largest == epochs.expected[i])
        else:
            met = True
            for k in range(n_out):
                above = epochs.outputs[at + k] > 0.5
                met = met and above == (epochs.expected[at + k] != 0)
            right += int(met)
    return right / epochs.examples


@kernel()
def _validate(epochs, e):
    """Write down loss and score of the validation set, which has been run."""
    losses = _doubles(epochs.validation[_LOSSES])
    total = 0.0
    for i in range(epochs.chunks):
        total += losses[i]
    epochs.validation_losses[e] = total * epochs.loss_scale
    epochs.scores[e] = _score(epochs)


@kernel()
def _judge(epochs, e):
    """Compare a finished epoch with the best one; keep its parameters if they are to be."""
    value = epochs.losses[e]
    if epochs.by_validation != 0:
        in_losses = epochs.criterion in (LOSS_BELOW, LOSS_WITHIN)
        value = epochs.validation_losses[e] if in_losses else epochs.scores[e]
    best = epochs.judged[BEST]
    if epochs.criterion == LOSS_BELOW:
        short, is_best = not (value < best - epochs.margin), value < best
    elif epochs.criterion == LOSS_WITHIN:
        short, is_best = value > best - epochs.margin, value < best
    else:
        short, is_best = value < best + epochs.margin, value > best
    if is_best:
        epochs.judged[BEST] = value
    waited = epochs.judged[WAITED] + 1.0 if short else 0.0
    epochs.judged[WAITED] = waited
    if waited > epochs.limit:
        epochs.outcome[ENDED] = 1
    if epochs.keep == KEEP_LAST or (epochs.keep == KEEP_BEST and is_best):
        for i in range(epochs.size):
            epochs.kept[i] = epochs.parameters[i]


def run_epochs(thread, threads, table, block, others, example):
    """Run the epochs that a block of numbers describes; see the module's docstring.

    `block` describes the batches of one, `others` all of them.
    """
    epochs = _epochs(others, example)
    validated = is_set(epochs.validation)
    phase = 0
    for e in range(epochs.count):
        if thread == 0:
            _begin(epochs, block, e)
        phase += 1
        if not barrier(epochs.sync, threads, phase):
            return
        _call(epochs.run, thread, threads, table, block, example)
        phase += 1
        if not barrier(epochs.sync, threads, phase):
            return
        if thread == 0:
            loss = _mean_loss(epochs, block, e)
            epochs.losses[e] = loss
            epochs.outcome[RUN] = e + 1
            finite = math.isfinite(loss) and _all_finite(epochs.parameters, epochs.size)
            epochs.outcome[DIVERGED] = int(not finite)
            if validated:
                _words(block[_SYNC])[ARRIVED] = 0
        phase += 1
        if not barrier(epochs.sync, threads, phase):
            return
        if epochs.outcome[DIVERGED] != 0:
            return
        if validated:
            _call(epochs.run, thread, threads, table, epochs.validation, example)
            phase += 1
            if not barrier(epochs.sync, threads, phase):
                return
        if thread == 0:
            if validated:
                _validate(epochs, e)
            _judge(epochs, e)
        phase += 1
        if not barrier(epochs.sync, threads, phase):
            return
        if epochs.outcome[ENDED] != 0:
            return
