"""The compiled training loop: many mini-batches, forward, backward and update, in one call.

It draws nothing and decides nothing: the order of the examples, the learning rates and the random
numbers of dropout come in, and all state is in arrays, so that where a call ends changes no bit.

Several threads may run it together, each with its own `thread` number. A step then has three
parts. Forward and backward are split by the examples of the batch, and need nothing of another
thread. After a barrier the weight gradients and the update are split by the parameters, and after
another the next step begins. No sum is split, so that the number of threads changes no bit.
"""

import sys
from typing import Any, NamedTuple

from numba.core import types

from backlit.training.engine.functions import (
    BINARY_CROSS_ENTROPY,
    CROSS_ENTROPY,
    GELU,
    SILU,
    SOFTMAX,
    activate,
    binary_losses,
    class_losses,
    differentiate,
    other_losses,
    softmax,
    softmax_losses,
)
from backlit.training.engine.products import (
    PACK_SIZE,
    dot_product,
    gather_columns,
    product,
    weight_gradient,
)
from backlit.training.engine.simd import (
    NO,
    ONE,
    YES,
    ZERO,
    atomic_add,
    atomic_load,
    kernel,
    lanes,
    like,
    read_only,
)
from backlit.training.engine.updates import clip_scale, squared_norm, update

#: what a call does with its batches
TRAIN, GRADIENT, FORWARD = range(3)

#: places in `Work.sync`
ARRIVED, ABORTED = 0, 8

#: a first layer is computed straight from the rows of X if they are this long ...
DIRECT_INPUTS = 512
#: ... and its units no more than this
DIRECT_UNITS = 48


class Net(NamedTuple):
    """The network: ``n_0..n_L``, each layer's activation and place in the flat vector, the loss."""

    dims: Any
    activations: Any
    weights: Any
    biases: Any
    loss: Any
    loss_parameter: Any


class Data(NamedTuple):
    """The examples: X flat, in rows; classes or targets, and weights, each empty if there is none."""

    X: Any
    classes: Any
    targets: Any
    sample_weight: Any


class Batches(NamedTuple):
    """What to go through: batch i is ``order[starts[i] : starts[i + 1]]``.

    `rates` holds the learning rate of each step, `random` 16 random bits for each unit of each
    example that dropout may drop. `total_weight` is what losses are divided by; 0 means the batch's
    own number (or weight) of examples.
    """

    mode: Any
    order: Any
    starts: Any
    rates: Any
    random: Any
    total_weight: Any


class Settings(NamedTuple):
    """The optimizer and the penalty, as numbers."""

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
    """Flat vectors of one layout, and the number of steps taken."""

    parameters: Any
    gradient: Any
    first: Any
    second: Any
    steps: Any


class Work(NamedTuple):
    """Buffers, planned once: where each layer's A, dZ and key begin in `buffer`, and scratch."""

    buffer: Any
    a: Any
    dz: Any
    key: Any
    y: Any
    losses: Any
    weights: Any
    places: Any
    rows: Any
    pack: Any
    partial: Any
    sync: Any


class Results(NamedTuple):
    """A batch's mean loss and penalty; in FORWARD mode the outputs, in rows as the order has them."""

    losses: Any
    penalties: Any
    outputs: Any


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
def row_pitch(array, m):
    """Return the distance between rows of m examples: whole vectors, and no power of two.

    Rows a power of two apart fall into the same few places of the cache.
    """
    L = lanes(array)
    width = (m + L - 1) // L * L
    return width + L if width % (16 * L) == 0 else width


@kernel()
def _drop(a, random, threshold, scale):
    """Multiply by the dropout mask: dropped where the random number is below the threshold."""
    for i in range(a.size):
        a[i] = like(a, 0.0) if random[i] < threshold else a[i] * scale


