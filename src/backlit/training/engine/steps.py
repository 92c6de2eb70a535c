"""The compiled training loop: many mini-batches, forward, backward and update, in one call.

It draws nothing and decides nothing: the order of the examples, the learning rates and the random
numbers of dropout come in, and all state is in arrays, so that where a call ends changes no bit.

Several threads may run it together, each with its own `thread` number. A step then has three
parts. Forward and backward are split by the examples of the batch, and need nothing of another
thread. After a barrier the weight gradients and the update are split by the parameters, and after
another the next step begins. Each sum runs over its terms in one order, so that the number of
threads changes no bit.
"""

import math
import sys

from numba.core import types

from backlit.training.engine import calls
from backlit.training.engine.codes import (
    ADAM,
    BETA1,
    BETA2,
    BINARY_CROSS_ENTROPY,
    CROSS_ENTROPY,
    DOT_ROWS,
    EPSILON,
    FROM_ACTIVATION,
    FUSED_WEIGHTS,
    KEEP,
    PACK_SIZE,
    PENALTY,
    RELU,
    REST1,
    REST2,
    SCALE,
    SOFTMAX,
    STEP,
    UNITS_TO_SPLIT,
)
from backlit.training.engine.functions import clipped, flushed, log_range
from backlit.training.engine.products import dot_part
from backlit.training.engine.reading import is_set, readers
from backlit.training.engine.records import (
    ABORTED,
    ARRIVED,
    FIELDS,
    FORWARD,
    GRADIENT,
    TRAIN,
    is_direct,
)
from backlit.training.engine.simd import (
    NO,
    YES,
    ZERO,
    atomic_add,
    atomic_load,
    flush_denormals,
    lanes,
    like,
    restore_mode,
    shifted,
    to_vector,
)
from backlit.training.machine_code.kernels import kernel

_net, _data, _batches, _settings, _state, _work, _results = readers(FIELDS)


_yield = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


@kernel()
def barrier(sync, threads, phase):
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
def _drop_units(buffer, at, pitch, n_units, n, random, drawn, m, share):
    """Multiply by the dropout mask: dropped where the random number is below the threshold."""
    threshold = int(round(share * 65536.0))  # noqa: RUF046 (Numba's round returns a float)
    scale = like(buffer, 65536.0 / (65536.0 - threshold))
    for unit in range(n_units):
        row = at + unit * pitch
        for j in range(n):
            dropped = random[drawn + unit * m + j] < threshold
            buffer[row + j] = like(buffer, 0.0) if dropped else buffer[row + j] * scale


@kernel()
def _activate(table, code, a, slope_source, n):
    if code <= RELU:
        calls.activate(table, code, a, slope_source, n)
    else:
        calls.activate_rare(table, code, a, slope_source, n)


@kernel()
def _activate_layer(table, code, buffer, a, slope_source, n):
    """Apply an activation to a layer's `n` numbers."""
    _activate(table, code, shifted(buffer, a), shifted(buffer, slope_source), n)
    if slope_source != a and code in FROM_ACTIVATION:
        for i in range(n):
            buffer[slope_source + i] = buffer[a + i]


@kernel()
def _labels(block, example, buffer, order, begin, c0, n, pitch):
    """Gather the labels and weights of `n` examples into the slab."""
    net = _net(block, example)
    data = _data(block, example)
    work = _work(block, example)
    n_out = net.dims[net.depth]
    if is_set(data.classes):
        if net.loss == CROSS_ENTROPY:
            for j in range(n):
                work.rows[c0 + j] = data.classes[order[begin + j]]
        else:
            for j in range(n):
                buffer[work.y + j] = data.classes[order[begin + j]]
    else:
        for j in range(n):
            row = order[begin + j] * n_out
            for unit in range(n_out):
                buffer[work.y + unit * pitch + j] = data.targets[row + unit]
    if is_set(data.sample_weight):
        for j in range(n):
            buffer[work.weights + j] = data.sample_weight[order[begin + j]]


