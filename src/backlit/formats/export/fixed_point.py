r"""A network's layers in whole numbers: quantised, computed bit for bit, and bounded.

Activations are 16 bits wide, weights 8 ("int8") or 16 ("q15"): on a small network the weights fill
the memory, the activations never do. A number is its whole number times a step; input i is
``middle_i + step_i q_i``, and each hidden layer has one step.

A unit's sum :math:`s = \sum_i w_i q_i + b` is exact, in 32 bits where its bound allows it and in 64
elsewhere. ``z = s M 2^-t``, rounded, is the pre-activation in 16 bits, and the activation is a
maximum, or a table with linear interpolation, of which a unit may have a share. Where z would leave
its calibrated range it is clamped and the network says so: the stated bound holds for all examples
of which it does not.

How far off it can be is derived in `backlit.formats.export.fixed_errors`.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ExportError
from backlit.formats.export.bounds import every_error
from backlit.formats.export.description import Clip, Dense, Floats, Scale
from backlit.formats.export.fixed_errors import (
    CURVATURE,
    Signal,
    activate,
    sigmoid_errors,
    softmax_errors,
)
from backlit.formats.export.job import Job, parts_of
from backlit.formats.export.ranges import every_interval, pre_activations
from backlit.formats.export.reference import Inputs, activated, every_step
from backlit.names import LEAKY_SLOPE

Ints = NDArray[np.int64]

#: the largest whole number of an activation
FULL = 32767

#: the largest whole number of a weight
_WEIGHT = {"int8": 127, "q15": 32767}

#: intervals of a table, as a power of two
TABLE_BITS = {"int8": 8, "q15": 10}

#: a pre-activation may be this many times the largest of the calibration, before it is clamped
_MARGIN = 2.0

#: where the table of exp(-d) ends; e^-16 is far below a step of the output
SOFTMAX_RANGE = 16.0

#: bits of a position in that table
POSITION_BITS = 20

#: what stands for 1 in the whole numbers that softmax adds up
SOFTMAX_FULL = 65535

#: leaky relu's slope as a fraction of 2^20
LEAK_BITS = 20
LEAK = round(LEAKY_SLOPE * 2**LEAK_BITS)

#: bits behind the point of the factors that mix z and an activation
SHARE_BITS = 20


@dataclass(frozen=True)
class Table:
    """An activation at equally spaced z, from the lowest whole number to the highest.

    Attributes
    ----------
    values : ndarray of int, shape (2 ** bits + 1,)
    bits : int
    z_step, a_step : float
        What a whole number of z and of the activation stands for.
    z_middle : float
        What z = 0 stands for.
    """

    values: Ints
    bits: int
    z_step: float
    a_step: float
    z_middle: float = 0.0


@dataclass(frozen=True)
class FixedLayer:
    """A dense layer in whole numbers.

    Attributes
    ----------
    W, b : ndarray of int, shapes (n_l, n_{l-1}) and (n_l,)
    multipliers, shifts : ndarray of int, shape (n_l,)
        z is ``(sum >> pre) * multiplier >> shift``, rounded.
    pre : int
        Bits that a sum loses first.
    wide : bool
        Whether a sum can need more than 32 bits.
    activation : str
    table : str
        The activation's table; empty where there is none.
    z_step, a_step : float
        What a whole number of z and of the layer's output stands for.
    clamps_low, clamps_high : bool
        Whether z may be clamped on that side without a word, since the activation is flat there.
    shares : ndarray of int, shape (2, n_l), or None
        Of parametric activations: the output is ``z shares[0] + g shares[1]``, without its last
        `SHARE_BITS` bits.
    """

    W: Ints
    b: Ints
    multipliers: Ints
    shifts: Ints
    pre: int
    wide: bool
    activation: str
    table: str
    z_step: float
    a_step: float
    clamps_low: bool
    clamps_high: bool
    shares: Ints | None = None


@dataclass(frozen=True)
class FixedNetwork:
    """All layers in whole numbers, and how far they can be off.

    Attributes
    ----------
    kind : {"int8", "q15"}
    middle, step : ndarray, shape (n_0,)
        Input i is ``middle_i + step_i q_i``.
    layers : tuple of FixedLayer
    tables : dict of str to Table
    error : float
        No output of the last layer is further off, unless a clamp was reported.
    seen : float
        The largest error over the examples of the calibration; there were `n_seen`.
    """

    kind: str
    middle: Floats
    step: Floats
    layers: tuple[FixedLayer, ...]
    tables: dict[str, Table]
    error: float
    seen: float = 0.0
    n_seen: int = 0


class _Steps(NamedTuple):
    """What the whole numbers of a layer's outputs stand for, on the way through `quantise`.

    Attributes
    ----------
    step, middle : ndarray, shape (n,)
        What a whole number, and what 0 stands for.
    centre : ndarray, shape (n,)
        The output's mean over the calibration.
    """

    step: Floats
    middle: Floats
    centre: Floats


def quantise(job: Job, kind: str) -> FixedNetwork:
    """Turn a model's layers into whole numbers.

    Parameters
    ----------
    job : Job
        Its given examples, or else the test vectors and drawn ones, calibrate the ranges.
    kind : {"int8", "q15"}
        Width of the weights.

    Returns
    -------
    FixedNetwork

    Raises
    ------
    ExportError
        If there are several networks, another step follows the layers, or an exponential is beyond
        16 bits.
    """
    parts = parts_of(job.model)
    if not parts.layers:
        raise ExportError(
            "the model is several networks, and whole numbers hold one; fit one alone "
            "(n_members=1, and RealMLP's n_folds=None), or export it in float32."
        )
    for later in parts.after:
        if not isinstance(later, Scale | Clip):
            raise ExportError(
                f"step {later.name!r} follows the network, and in whole numbers nothing but "
                "scalers does; export the model in float32."
            )
    if any(layer.activation == "softmax" for layer in parts.layers[:-1]):
        raise ExportError(
            "a softmax stands between layers, and whole numbers hold it as the last one alone; "
            "export the model in float32."
        )
    examples = _calibration(job)
    values = every_step(job.model, examples)
    tables = _plan_tables(job, parts.layers, values, kind)
    first = parts.layers[0].source
    steps, signal = _input_signal(job, first, values[first])
    middle, step = steps.middle, steps.step
    layers = []
    error = signal.errors
    for layer in parts.layers:
        made, Z = _quantise_layer(layer, steps, signal, tables, kind)
        A = activated(layer.activation, values[layer.source] @ layer.W.T + layer.b, layer.s)
        made, signal, error = _through_activation(layer, made, Z, tables[_key(layer)], kind)
        layers.append(made)
        n = len(made.b)
        steps = _Steps(np.full(n, made.a_step), np.zeros(n), A.mean(axis=0))
    network = FixedNetwork(
        kind, middle, step, tuple(layers), {name: one for name, one in tables.items() if one.bits},
        float(error.max()),
    )  # fmt: skip
    outputs, clamped = run(network, to_whole(network, values[first])[0])
    errors = np.abs(outputs * layers[-1].a_step - values[parts.layers[-1].name])[~clamped]
    return replace(network, seen=float(errors.max(initial=0.0)), n_seen=len(errors))


def _calibration(job: Job) -> Inputs:
    """Return the examples whose values decide on the ranges."""
    pools = [job.vectors.inputs, job.vectors.seen if job.given is None else job.given]
    both = Inputs(
        np.vstack([pool.numbers for pool in pools]), np.vstack([pool.texts for pool in pools])
    )
    fine = np.ones(len(both), bool)
    for place, column in enumerate(job.model.numbers):
        numbers = both.numbers[:, place]
        fine &= np.isfinite(numbers) | (job.model.columns[column].may_miss & np.isnan(numbers))
    return both.rows(fine)


def _input_signal(job: Job, name: str, seen: Floats) -> tuple[_Steps, Signal]:
    """Return how the network's input is quantised."""
    intervals = every_interval(job.model, job.ranges.inputs)
    errors = every_error(job.model, job.ranges.inputs, intervals, "float32")
    low, high = intervals[name]
    middle = (low + high) / 2
    # a constant column has a range all the same: what float32 can tell from it
    least = np.maximum(np.abs(middle), 1.0) * 2.0**-22
    step = np.maximum((high - low) / 2 / FULL, least)
    # half a step, the roundings of (x - middle) / step + 32768.5 in float32, 6 of up to 65536 2^-24
    # each, and that of the middle
    error = errors[name] + step * (0.5 + 6 * 2.0**-8) + 2.0**-24 * np.abs(middle)
    return _Steps(step, middle, seen.mean(axis=0)), Signal.of_inputs(intervals[name], error)