@kernel()
def _drop_rows(buffer, at, pitch, n_units, c0, c1, m, random, place, share):
    threshold = int(round(share * 65536.0))
    scale = like(buffer, 65536.0 / (65536.0 - threshold))
    stop = min(c1, m)
    if stop <= c0:
        return
    for unit in range(n_units):
        row = at + unit * pitch
        drawn = place + unit * m
        _drop(buffer[row + c0 : row + stop], random[drawn + c0 : drawn + stop], threshold, scale)


@kernel()
def _activate_rows(code, buffer, a, key, pitch, n_units, c0, c1, whole, separate):
    if whole:
        _activate_one(code, buffer, a, key, n_units * pitch, separate)
    else:
        for unit in range(n_units):
            at = unit * pitch + c0
            _activate_one(code, buffer, a + at, key + at, c1 - c0, separate)


@kernel()
def _activate_one(code, buffer, a, key, n, separate):
    values, kept = buffer[a : a + n], buffer[key : key + n]
    activate(code, values, kept)
    if separate and code not in (GELU, SILU):
        for i in range(n):
            kept[i] = values[i]


@kernel()
def _differentiate_rows(code, buffer, dz, key, pitch, n_units, c0, c1, whole):
    if whole:
        n = n_units * pitch
        differentiate(code, buffer[dz : dz + n], buffer[key : key + n])
    else:
        for unit in range(n_units):
            at = unit * pitch + c0
            differentiate(
                code,
                buffer[dz + at : dz + at + c1 - c0],
                buffer[key + at : key + at + c1 - c0],
            )


@kernel()
def _labels(net, data, work, order, begin, pitch, c0, stop):
    """Gather the labels and weights of columns c0..stop into the work buffer."""
    n_out = net.dims[-1]
    buffer = work.buffer
    if data.classes.size and net.loss != CROSS_ENTROPY:
        for j in range(c0, stop):
            buffer[work.y + j] = data.classes[order[begin + j]]
    elif data.targets.size:
        for j in range(c0, stop):
            row = order[begin + j] * n_out
            for unit in range(n_out):
                buffer[work.y + unit * pitch + j] = data.targets[row + unit]
    if data.sample_weight.size:
        for j in range(c0, stop):
            buffer[work.weights + j] = data.sample_weight[order[begin + j]]


@kernel()
def _loss_and_gradient(net, data, work, order, begin, pitch, c0, stop, total_weight):
    """Compute losses and dZ_L of columns c0..stop; dZ carries ``w_i / sum w`` from here on."""
    n_layers = net.activations.size
    n_out = net.dims[-1]
    n = stop - c0
    buffer = work.buffer
    z, dz = work.a[n_layers] + c0, work.dz[n_layers] + c0
    losses = buffer[work.losses + c0 : work.losses + stop]
    if net.loss == CROSS_ENTROPY:
        if data.classes.size:
            classes = work.rows[: work.rows.size]
            own = classes[c0:stop]
            for j in range(n):
                own[j] = data.classes[order[begin + c0 + j]]
            class_losses(buffer, z, dz, pitch, n_out, n, own, losses)
        else:
            softmax_losses(buffer, z, dz, work.y + c0, pitch, n_out, n, losses)
    else:
        for j in range(n):
            losses[j] = 0
        for unit in range(n_out):
            at = unit * pitch
            logits, labels = (
                buffer[z + at : z + at + n],
                buffer[work.y + at + c0 : work.y + at + stop],
            )
            gradient = buffer[dz + at : dz + at + n]
            if net.loss == BINARY_CROSS_ENTROPY:
                binary_losses(logits, labels, gradient, losses)
            else:
                parameter = like(buffer, net.loss_parameter)
                other_losses(net.loss, logits, labels, gradient, losses, parameter)
    weighted = data.sample_weight.size > 0
    share = like(buffer, 1.0 / total_weight)
    weights = buffer[work.weights + c0 : work.weights + stop]
    if weighted:
        for j in range(n):
            losses[j] *= weights[j]
    for unit in range(n_out):
        row = buffer[dz + unit * pitch : dz + unit * pitch + n]
        for j in range(n):
            row[j] *= share
        if weighted:
            for j in range(n):
                row[j] *= weights[j]