@kernel()
def _loss_and_gradient(table, block, example, buffer, c0, n, pitch, total_weight):
    """Compute losses and dZ_L of `n` examples; dZ carries ``w_i / sum w`` from here on."""
    net = _net(block, example)
    data = _data(block, example)
    work = _work(block, example)
    n_layers, n_out = net.depth, net.dims[net.depth]
    z, dz = work.a[n_layers], work.dz[n_layers]
    losses = shifted(buffer, work.losses)
    if net.loss == CROSS_ENTROPY:
        if is_set(data.classes):
            classes = shifted(work.rows, c0)
            calls.losses_of_classes(table, shifted(buffer, z), shifted(buffer, dz), pitch, n_out, n,
                                    classes, losses)  # fmt: skip
            lowest, highest = log_range(net.loss_parameter)
            low, high = like(buffer, lowest), like(buffer, highest)
            for j in range(n):
                losses[j] = clipped(losses[j], low, high)
        else:
            calls.losses_of_shares(table, shifted(buffer, z), shifted(buffer, dz),
                                   shifted(buffer, work.y), pitch, n_out, n, losses)  # fmt: skip
    else:
        for j in range(n):
            losses[j] = 0
        for unit in range(n_out):
            at = unit * pitch
            logits, labels = shifted(buffer, z + at), shifted(buffer, work.y + at)
            gradients = shifted(buffer, dz + at)
            if net.loss == BINARY_CROSS_ENTROPY:
                calls.losses_of_logits(table, logits, labels, gradients, losses, n,
                                       net.loss_parameter)  # fmt: skip
            else:
                calls.losses_of_residuals(table, net.loss, logits, labels, gradients, losses, n,
                                          net.loss_parameter)  # fmt: skip
    weighted = is_set(data.sample_weight)
    share = like(buffer, 1.0 / total_weight)
    weights = work.weights
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


_is_direct = kernel()(is_direct)


@kernel()
def _forward(table, block, example, buffer, pack, c0, n, pitch, random_at, m):
    """Run `n` examples of a batch forward; the logits end in the last layer's A."""
    net = _net(block, example)
    data = _data(block, example)
    state = _state(block, example)
    settings = _settings(block, example)
    work = _work(block, example)
    batches = _batches(block, example)
    parameters = state.parameters
    n_layers = net.depth
    n0, n1 = net.dims[0], net.dims[1]
    L = lanes(buffer)
    wide = (n + L - 1) // L * L
    places, X = work.places, data.X
    if is_set(data.row_starts):
        calls.sparse_product(table, buffer, work.a[1], pitch, parameters, net.weights[0], n0, X,
                             data.row_starts, data.columns, places, c0, n1, n, parameters,
                             net.biases[0])  # fmt: skip
    elif _is_direct(n0, n1):
        part = dot_part(buffer, n1)
        calls.dot_product(table, buffer, work.a[1], pitch, 1, parameters, net.weights[0], n0, X,
                          places, c0, n1, n, n0, part, part, 1, parameters, net.biases[0],
                          pack)  # fmt: skip
    else:
        calls.gather_columns(table, buffer, work.a[0], pitch, X, places, c0, 0, n, n0)
        calls.product(table, table, buffer, work.a[1], pitch, parameters, net.weights[0], n0, 1,
                      buffer, work.a[0], pitch, n1, wide, n0, 1, parameters, net.biases[0],
                      pack)  # fmt: skip
    for l in range(1, n_layers):
        n_units = net.dims[l]
        _activate_layer(table, net.activations[l - 1], buffer, work.a[l], work.slope_source[l],
                        n_units * pitch)  # fmt: skip
        if is_set(settings.dropout):
            if settings.dropout[l - 1] > 0 and batches.mode == TRAIN:
                _drop_units(buffer, work.a[l], pitch, n_units, n, batches.random, random_at + c0,
                            m, settings.dropout[l - 1])  # fmt: skip
            random_at += n_units * m
        calls.product(table, table, buffer, work.a[l + 1], pitch, parameters, net.weights[l],
                      n_units, 1, buffer, work.a[l], pitch, net.dims[l + 1], wide, n_units, 1,
                      parameters, net.biases[l], pack)  # fmt: skip


