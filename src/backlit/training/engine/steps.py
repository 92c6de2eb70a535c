"""The compiled training loop: many mini-batches, forward, backward and update, in one call.

It draws nothing and decides nothing: the order of the examples, the learning rates and the random
numbers of dropout come in, and all state is in arrays, so that where a call ends changes no bit.

Several threads may run it together, each with its own `thread` number. A step then has three
parts. Forward and backward are split by the examples of the batch, and need nothing of another
thread. After a barrier the weight gradients and the update are split by the parameters, and after
another the next step begins. No sum is split, so that the number of threads changes no bit.
"""

import math
import sys
from typing import Any, NamedTuple

from numba.core import types

from backlit.training.engine import units
from backlit.training.engine.blocks import given, readers
from backlit.training.engine.functions import (
    CROSS_ENTROPY,
    GELU,
    SILU,
    SOFTMAX,
    clipped,
    flushed,
    log_range,
)
from backlit.training.engine.products import DOT_ROWS, PACK_SIZE
from backlit.training.engine.simd import (
    NO,
    YES,
    ZERO,
    atomic_add,
    atomic_load,
    kernel,
    lanes,
    like,
    shifted,
)
from backlit.training.engine.updates import (
    ADAM,
    BETA1,
    BETA2,
    EPSILON,
    KEEP,
    PENALTY,
    REST1,
    REST2,
    SCALE,
    STEP,
)

#: what a call does with its batches
TRAIN, GRADIENT, FORWARD = range(3)

#: places in `Work.sync`
ARRIVED, ABORTED = 0, 8

#: a first layer is computed straight from the rows of X if they are this long ...
DIRECT_INPUTS = 512
#: ... and its units no more than this
DIRECT_UNITS = 48


class Net(NamedTuple):
    """The network: its depth, ``n_0..n_L``, each layer's activation and place, and the loss."""

    depth: Any
    dims: Any
    activations: Any
    weights: Any
    biases: Any
    loss: Any
    loss_parameter: Any


class Data(NamedTuple):
    """The examples: X in flat rows; classes or targets, and weights, as far as there are any.

    If there are `row_starts`, X is sparse (CSR): X holds the values and `columns` where they are.
    """

    X: Any
    row_starts: Any
    columns: Any
    classes: Any
    targets: Any
    sample_weight: Any


class Batches(NamedTuple):
    """What to go through: batch i is ``order[starts[i] : starts[i + 1]]``, `count` of them.

    `rates` holds the learning rate of each step, `random` 16 random bits for each unit of each
    example that dropout may drop. `total_weight` is what losses are divided by; 0 means the batch's
    own number (or weight) of examples.
    """

    mode: Any
    count: Any
    order: Any
    starts: Any
    rates: Any
    random: Any
    total_weight: Any


class Settings(NamedTuple):
    """The optimizer and the penalty, as numbers, and dropout's shares, if any."""

    optimizer: Any
    beta1: Any
    beta2: Any
    epsilon: Any
    scaled_epsilon: Any
    l2: Any
    decay: Any
    clip: Any
    dropout: Any


class State(NamedTuple):
    """Flat vectors of one layout and `size`, and the number of steps taken."""

    size: Any
    parameters: Any
    gradient: Any
    first: Any
    second: Any
    steps: Any


class Work(NamedTuple):
    """Buffers, planned once: where each layer's A, dZ and key begin in `buffer`, and scratch.

    Each thread has `share` of the `rows`.
    """

    buffer: Any
    a: Any
    dz: Any
    key: Any
    y: Any
    losses: Any
    weights: Any
    places: Any
    rows: Any
    share: Any
    pack: Any
    numbers: Any
    partial: Any
    sync: Any


class Results(NamedTuple):
    """Each batch's mean loss and penalty; in FORWARD mode the outputs, if any, in the order."""

    losses: Any
    penalties: Any
    outputs: Any


#: the fields of each of these: R, I, i, D and h point to reals, whole numbers of 64 and 32 bits,
#: doubles and 16-bit numbers, and may point nowhere; n and d are a whole number and a double
FIELDS = {
    Net: "nIIIInd",
    Data: "RIiiRD",
    Batches: "nnIIDhd",
    Settings: "ndddndddD",
    State: "nRRRRI",
    Work: "RIIInnnIInRRDI",
    Results: "DDR",
}