def _plan_tables(
    job: Job, layers: list[Dense], values: dict[str, Floats], kind: str
) -> dict[str, Table]:
    """Choose each activation's range of z, the same for all layers that have it.

    Activations without a table are in it, too, one for each layer, with `bits` 0.
    """
    found: dict[str, Table] = {}
    ranges: dict[str, list[float]] = {}
    intervals = every_interval(job.model, job.ranges.inputs)
    for layer in layers:
        Z = values[layer.source] @ layer.W.T + layer.b
        before = intervals[layer.source]
        possible = pre_activations(layer, before)
        key = _key(layer)
        # at the end of its range a rounded sum is beyond it: by half a step of each weight, and
        # what the layers before add
        half = (before.high - before.low) / 2
        largest = (np.abs(layer.W) * half).max(axis=1)
        slack = len(half) * float(largest.max()) / _WEIGHT[kind]
        low = max(float(possible.low.min()) - slack, _stretched(Z, -1))
        high = min(float(possible.high.max()) + slack, _stretched(Z, 1))
        ranges.setdefault(key, []).extend((low, high))
    for layer in layers:
        key, activation = _key(layer), layer.activation
        ends = ranges[key]
        middle = (min(ends) + max(ends)) / 2 if activation == "exp" else 0.0
        reach = max(abs(end - middle) for end in ends) or 1.0
        if activation in ("sigmoid", "tanh"):
            reach = min(reach, 12.0)
        if activation == "exp" and middle + reach > 80:
            raise ExportError(
                f"layer {layer.name!r} may reach exp({middle + reach:.0f}), which no whole number "
                "of 16 bits can stand for; export it in floating-point numbers."
            )
        if activation in CURVATURE or activation == "exp":
            found[key] = _table(activation, reach, middle, TABLE_BITS[kind])
        else:
            found[key] = Table(np.zeros(0, np.int64), 0, reach / FULL, reach / FULL)
    return found