@kernel()
def _backward(table, block, example, buffer, pack, c0, n, pitch, random_at, m):
    """Take dZ of `n` examples back from the last layer to the first."""
    net = _net(block, example)
    state = _state(block, example)
    settings = _settings(block, example)
    work = _work(block, example)
    batches = _batches(block, example)
    parameters = state.parameters
    n_layers = net.depth
    L = lanes(buffer)
    wide = (n + L - 1) // L * L
    if is_set(settings.dropout):
        for l in range(1, n_layers):
            random_at += net.dims[l] * m
    for l in range(n_layers, 1, -1):
        n_units, n_prev = net.dims[l], net.dims[l - 1]
        dz = work.dz[l - 1]
        # forward was Z = W @ A_prev + b, so now dA_prev = W.T @ dZ
        calls.product(table, table, buffer, dz, pitch, parameters, net.weights[l - 1], 1, n_prev,
                      buffer, work.dz[l], pitch, n_prev, wide, n_units, 0, parameters, 0,
                      pack)  # fmt: skip
        if is_set(settings.dropout):
            random_at -= n_prev * m
            if settings.dropout[l - 2] > 0 and batches.mode == TRAIN:
                _drop_units(buffer, dz, pitch, n_prev, n, batches.random, random_at + c0, m,
                            settings.dropout[l - 2])  # fmt: skip
        code, da, slope_source = (
            net.activations[l - 2], shifted(buffer, dz), shifted(buffer, work.slope_source[l - 1])
        )  # fmt: skip
        if code <= RELU:
            calls.differentiate(table, code, da, slope_source, n_prev * pitch)
        else:
            calls.differentiate_rare(table, code, da, slope_source, n_prev * pitch)


@kernel()
def _share_of_layer(L, n_units, n_prev, thread, threads):
    """Return the rows and columns of a layer's weights that belong to a thread.

    Rows, which lie side by side, unless there are so few that copying A_prev would weigh.
    """
    if n_units < UNITS_TO_SPLIT * threads and n_prev >= 4 * L * threads:
        vectors = (n_prev + L - 1) // L
        v0, v1 = _span(vectors, thread, threads)
        return 0, n_units, v0 * L, min(v1 * L, n_prev)
    r0, r1 = _span(n_units, thread, threads)
    return r0, r1, 0, n_prev


@kernel()
def _is_fused(block, example, l):
    """Whether a layer's weights are updated piece by piece, as soon as their gradient is known.

    That pays where gradient, moments and weights do not stay in the cache. Clipping has to know the
    whole gradient first.
    """
    net = _net(block, example)
    settings = _settings(block, example)
    data = _data(block, example)
    batches = _batches(block, example)
    n_units = net.dims[l]
    dense = n_units > DOT_ROWS if l > 1 else not is_set(data.row_starts)
    large = n_units * net.dims[l - 1] >= FUSED_WEIGHTS
    return dense and large and batches.mode == TRAIN and settings.clip == 0.0