@kernel()
def _forward(net, data, state, settings, work, pack, begin, m, pitch, c0, c1, threads, random_at,
             batches):  # fmt: skip
    """Run columns c0..c1 of a batch forward; the logits end in the last layer's A."""
    buffer = work.buffer
    reading = read_only(buffer)
    parameters = read_only(state.parameters)
    n_layers = net.activations.size
    n0, n1 = net.dims[0], net.dims[1]
    stop = min(c1, m)
    for j in range(c0, stop):
        work.places[j] = batches.order[begin + j] * n0
    places = read_only(work.places)
    if n0 >= DIRECT_INPUTS and n1 <= DIRECT_UNITS:
        if stop > c0:
            dot_product(buffer, work.a[1] + c0, pitch, ONE, parameters, net.weights[0], n0, data.X,
                        places, c0, n1, stop - c0, n0, ONE, parameters, net.biases[0])  # fmt: skip
    else:
        if stop > c0:
            gather_columns(buffer, work.a[0] + c0, pitch, data.X, places, c0, ZERO, stop - c0, n0)
        product(buffer, work.a[1] + c0, pitch, parameters, net.weights[0], n0, ONE, reading,
                work.a[0] + c0, pitch, n1, c1 - c0, n0, YES, parameters, net.biases[0],
                pack)  # fmt: skip
    for l in range(1, n_layers):
        n_units = net.dims[l]
        drops = settings.dropout.size > 0 and settings.dropout[l - 1] > 0
        drops = drops and batches.mode != FORWARD
        _activate_rows(net.activations[l - 1], buffer, work.a[l], work.key[l], pitch, n_units, c0,
                       c1, threads == 1, work.key[l] != work.a[l])  # fmt: skip
        if drops:
            _drop_rows(buffer, work.a[l], pitch, n_units, c0, c1, m, batches.random, random_at,
                       settings.dropout[l - 1])  # fmt: skip
        if settings.dropout.size:
            random_at += n_units * m
        product(buffer, work.a[l + 1] + c0, pitch, parameters, net.weights[l], n_units, ONE, reading,
                work.a[l] + c0, pitch, net.dims[l + 1], c1 - c0, n_units, YES, parameters,
                net.biases[l], pack)  # fmt: skip


@kernel()
def _backward(net, state, settings, work, pack, m, pitch, c0, c1, threads, random_at, batches):
    """Take dZ of columns c0..c1 back from the last layer to the first."""
    buffer = work.buffer
    reading = read_only(buffer)
    parameters = read_only(state.parameters)
    n_layers = net.activations.size
    if settings.dropout.size:
        for l in range(1, n_layers):
            random_at += net.dims[l] * m
    for l in range(n_layers, 1, -1):
        n_units, n_prev = net.dims[l], net.dims[l - 1]
        # forward was Z = W @ A_prev + b, so now dA_prev = W.T @ dZ
        product(buffer, work.dz[l - 1] + c0, pitch, parameters, net.weights[l - 1], ONE, n_prev,
                reading, work.dz[l] + c0, pitch, n_prev, c1 - c0, n_units, NO, parameters, ZERO,
                pack)  # fmt: skip
        if settings.dropout.size:
            random_at -= n_prev * m
            if settings.dropout[l - 2] > 0:
                _drop_rows(buffer, work.dz[l - 1], pitch, n_prev, c0, c1, m, batches.random,
                           random_at, settings.dropout[l - 2])  # fmt: skip
        _differentiate_rows(net.activations[l - 2], buffer, work.dz[l - 1], work.key[l - 1], pitch,
                            n_prev, c0, c1, threads == 1)  # fmt: skip


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
def _sum(row):
    total = like(row, 0.0)
    for i in range(row.size):
        total += row[i]
    return total