def _stretched(Z: Floats, sign: int) -> float:
    """Return the end of the calibrated range, with its margin, on one side."""
    return sign * _MARGIN * max(float(np.abs(Z).max()), 1e-6)


def _key(layer: Dense) -> str:
    return layer.activation if layer.activation in CURVATURE else layer.name


def _table(activation: str, reach: float, middle: float, bits: int) -> Table:
    z_step = reach / FULL
    # z from -32768 to 32768 in steps of 2^(16 - bits)
    knots = np.arange(-(2**15), 2**15 + 1, 2 ** (16 - bits)) * z_step + middle
    values = activated(activation, knots[None])[0]
    a_step = float(np.abs(values).max()) / FULL
    return Table(np.rint(values / a_step).astype(np.int64), bits, z_step, a_step, middle)


def _quantise_layer(
    layer: Dense, before: _Steps, signal: Signal, tables: dict[str, Table], kind: str
) -> tuple[FixedLayer, Signal]:
    """Round a layer's weights; returns its pre-activations with their errors, too."""
    table = tables[_key(layer)]
    z_step = table.z_step
    scaled = layer.W * before.step
    bias = layer.b + layer.W @ before.middle - table.z_middle
    # a unit's step: its largest weight fills the type, its bias 30 bits at most
    unit = np.maximum(np.abs(scaled).max(axis=1) / _WEIGHT[kind], np.abs(bias) / 2**30)
    unit = np.where(unit > 0, unit, z_step)
    W = np.rint(scaled / unit[:, None]).astype(np.int64)
    real = W * unit[:, None] / before.step
    # what rounding the weights does to the inputs' centre is taken back in the bias
    bias = bias - (real - layer.W) @ (before.centre - before.middle)
    b = np.rint(bias / unit).astype(np.int64)
    most = int((np.abs(W).sum(axis=1) * (FULL + 1) + np.abs(b)).max())
    pre = max(0, most.bit_length() - 31)
    multipliers, shifts = _as_multipliers(unit / z_step, pre)

    Z = signal.through(layer, real, before.centre, b * unit - bias)
    rounding = unit * 2.0**pre / 2 * (pre > 0) + most * unit * 2.0**-30 + z_step * 0.5
    # and that of the float64 numbers in which this is computed
    rounding = rounding + 2.0**-40 * (np.abs(Z.c) + Z.errors)
    Z = Z.widened(np.zeros(len(b)), rounding)
    # where the layer is not clamped, its exact z is no further out than this
    reach = (FULL + 1) * z_step + Z.errors
    flat_low, flat_high, _ = _flatness(layer.activation, table)
    Z = Z.within(
        np.full(len(b), -np.inf) if flat_low else table.z_middle - reach,
        np.full(len(b), np.inf) if flat_high else table.z_middle + reach,
    )
    made = FixedLayer(
        W, b, multipliers, shifts, pre, most >= 2**31 - 1, layer.activation,
        _key(layer) if table.bits else "", z_step, table.a_step, flat_low, flat_high,
    )  # fmt: skip
    return made, Z