@kernel()
def _layer_gradient(
    table, block, example, pack, l, m, in_slab, pitch, thread, threads, add, numbers
):
    """Compute this thread's share of layer l's dW and db, slab after slab; update dW's if fused."""
    net = _net(block, example)
    data = _data(block, example)
    state = _state(block, example)
    settings = _settings(block, example)
    work = _work(block, example)
    gradient = state.gradient
    n_units, n_prev = net.dims[l], net.dims[l - 1]
    L = lanes(gradient)
    r0, r1 = _span(n_units, thread, threads)
    rows = shifted(work.rows, thread * work.share)
    rows[0] = work.ones  # db = dZ @ ones
    start = 2 if add else 0
    calls.dot_product(table, gradient, net.biases[l - 1] + r0, 1, 1, work.buffer,
                      work.dz[l] + r0 * pitch, pitch, work.buffer, rows, 0, r1 - r0, 1, m, in_slab,
                      work.slab, start, gradient, 0, pack)  # fmt: skip
    r0, r1, k0, k1 = _share_of_layer(L, n_units, n_prev, thread, threads)
    if r1 == r0 or k1 == k0:
        return
    target = net.weights[l - 1] + r0 * n_prev + k0
    dz = work.dz[l] + r0 * pitch
    if l > 1:
        for k in range((k1 - k0 + L - 1) // L * L):
            rows[k] = work.a[l - 1] + min(k0 + k, n_prev - 1) * pitch
        if n_units <= DOT_ROWS:  # of the layer, not of the share: see the module's text
            calls.dot_product(table, gradient, target, n_prev, 1, work.buffer, dz, pitch,
                              work.buffer, rows, 0, r1 - r0, k1 - k0, m, in_slab, work.slab, start,
                              gradient, 0, pack)  # fmt: skip
            return
    fused = _is_fused(block, example, l)
    for first in range(0, m, in_slab):
        n = min(in_slab, m - first)
        buffer = shifted(work.buffer, first // in_slab * work.slab)
        more = add or first > 0
        optimizer = settings.optimizer if fused and first + n == m else -1
        if l > 1:
            calls.weight_gradient(table, table, gradient, target, n_prev, buffer, dz, pitch, buffer,
                                  0, rows, 0, 0, r1 - r0, k1 - k0, n, more, pack, optimizer,
                                  state.parameters, state.first, state.second,
                                  numbers)  # fmt: skip
        elif is_set(data.row_starts):
            calls.sparse_weight_gradient(table, gradient, target - k0, n_prev, buffer, dz, pitch,
                                         data.X, data.row_starts, data.columns,
                                         shifted(work.places, first), r1 - r0, k0, k1, n,
                                         more)  # fmt: skip
        else:
            # what is computed directly begins where whole vectors of X do, and ends with one
            begin, end = k1, k1
            if _is_direct(n_prev, n_units):
                begin = k0
                if n_prev % L == 0:  # else it is elsewhere in each row
                    begin = min(k0 + to_vector(data.X, work.places[first] + k0), k1)
                end = begin + (k1 - begin) // L * L
            if begin < end:
                calls.direct_gradient(table, table, gradient, target + begin - k0, n_prev, buffer,
                                      dz, pitch, data.X, begin, work.places, first, r1 - r0,
                                      end - begin, n, more, optimizer, state.parameters,
                                      state.first, state.second, numbers)  # fmt: skip
            for j0, j1 in ((k0, begin), (end, k1)):
                if j0 < j1:
                    calls.weight_gradient(table, table, gradient, target + j0 - k0, n_prev, buffer,
                                          dz, pitch, data.X, j0, work.places, first, 1, r1 - r0,
                                          j1 - j0, n, more, pack, optimizer, state.parameters,
                                          state.first, state.second, numbers)  # fmt: skip


@kernel()
def _step_numbers(block, example, numbers, step_number, rate, penalty, scale):
    """Compute in double precision what `update` reads, for weights and then for biases."""
    settings = _settings(block, example)
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
def _update_run(table, block, example, begin, n, numbers):
    settings = _settings(block, example)
    state = _state(block, example)
    calls.update(table, settings.optimizer, shifted(state.parameters, begin),
                 shifted(state.gradient, begin), shifted(state.first, begin),
                 shifted(state.second, begin), n, numbers)  # fmt: skip


@kernel()
def _layer_update(table, block, example, l, numbers, thread, threads):
    """Update this thread's share of layer l, as far as it has not been."""
    net = _net(block, example)
    state = _state(block, example)
    n_units, n_prev = net.dims[l], net.dims[l - 1]
    L = lanes(state.parameters)
    r0, r1, k0, k1 = _share_of_layer(L, n_units, n_prev, thread, threads)
    begin = net.weights[l - 1] + r0 * n_prev + k0
    if _is_fused(block, example, l):
        pass
    elif k1 - k0 == n_prev:
        _update_run(table, block, example, begin, (r1 - r0) * n_prev, numbers)
    else:
        for row in range(r1 - r0):
            _update_run(table, block, example, begin + row * n_prev, k1 - k0, numbers)
    r0, r1 = _span(n_units, thread, threads)
    _update_run(table, block, example, net.biases[l - 1] + r0, r1 - r0, shifted(numbers, 16))


@kernel()
def _unit_norms(table, block, example, penalty, gradient, thread, threads):
    """Write each unit's squared norm to `partial`: of its gradient, or of its weights.

    A unit's sum is never split, so that the number of threads changes no bit of the total.
    """
    net = _net(block, example)
    state = _state(block, example)
    work = _work(block, example)
    parameters, place = state.parameters, ZERO
    vector = state.gradient if gradient else parameters
    for l in range(1, net.depth + 1):
        n_units, n_prev = net.dims[l], net.dims[l - 1]
        r0, r1 = _span(n_units, thread, threads)
        for row in range(r0, r1):
            begin = net.weights[l - 1] + row * n_prev
            at = shifted(parameters, begin)
            square = calls.squared_norm(table, at, shifted(vector, begin), n_prev, penalty)
            if gradient:
                bias = float(vector[net.biases[l - 1] + row])
                square += bias * bias
            work.partial[place + row] = square
        place += n_units


@kernel()
def _total(block, example, partial):
    """Add up what `_unit_norms` wrote."""
    net = _net(block, example)
    total, place = 0.0, 0
    for l in range(1, net.depth + 1):
        for i in range(place, place + net.dims[l]):
            total += partial[i]
        place += net.dims[l]
    return total


@kernel()
def _write_outputs(table, block, example, buffer, begin, n, pitch):
    """Apply the output activation and write `n` examples as rows of the outputs."""
    net = _net(block, example)
    work = _work(block, example)
    results = _results(block, example)
    n_layers, n_out = net.depth, net.dims[net.depth]
    z = work.a[n_layers]
    code = net.activations[n_layers - 1]
    slopes = shifted(buffer, work.dz[n_layers])  # nobody asks for them here
    if code == SOFTMAX:
        calls.softmax(table, shifted(buffer, z), pitch, n_out, n)
    else:
        for unit in range(n_out):
            row = shifted(buffer, z + unit * pitch)
            _activate(table, code, row, slopes, n)
    for j in range(n):
        for unit in range(n_out):
            results.outputs[(begin + j) * n_out + unit] = buffer[z + unit * pitch + j]


@kernel()
def _sum_of_losses(block, example, m, in_slab):
    work = _work(block, example)
    total = 0.0
    for first in range(0, m, in_slab):
        losses = shifted(work.buffer, first // in_slab * work.slab + work.losses)
        for j in range(min(in_slab, m - first)):
            total += losses[j]
    return total


@kernel()
def _batch_weight(block, example, begin, m):
    """Return what the batch's losses are divided by."""
    data = _data(block, example)
    batches = _batches(block, example)
    if batches.total_weight != 0.0:
        return batches.total_weight
    if not is_set(data.sample_weight):
        return float(m)
    total = 0.0
    for j in range(m):
        total += data.sample_weight[batches.order[begin + j]]
    return total if total != 0.0 else 1.0


@kernel()
def _apply_step(table, block, example, rate, penalty, step_number, phase, thread, threads):
    """Update this thread's parameters; return the barrier's phase, or -1 if a thread gave up."""
    net = _net(block, example)
    settings = _settings(block, example)
    state = _state(block, example)
    work = _work(block, example)
    n_layers = net.depth
    scale = 1.0
    if settings.clip > 0.0:
        phase += 1
        if not barrier(work.sync, threads, phase):
            return -1
        _unit_norms(table, block, example, penalty, YES, thread, threads)
        phase += 1
        if not barrier(work.sync, threads, phase):
            return -1
        total = _total(block, example, work.partial)
        scale = min(1.0, settings.clip / math.sqrt(total)) if total > 0.0 else 1.0
    numbers = shifted(work.numbers, 32 * thread)
    if settings.clip > 0.0:
        _step_numbers(block, example, numbers, step_number, rate, penalty, scale)
    plain = threads == 1 and penalty == 0.0 and settings.decay == 0.0
    for l in range(1, n_layers + 1):
        plain = plain and not _is_fused(block, example, l)
    if plain:
        _update_run(table, block, example, 0, state.size, numbers)
    else:
        for l in range(1, n_layers + 1):
            _layer_update(table, block, example, l, numbers, thread, threads)
    return phase


def run(thread, threads, table, block, example):
    """Run all batches that a block of numbers describes; see the module's docstring.

    `table` holds the units' addresses. `example` points to a number of the engine's type.
    """
    mode = flush_denormals()
    _run_batches(thread, threads, table, block, example)
    restore_mode(mode)


@kernel()
def _run_batches(thread, threads, table, block, example):
    """Do what `run` says, in whatever mode the processor is; return early if a thread gave up."""
    net, data, batches = _net(block, example), _data(block, example), _batches(block, example)
    settings, state = _settings(block, example), _state(block, example)
    work, results = _work(block, example), _results(block, example)
    n_layers = net.depth
    buffer = shifted(work.buffer, thread * work.slab)
    pack = shifted(work.pack, thread * PACK_SIZE)
    L = lanes(buffer)
    labelled = is_set(data.classes) or is_set(data.targets)
    learns = batches.mode != FORWARD
    n_random = 0
    if is_set(settings.dropout):
        for l in range(1, n_layers):
            n_random += net.dims[l]
    random_at, phase = ZERO, 0
    steps = state.steps[0]
    for batch in range(batches.count):
        begin = batches.starts[batch]
        m = batches.starts[batch + 1] - begin
        in_slab = ((m + L - 1) // L + threads - 1) // threads * L
        pitch = row_pitch(buffer, in_slab)
        c0 = thread * in_slab
        n = min(in_slab, m - c0)
        total_weight = _batch_weight(block, example, begin, m)
        if n > 0:
            length = 1 if is_set(data.row_starts) else net.dims[0]
            for j in range((n + L - 1) // L * L):  # the last stands in for those beyond
                work.places[c0 + j] = batches.order[begin + c0 + min(j, n - 1)] * length
            _forward(table, block, example, buffer, pack, c0, n, pitch, random_at, m)
            if labelled:
                _labels(block, example, buffer, batches.order, begin + c0, c0, n, pitch)
                _loss_and_gradient(table, block, example, buffer, c0, n, pitch, total_weight)
            if learns:
                _backward(table, block, example, buffer, pack, c0, n, pitch, random_at, m)
            elif is_set(results.outputs):
                _write_outputs(table, block, example, buffer, begin + c0, n, pitch)
        penalised = batches.mode == TRAIN and settings.l2 > 0.0
        if penalised:
            _unit_norms(table, block, example, 0.0, NO, thread, threads)
        random_at += n_random * m
        phase += 1
        if not barrier(work.sync, threads, phase):
            return
        if thread == 0 and labelled:
            results.losses[batch] = _sum_of_losses(block, example, m, in_slab) / total_weight
        penalty = settings.l2 / total_weight
        if thread == 0 and penalised:
            results.penalties[batch] = 0.5 * penalty * _total(block, example, work.partial)
        if learns:
            numbers = shifted(work.numbers, 32 * thread)
            rate, number = 0.0, steps + batch + 1
            if batches.mode == TRAIN:
                rate = batches.rates[batch]
                _step_numbers(block, example, numbers, number, rate, penalty, 1.0)
            for l in range(1, n_layers + 1):
                _layer_gradient(table, block, example, pack, l, m, in_slab, pitch, thread, threads,
                                batches.mode == GRADIENT, numbers)  # fmt: skip
            if batches.mode == TRAIN:
                phase = _apply_step(table, block, example, rate, penalty, number, phase, thread,
                                    threads)  # fmt: skip
                if phase < 0:
                    return
        phase += 1
        if not barrier(work.sync, threads, phase):
            return
    if thread == 0 and batches.mode == TRAIN:
        state.steps[0] = steps + batches.count