_net, _data, _batches, _settings, _state, _work, _results = readers(FIELDS)


_yield = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


@kernel()
def _barrier(sync, threads, phase):
    """Wait until all threads have come this far `phase` times; return False if one gave up."""
    if threads == 1:
        return True
    atomic_add(sync, ARRIVED, 1)
    spins = 0
    while atomic_load(sync, ARRIVED) < phase * threads:
        if atomic_load(sync, ABORTED) != 0:
            return False
        spins += 1
        if spins > 2000:
            _yield()
    return True


@kernel()
def _span(n, thread, threads):
    return n * thread // threads, n * (thread + 1) // threads


@kernel()
def row_pitch(buffer, m):
    """Return the distance between rows of m examples: whole vectors, and no power of two.

    Rows a power of two apart fall into the same few places of the cache.
    """
    L = lanes(buffer)
    width = (m + L - 1) // L * L
    return width + L if width % (16 * L) == 0 else width


@kernel()
def _drop_rows(buffer, at, pitch, n_units, c0, stop, m, random, place, share):
    """Multiply by the dropout mask: dropped where the random number is below the threshold."""
    threshold = int(round(share * 65536.0))  # noqa: RUF046 (Numba's round returns a float)
    scale = like(buffer, 65536.0 / (65536.0 - threshold))
    for unit in range(n_units):
        row, drawn = at + unit * pitch, place + unit * m
        for j in range(c0, stop):
            dropped = random[drawn + j] < threshold
            buffer[row + j] = like(buffer, 0.0) if dropped else buffer[row + j] * scale


@kernel()
def _activate_rows(table, code, buffer, a, key, pitch, n_units, c0, c1, threads):
    """Apply an activation to columns c0..c1 of a layer, in one go if they are all columns."""
    rows, n = (1, n_units * pitch) if threads == 1 else (n_units, c1 - c0)
    begin = 0 if threads == 1 else c0
    for row in range(rows):
        at = row * pitch + begin
        units.activate(table, code, shifted(buffer, a + at), shifted(buffer, key + at), n)
        if key != a and code not in (GELU, SILU):
            for i in range(at, at + n):
                buffer[key + i] = buffer[a + i]


@kernel()
def _differentiate_rows(table, code, buffer, dz, key, pitch, n_units, c0, c1, threads):
    rows, n = (1, n_units * pitch) if threads == 1 else (n_units, c1 - c0)
    begin = 0 if threads == 1 else c0
    for row in range(rows):
        at = row * pitch + begin
        units.differentiate(table, code, shifted(buffer, dz + at), shifted(buffer, key + at), n)


@kernel()
def _labels(net, data, work, order, begin, pitch, c0, stop):
    """Gather the labels and weights of columns c0..stop into the work buffer."""
    n_out = net.dims[net.depth]
    buffer = work.buffer
    if given(data.classes):
        if net.loss == CROSS_ENTROPY:
            for j in range(c0, stop):
                work.rows[j] = data.classes[order[begin + j]]
        else:
            for j in range(c0, stop):
                buffer[work.y + j] = data.classes[order[begin + j]]
    else:
        for j in range(c0, stop):
            row = order[begin + j] * n_out
            for unit in range(n_out):
                buffer[work.y + unit * pitch + j] = data.targets[row + unit]
    if given(data.sample_weight):
        for j in range(c0, stop):
            buffer[work.weights + j] = data.sample_weight[order[begin + j]]