@kernel()
def _layer_gradient(net, data, state, work, pack, l, m, pitch, thread, threads, add):
    """Compute this thread's share of layer l's dW and db."""
    buffer = work.buffer
    n_units, n_prev = net.dims[l], net.dims[l - 1]
    r0, r1, k0, k1 = _share_of_layer(lanes(buffer), n_units, n_prev, thread, threads)
    if r1 > r0 and k1 > k0:
        target = net.weights[l - 1] + r0 * n_prev + k0
        dz = work.dz[l] + r0 * pitch
        if l == 1:
            weight_gradient(state.gradient, target, n_prev, read_only(buffer), dz, pitch, data.X,
                            k0, read_only(work.places), ZERO, YES, r1 - r0, k1 - k0, m, add,
                            pack)  # fmt: skip
        else:
            base = thread * (work.rows.size // threads)
            rows = work.rows[base : base + k1 - k0]
            for k in range(k1 - k0):
                rows[k] = work.a[l - 1] + (k0 + k) * pitch
            weight_gradient(state.gradient, target, n_prev, read_only(buffer), dz, pitch,
                            read_only(buffer), ZERO, read_only(rows), ZERO, NO, r1 - r0, k1 - k0, m,
                            add, pack)  # fmt: skip
    r0, r1 = _span(n_units, thread, threads)
    for unit in range(r0, r1):
        row = work.dz[l] + unit * pitch
        total = _sum(buffer[row : row + m])
        place = net.biases[l - 1] + unit
        state.gradient[place] = state.gradient[place] + total if add else total


@kernel()
def _layer_update(net, state, settings, step_number, l, rate, penalty, scale, thread, threads):
    """Update this thread's share of layer l; return the sum of the squared weights before it."""
    n_units, n_prev = net.dims[l], net.dims[l - 1]
    r0, r1, k0, k1 = _share_of_layer(lanes(state.parameters), n_units, n_prev, thread, threads)
    squares = 0.0
    if k1 - k0 == n_prev:
        begin = net.weights[l - 1] + r0 * n_prev
        squares += update(
            settings, state, step_number, begin, (r1 - r0) * n_prev, rate, penalty, scale, YES
        )
    else:
        for row in range(r0, r1):
            begin = net.weights[l - 1] + row * n_prev + k0
            squares += update(
                settings, state, step_number, begin, k1 - k0, rate, penalty, scale, YES
            )
    r0, r1 = _span(n_units, thread, threads)
    update(settings, state, step_number, net.biases[l - 1] + r0, r1 - r0, rate, 0.0, scale, NO)
    return squares


@kernel()
def _layer_norm(net, state, l, penalty, thread, threads):
    """Return this thread's share of the squared norm of layer l's gradient."""
    n_units, n_prev = net.dims[l], net.dims[l - 1]
    r0, r1, k0, k1 = _share_of_layer(lanes(state.parameters), n_units, n_prev, thread, threads)
    total = 0.0
    for row in range(r0, r1):
        begin = net.weights[l - 1] + row * n_prev + k0
        total += squared_norm(state, begin, k1 - k0, penalty)
    r0, r1 = _span(n_units, thread, threads)
    return total + squared_norm(state, net.biases[l - 1] + r0, r1 - r0, 0.0)


@kernel()
def _write_outputs(net, work, results, begin, pitch, c0, stop):
    """Apply the output activation and write columns c0..stop as rows of the outputs."""
    n_layers = net.activations.size
    n_out = net.dims[-1]
    buffer = work.buffer
    z = work.a[n_layers] + c0
    code = net.activations[n_layers - 1]
    n = stop - c0
    if code == SOFTMAX:
        softmax(buffer, z, pitch, n_out, n)
    else:
        for unit in range(n_out):
            row = buffer[z + unit * pitch : z + unit * pitch + n]
            activate(code, row, row)
    for j in range(n):
        for unit in range(n_out):
            results.outputs[(begin + c0 + j) * n_out + unit] = buffer[z + unit * pitch + j]


def run(thread, threads, net, data, batches, settings, state, work, results):
    """Run all batches; see the module's docstring."""
    n_layers = net.activations.size
    pack = work.pack[thread * PACK_SIZE : (thread + 1) * PACK_SIZE]
    labelled = data.classes.size > 0 or data.targets.size > 0
    n_random = 0
    if settings.dropout.size:
        for l in range(1, n_layers):
            n_random += net.dims[l]
    random_at, phase = ZERO, 0
    steps = state.steps[0]
    for batch in range(batches.starts.size - 1):
        begin = batches.starts[batch]
        m = batches.starts[batch + 1] - begin
        pitch = row_pitch(work.buffer, m)
        L = lanes(work.buffer)
        v0, v1 = _span((m + L - 1) // L, thread, threads)
        c0, c1 = v0 * L, v1 * L
        if threads == 1:
            c1 = (m + L - 1) // L * L
        stop = min(c1, m)
        total_weight = batches.total_weight
        if total_weight == 0.0:
            total_weight = float(m)
            if data.sample_weight.size:
                total_weight = 0.0
                for j in range(m):
                    total_weight += data.sample_weight[batches.order[begin + j]]
                if total_weight <= 0.0:
                    total_weight = 1.0
        if c1 > c0:
            _forward(net, data, state, settings, work, pack, begin, m, pitch, c0, c1, threads,
                     random_at, batches)  # fmt: skip
            if labelled and stop > c0:
                _labels(net, data, work, batches.order, begin, pitch, c0, stop)
                _loss_and_gradient(net, data, work, batches.order, begin, pitch, c0, stop,
                                   total_weight)  # fmt: skip
            if batches.mode == FORWARD:
                if results.outputs.size and stop > c0:
                    _write_outputs(net, work, results, begin, pitch, c0, stop)
            else:
                _backward(net, state, settings, work, pack, m, pitch, c0, c1, threads, random_at,
                          batches)  # fmt: skip
        random_at += n_random * m
        phase += 1
        if not _barrier(work.sync, threads, phase):
            return
        if thread == 0 and labelled:
            total = 0.0
            for j in range(m):
                total += work.buffer[work.losses + j]
            results.losses[batch] = total / total_weight
        if batches.mode != FORWARD:
            penalty = settings.l2 / total_weight
            clips = batches.mode == TRAIN and settings.clip > 0.0
            rate = batches.rates[batch] if batches.mode == TRAIN else 0.0
            squares, norm = 0.0, 0.0
            for l in range(1, n_layers + 1):
                _layer_gradient(net, data, state, work, pack, l, m, pitch, thread, threads,
                                batches.mode == GRADIENT)  # fmt: skip
                if clips:
                    norm += _layer_norm(net, state, l, penalty, thread, threads)
            if batches.mode == TRAIN:
                scale = 1.0
                work.partial[8 * thread] = norm
                if clips:
                    phase += 1
                    if not _barrier(work.sync, threads, phase):
                        return
                if clips:
                    scale = clip_scale(work.partial, threads, settings.clip)
                for l in range(1, n_layers + 1):
                    squares += _layer_update(net, state, settings, steps + batch + 1, l, rate, penalty,
                                             scale, thread, threads)  # fmt: skip
                work.partial[8 * thread + 1] = squares
        phase += 1
        if not _barrier(work.sync, threads, phase):
            return
        if thread == 0 and batches.mode == TRAIN:
            squares = 0.0
            for other in range(threads):
                squares += work.partial[8 * other + 1]
            results.penalties[batch] = 0.5 * settings.l2 / total_weight * squares
    if thread == 0 and batches.mode == TRAIN:
        state.steps[0] = steps + batches.starts.size - 1