def _flatness(activation: str, table: Table) -> tuple[bool, bool, float]:
    """Tell on which sides z may be clamped in silence, and what that adds to the error."""
    if activation == "relu":
        return True, False, 0.0
    if activation not in ("sigmoid", "tanh"):
        return False, False, 0.0
    reach = FULL * table.z_step
    gap = 1 - float(activated(activation, np.array([[reach]]))[0, 0])
    flat = gap <= table.a_step
    return flat, flat, gap if flat else 0.0


def _through_activation(
    layer: Dense, made: FixedLayer, Z: Signal, table: Table, kind: str
) -> tuple[FixedLayer, Signal, Floats]:
    """Choose the step of a layer's output; returns it with the output and its errors."""
    name, n, z_step = layer.activation, len(made.b), table.z_step
    if name == "softmax":
        h = SOFTMAX_RANGE / 2 ** TABLE_BITS[kind]
        # interpolation is off by a share of e^-d, roundings by steps of 1 / 65535, the table ends
        share = h * h / 8 * math.exp(h) + SOFTMAX_RANGE * 2.0**-POSITION_BITS
        absolute = 2 / SOFTMAX_FULL + math.exp(-SOFTMAX_RANGE)
        error = softmax_errors(Z) + share + (n + 1) * absolute + 1 / FULL
        return replace(made, a_step=1 / FULL), Z, error
    a_step = table.a_step
    if name in ("identity", "relu"):
        rounding = np.zeros(n)
    elif name == "leaky_relu":
        rounding = z_step * 0.5 + np.abs(np.minimum(Z.values.low, 0)) * 2.0**-LEAK_BITS
    else:
        h = 2.0 ** (16 - table.bits) * z_step
        curvature = CURVATURE.get(name, 0.0)
        if name == "exp":
            curvature = math.exp(float((Z.values.high + Z.errors).max()) + h)
        off = h * h / 8 * curvature + a_step * 1.0 + _flatness(name, table)[2]
        rounding = np.full(n, off)
    if layer.s is not None:
        made, rounding = _shared(layer.s, made, table, rounding)
    signal = activate(Z, layer, rounding)
    errors = signal.errors
    if name == "sigmoid":
        errors = np.minimum(errors, sigmoid_errors(Z) + rounding)
    return made, signal, errors


def _shared(
    s: Floats, made: FixedLayer, table: Table, rounding: Floats
) -> tuple[FixedLayer, Floats]:
    """Choose the factors of z and g in ``A = (1 - s) Z + s g(Z)``, and bound what they add."""
    z = np.linspace(-FULL - 1, FULL + 1, len(table.values)) * table.z_step + table.z_middle
    A = z[:, None] + s * (table.values[:, None] * table.a_step - z[:, None])
    a_step = float(np.abs(A).max()) / (FULL - 2)
    exact = np.array([(1 - s) * table.z_step, s * table.a_step]) / a_step * 2.0**SHARE_BITS
    # half a step, and half of the last bit of both factors
    added = a_step * (0.5 + FULL * 2.0**-SHARE_BITS)
    shares = np.rint(exact).astype(np.int64)
    return replace(made, shares=shares, a_step=a_step), np.abs(s) * rounding + added


def _as_multipliers(factors: Floats, pre: int) -> tuple[Ints, Ints]:
    """Write factors as ``multiplier * 2^-(shift + pre)``, the multiplier of 31 bits."""
    mantissas, exponents = np.frexp(factors)
    multipliers = np.rint(mantissas * 2**31).astype(np.int64)
    shifts = 31 - exponents.astype(np.int64) - pre
    full = multipliers == 2**31
    multipliers[full] >>= 1
    shifts[full] -= 1
    while (shifts > 62).any():  # below a 31st of a step: 0
        far = shifts > 62
        multipliers[far] >>= 1
        shifts[far] -= 1
    if (shifts < 1).any():
        raise ExportError(
            "a unit's weights are so large for its range that its sum cannot be written in whole "
            "numbers; export the model in floating-point numbers."
        )
    return multipliers, shifts