@kernel()
def _loss_and_gradient(table, net, data, work, pitch, c0, stop, total_weight):
    """Compute losses and dZ_L of columns c0..stop; dZ carries ``w_i / sum w`` from here on."""
    n_layers, n_out, n = net.depth, net.dims[net.depth], stop - c0
    buffer = work.buffer
    z, dz = work.a[n_layers] + c0, work.dz[n_layers] + c0
    losses = shifted(buffer, work.losses + c0)
    if net.loss == CROSS_ENTROPY:
        if given(data.classes):
            classes = shifted(work.rows, c0)
            units.losses_of_classes(table, shifted(buffer, z), shifted(buffer, dz), pitch, n_out, n,
                                    classes, losses)  # fmt: skip
            lowest, highest = log_range(net.loss_parameter)
            low, high = like(buffer, lowest), like(buffer, highest)
            for j in range(n):
                losses[j] = clipped(losses[j], low, high)
        else:
            units.losses_of_shares(table, shifted(buffer, z), shifted(buffer, dz),
                                   shifted(buffer, work.y + c0), pitch, n_out, n,
                                   losses)  # fmt: skip
    else:
        for j in range(n):
            losses[j] = 0
        for unit in range(n_out):
            at = unit * pitch
            units.losses_of_unit(table, net.loss, shifted(buffer, z + at),
                                 shifted(buffer, work.y + c0 + at), shifted(buffer, dz + at),
                                 losses, n, net.loss_parameter)  # fmt: skip
    weighted = given(data.sample_weight)
    share = like(buffer, 1.0 / total_weight)
    weights = work.weights + c0
    if weighted:
        for j in range(n):
            losses[j] *= buffer[weights + j]
    for unit in range(n_out):
        row = dz + unit * pitch
        if weighted:
            for j in range(n):
                buffer[row + j] *= buffer[weights + j]
        for j in range(n):
            buffer[row + j] = flushed(buffer[row + j] * share)


@kernel()
def _forward(table, net, data, state, settings, work, pack, begin, m, pitch, c0, c1, threads,
             random_at, batches):  # fmt: skip
    """Run columns c0..c1 of a batch forward; the logits end in the last layer's A."""
    buffer, parameters = work.buffer, state.parameters
    n_layers = net.depth
    n0, n1 = net.dims[0], net.dims[1]
    stop = min(c1, m)
    sparse = given(data.row_starts)
    length = 1 if sparse else n0
    for j in range(c0, c1):  # whole vectors: the last example stands in for those beyond
        work.places[j] = batches.order[begin + min(j, m - 1)] * length
    places, X = work.places, data.X
    if sparse:
        units.sparse_product(table, buffer, work.a[1] + c0, pitch, parameters, net.weights[0], n0,
                             X, data.row_starts, data.columns, places, c0, n1,
                             stop - c0, parameters, net.biases[0])  # fmt: skip
    elif n0 >= DIRECT_INPUTS and n1 <= DIRECT_UNITS:
        if stop > c0:
            units.dot_product(table, buffer, work.a[1] + c0, pitch, 1, parameters, net.weights[0],
                              n0, X, places, c0, n1, stop - c0, n0, 1, parameters,
                              net.biases[0])  # fmt: skip
    else:
        if stop > c0:
            units.gather_columns(
                table, buffer, work.a[0] + c0, pitch, X, places, c0, 0, stop - c0, n0
            )
        units.product(table, table, buffer, work.a[1] + c0, pitch, parameters, net.weights[0], n0,
                      1, buffer, work.a[0] + c0, pitch, n1, c1 - c0, n0, 1, parameters,
                      net.biases[0], pack)  # fmt: skip
    for l in range(1, n_layers):
        n_units = net.dims[l]
        _activate_rows(table, net.activations[l - 1], buffer, work.a[l], work.key[l], pitch,
                       n_units, c0, c1, threads)  # fmt: skip
        if given(settings.dropout):
            if settings.dropout[l - 1] > 0 and batches.mode == TRAIN:
                _drop_rows(buffer, work.a[l], pitch, n_units, c0, stop, m, batches.random,
                           random_at, settings.dropout[l - 1])  # fmt: skip
            random_at += n_units * m
        units.product(table, table, buffer, work.a[l + 1] + c0, pitch, parameters, net.weights[l],
                      n_units, 1, buffer, work.a[l] + c0, pitch, net.dims[l + 1], c1 - c0, n_units,
                      1, parameters, net.biases[l], pack)  # fmt: skip