# ------------------------------------------------------------------------------- bit for bit


def to_whole(network: FixedNetwork, A0: Floats) -> tuple[Ints, NDArray[np.bool_]]:
    """Quantise inputs, examples in rows; returns which ones left the range, too."""
    exact = np.floor((A0 - network.middle) / network.step + 0.5)
    outside = np.any(np.abs(exact) > FULL, axis=1)
    return np.clip(exact, -FULL, FULL).astype(np.int64), outside


def run(network: FixedNetwork, q: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Compute the layers as the exported code does, bit for bit.

    Parameters
    ----------
    network : FixedNetwork
    q : ndarray of int, shape (m, n_0)

    Returns
    -------
    q : ndarray of int, shape (m, n_L)
    clamped : ndarray of bool, shape (m,)
        Whether a layer left its calibrated range.
    """
    clamped = np.zeros(len(q), bool)
    for layer in network.layers:
        sums = q @ layer.W.T + layer.b
        if layer.pre:
            sums = (sums + (1 << (layer.pre - 1))) >> layer.pre
        z = (sums * layer.multipliers + (np.int64(1) << (layer.shifts - 1))) >> layer.shifts
        too_low, too_high = z < -FULL, z > FULL
        if not layer.clamps_low:
            clamped |= too_low.any(axis=1)
        if not layer.clamps_high:
            clamped |= too_high.any(axis=1)
        q = _activate(network, layer, np.clip(z, -FULL, FULL))
    return q, clamped


def _activate(network: FixedNetwork, layer: FixedLayer, z: Ints) -> Ints:
    if layer.activation == "identity":
        return z
    if layer.activation == "relu":
        return np.maximum(z, 0)
    if layer.activation == "leaky_relu":
        return np.where(z > 0, z, (z * LEAK + (1 << (LEAK_BITS - 1))) >> LEAK_BITS)
    if layer.activation == "softmax":
        return _softmax(network.kind, layer, z)
    table = network.tables[layer.table]
    g = interpolate(table.values, 16 - table.bits, z + 2**15)
    if layer.shares is None:
        return g
    mixed = z * layer.shares[0] + g * layer.shares[1]
    shared: Ints = (mixed + (1 << (SHARE_BITS - 1))) >> SHARE_BITS
    return shared


def interpolate(values: Ints, fraction_bits: int, position: Ints) -> Ints:
    """Read a table between its entries; `position` counts in 2^-fraction_bits of an interval."""
    place = position >> fraction_bits
    fraction = position & ((1 << fraction_bits) - 1)
    rise = (values[place + 1] - values[place]) * fraction
    found: Ints = values[place] + ((rise + (1 << (fraction_bits - 1))) >> fraction_bits)
    return found


def softmax_table(kind: str) -> Ints:
    """Return exp(-d) for d from 0 to `SOFTMAX_RANGE`, of which 1 is `SOFTMAX_FULL`."""
    d = np.linspace(0, SOFTMAX_RANGE, 2 ** TABLE_BITS[kind] + 1)
    values: Floats = np.rint(np.exp(-d) * SOFTMAX_FULL)
    return values.astype(np.int64)


def softmax_multiplier(z_step: float) -> tuple[int, int]:
    """Return what turns a difference of z into the table's position."""
    factor = z_step / SOFTMAX_RANGE * 2**POSITION_BITS
    multipliers, shifts = _as_multipliers(np.array([factor]), 0)
    return int(multipliers[0]), int(shifts[0])


def _softmax(kind: str, layer: FixedLayer, z: Ints) -> Ints:
    multiplier, shift = softmax_multiplier(layer.z_step)
    d = ((z.max(axis=1, keepdims=True) - z) * multiplier + (1 << (shift - 1))) >> shift
    near = d < 2**POSITION_BITS
    e = interpolate(softmax_table(kind), POSITION_BITS - TABLE_BITS[kind], np.where(near, d, 0))
    e = np.where(near, e, 0)
    sums = e.sum(axis=1, keepdims=True)
    shares: Ints = (e * FULL + sums // 2) // sums
    return shares