@kernel()
def _backward(table, net, state, settings, work, pack, m, pitch, c0, c1, threads, random_at,
              batches):  # fmt: skip
    """Take dZ of columns c0..c1 back from the last layer to the first."""
    buffer, parameters = work.buffer, state.parameters
    n_layers = net.depth
    if given(settings.dropout):
        for l in range(1, n_layers):
            random_at += net.dims[l] * m
    for l in range(n_layers, 1, -1):
        n_units, n_prev = net.dims[l], net.dims[l - 1]
        # forward was Z = W @ A_prev + b, so now dA_prev = W.T @ dZ
        units.product(table, table, buffer, work.dz[l - 1] + c0, pitch, parameters,
                      net.weights[l - 1], 1, n_prev, buffer, work.dz[l] + c0, pitch, n_prev,
                      c1 - c0, n_units, 0, parameters, 0, pack)  # fmt: skip
        if given(settings.dropout):
            random_at -= n_prev * m
            if settings.dropout[l - 2] > 0 and batches.mode == TRAIN:
                _drop_rows(buffer, work.dz[l - 1], pitch, n_prev, c0, min(c1, m), m,
                           batches.random, random_at, settings.dropout[l - 2])  # fmt: skip
        _differentiate_rows(table, net.activations[l - 2], buffer, work.dz[l - 1],
                            work.key[l - 1], pitch, n_prev, c0, c1, threads)  # fmt: skip


@kernel()
def _share_of_layer(L, n_units, n_prev, thread, threads):
    """Return the rows and columns of a layer's weights that belong to a thread."""
    if n_prev >= 4 * L * threads:
        vectors = (n_prev + L - 1) // L
        v0, v1 = _span(vectors, thread, threads)
        return 0, n_units, v0 * L, min(v1 * L, n_prev)
    r0, r1 = _span(n_units, thread, threads)
    return r0, r1, 0, n_prev


@kernel(fast=True)
def _sum(buffer, begin, n):
    total = like(buffer, 0.0)
    for i in range(begin, begin + n):
        total += buffer[i]
    return total


@kernel()
def _layer_gradient(table, net, data, state, work, pack, l, m, pitch, thread, threads, add):
    """Compute this thread's share of layer l's dW and db."""
    buffer, gradient = work.buffer, state.gradient
    n_units, n_prev = net.dims[l], net.dims[l - 1]
    r0, r1, k0, k1 = _share_of_layer(lanes(buffer), n_units, n_prev, thread, threads)
    if r1 > r0 and k1 > k0:
        target = net.weights[l - 1] + r0 * n_prev + k0
        dz = work.dz[l] + r0 * pitch
        X, places, v = data.X, work.places, k0
        if l > 1:
            base = thread * work.share
            L = lanes(buffer)
            for k in range((k1 - k0 + L - 1) // L * L):
                work.rows[base + k] = work.a[l - 1] + min(k0 + k, n_prev - 1) * pitch
            X, places, v = buffer, shifted(work.rows, base), 0
        if l == 1 and given(data.row_starts):
            units.sparse_weight_gradient(table, gradient, target - k0, n_prev, buffer, dz, pitch,
                                         X, data.row_starts, data.columns,
                                         places, r1 - r0, k0, k1, m, add)  # fmt: skip
        elif l > 1 and n_units <= DOT_ROWS:  # of the layer, not of the share: see the module's text
            units.dot_product(table, gradient, target, n_prev, 1, buffer, dz, pitch, X, places, 0,
                              r1 - r0, k1 - k0, m, 2 if add else 0, buffer, 0)  # fmt: skip
        else:
            units.weight_gradient(table, table, gradient, target, n_prev, buffer, dz, pitch, X, v,
                                  places, 0, l == 1, r1 - r0, k1 - k0, m, add, pack)  # fmt: skip
    r0, r1 = _span(n_units, thread, threads)
    for unit in range(r0, r1):
        total = _sum(buffer, work.dz[l] + unit * pitch, m)
        place = net.biases[l - 1] + unit
        gradient[place] = gradient[place] + total if add else total


@kernel()
def _step_numbers(settings, numbers, step_number, rate, penalty, scale):
    """Compute in double precision what `update` reads, for weights and then for biases."""
    step, epsilon = rate, 0.0
    if settings.optimizer == ADAM:
        # Kingma and Ba's Algorithm 1 adds epsilon to the corrected root, their faster form before
        correction = math.sqrt(1.0 - settings.beta2**step_number)
        step = rate * correction / (1.0 - settings.beta1**step_number)
        epsilon = settings.epsilon * (1.0 if settings.scaled_epsilon else correction)
    for at in (0, 16):
        numbers[at + PENALTY] = penalty if at == 0 else 0.0
        numbers[at + KEEP] = 1.0 - rate * settings.decay if at == 0 else 1.0
        numbers[at + SCALE] = scale
        numbers[at + STEP] = step
        numbers[at + EPSILON] = epsilon
        numbers[at + BETA1] = settings.beta1
        numbers[at + REST1] = 1.0 - settings.beta1
        numbers[at + BETA2] = settings.beta2
        numbers[at + REST2] = 1.0 - settings.beta2


@kernel()
def _update_run(table, settings, state, begin, n, numbers):
    units.update(table, settings.optimizer, shifted(state.parameters, begin),
                 shifted(state.gradient, begin), shifted(state.first, begin),
                 shifted(state.second, begin), n, numbers)  # fmt: skip


@kernel()
def _layer_update(table, net, state, settings, l, numbers, thread, threads):
    """Update this thread's share of layer l."""
    n_units, n_prev = net.dims[l], net.dims[l - 1]
    L = lanes(state.parameters)
    r0, r1, k0, k1 = _share_of_layer(L, n_units, n_prev, thread, threads)
    begin = net.weights[l - 1] + r0 * n_prev + k0
    if k1 - k0 == n_prev:
        _update_run(table, settings, state, begin, (r1 - r0) * n_prev, numbers)
    else:
        for row in range(r1 - r0):
            _update_run(table, settings, state, begin + row * n_prev, k1 - k0, numbers)
    r0, r1 = _span(n_units, thread, threads)
    _update_run(table, settings, state, net.biases[l - 1] + r0, r1 - r0, shifted(numbers, 16))


@kernel()
def _unit_norms(table, net, state, work, penalty, gradient, thread, threads):
    """Write each unit's squared norm to `partial`: of its gradient, or of its weights.

    A unit's sum is never split, so that the number of threads changes no bit of the total.
    """
    parameters, place = state.parameters, ZERO
    vector = state.gradient if gradient else parameters
    for l in range(1, net.depth + 1):
        n_units, n_prev = net.dims[l], net.dims[l - 1]
        r0, r1 = _span(n_units, thread, threads)
        for row in range(r0, r1):
            begin = net.weights[l - 1] + row * n_prev
            at = shifted(parameters, begin)
            square = units.squared_norm(table, at, shifted(vector, begin), n_prev, penalty)
            if gradient:
                bias = float(vector[net.biases[l - 1] + row])
                square += bias * bias
            work.partial[place + row] = square
        place += n_units


@kernel()
def _total(net, partial):
    """Add up what `_unit_norms` wrote."""
    total, place = 0.0, 0
    for l in range(1, net.depth + 1):
        for i in range(place, place + net.dims[l]):
            total += partial[i]
        place += net.dims[l]
    return total


@kernel()
def _write_outputs(table, net, work, results, begin, pitch, c0, stop):
    """Apply the output activation and write columns c0..stop as rows of the outputs."""
    n_layers, n_out, n = net.depth, net.dims[net.depth], stop - c0
    buffer = work.buffer
    z = work.a[n_layers] + c0
    code = net.activations[n_layers - 1]
    if code == SOFTMAX:
        units.softmax(table, shifted(buffer, z), pitch, n_out, n)
    else:
        for unit in range(n_out):
            row = shifted(buffer, z + unit * pitch)
            units.activate(table, code, row, row, n)
    for j in range(n):
        for unit in range(n_out):
            results.outputs[(begin + c0 + j) * n_out + unit] = buffer[z + unit * pitch + j]


@kernel()
def _batch_weight(data, batches, begin, m):
    """Return what the batch's losses are divided by."""
    if batches.total_weight != 0.0:
        return batches.total_weight
    if not given(data.sample_weight):
        return float(m)
    total = 0.0
    for j in range(m):
        total += data.sample_weight[batches.order[begin + j]]
    return total if total > 0.0 else 1.0


@kernel()
def _apply_step(table, net, settings, state, work, rate, penalty, step_number, phase, thread,
                threads):  # fmt: skip
    """Update this thread's parameters; return the barrier's phase, or -1 if a thread gave up."""
    n_layers = net.depth
    scale = 1.0
    if settings.clip > 0.0:
        phase += 1
        if not _barrier(work.sync, threads, phase):
            return -1
        _unit_norms(table, net, state, work, penalty, YES, thread, threads)
        phase += 1
        if not _barrier(work.sync, threads, phase):
            return -1
        total = _total(net, work.partial)
        scale = min(1.0, settings.clip / math.sqrt(total)) if total > 0.0 else 1.0
    numbers = shifted(work.numbers, 32 * thread)
    _step_numbers(settings, numbers, step_number, rate, penalty, scale)
    if threads == 1 and penalty == 0.0 and settings.decay == 0.0:
        _update_run(table, settings, state, 0, state.size, numbers)
    else:
        for l in range(1, n_layers + 1):
            _layer_update(table, net, state, settings, l, numbers, thread, threads)
    return phase


def run(thread, threads, table, block, example):
    """Run all batches that a block of numbers describes; see the module's docstring.

    `table` holds the units' addresses. `example` points to a number of the engine's type.
    """
    net, data, batches = _net(block, example), _data(block, example), _batches(block, example)
    settings, state = _settings(block, example), _state(block, example)
    work, results = _work(block, example), _results(block, example)
    n_layers, buffer = net.depth, work.buffer
    pack = shifted(work.pack, thread * PACK_SIZE)
    L = lanes(buffer)
    labelled = given(data.classes) or given(data.targets)
    learns = batches.mode != FORWARD
    n_random = 0
    if given(settings.dropout):
        for l in range(1, n_layers):
            n_random += net.dims[l]
    random_at, phase = ZERO, 0
    steps = state.steps[0]
    for batch in range(batches.count):
        begin = batches.starts[batch]
        m = batches.starts[batch + 1] - begin
        pitch = row_pitch(buffer, m)
        v0, v1 = _span((m + L - 1) // L, thread, threads)
        c0, c1 = v0 * L, v1 * L
        stop = min(c1, m)
        total_weight = _batch_weight(data, batches, begin, m)
        if stop > c0:
            _forward(table, net, data, state, settings, work, pack, begin, m, pitch, c0, c1,
                     threads, random_at, batches)  # fmt: skip
            if labelled:
                _labels(net, data, work, batches.order, begin, pitch, c0, stop)
                _loss_and_gradient(table, net, data, work, pitch, c0, stop, total_weight)
            if learns:
                _backward(table, net, state, settings, work, pack, m, pitch, c0, c1, threads,
                          random_at, batches)  # fmt: skip
            elif given(results.outputs):
                _write_outputs(table, net, work, results, begin, pitch, c0, stop)
        penalised = batches.mode == TRAIN and settings.l2 > 0.0
        if penalised:
            _unit_norms(table, net, state, work, 0.0, NO, thread, threads)
        random_at += n_random * m
        phase += 1
        if not _barrier(work.sync, threads, phase):
            return
        if thread == 0 and labelled:
            total = 0.0
            for j in range(m):
                total += buffer[work.losses + j]
            results.losses[batch] = total / total_weight
        penalty = settings.l2 / total_weight
        if thread == 0 and penalised:
            results.penalties[batch] = 0.5 * penalty * _total(net, work.partial)
        if learns:
            for l in range(1, n_layers + 1):
                _layer_gradient(table, net, data, state, work, pack, l, m, pitch, thread, threads,
                                batches.mode == GRADIENT)  # fmt: skip
            if batches.mode == TRAIN:
                phase = _apply_step(table, net, settings, state, work, batches.rates[batch],
                                    penalty, steps + batch + 1, phase, thread, threads)  # fmt: skip
                if phase < 0:
                    return
        phase += 1
        if not _barrier(work.sync, threads, phase):
            return
    if thread == 0 and batches.mode == TRAIN:
        state.steps[0] = steps + batches.count
