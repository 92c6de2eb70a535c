"""Activations and losses as compiled loops: the second, independent statement of each.

The open statements are in `backlit.activations` and `backlit.losses`; nothing here calls them, and
only tests join the two. An activation is known by its code (`backlit.names`), each self-contained
in `activate` and `differentiate`, or, if it is rare, in those of that name. Exponentials and
logarithms are written out, since a call of the mathematical library would keep these loops from
being vectorised.

Numbers below a type's range of full precision ("denormals") slow a processor down by a factor of
up to a hundred, and a converged network is full of them. Gradients and moments this small change
nothing, and are set to zero before they are stored; what arises between is left to the processor,
see `simd.flush_denormals`.
"""

import math

from numba.extending import intrinsic

from backlit.names import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from backlit.training.engine.codes import (
    ABSOLUTE,
    ELU,
    EXP,
    GELU,
    HUBER,
    IDENTITY,
    LEAKY_RELU,
    QUANTILE,
    RELU,
    SELU,
    SIGMOID,
    SILU,
    SOFTPLUS,
    SQUARED,
    TANH,
)
from backlit.training.engine.simd import (
    like,
)
from backlit.training.machine_code.kernels import CONTRACT, kernel

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.1219444005469058e-4


@intrinsic
def _power_of_two(typing_context, exponent):
    """Return 2 ** exponent for a whole floating number in the range of normal numbers."""
    double = exponent.bitwidth == 64

    def codegen(context, builder, signature, args):
        from llvmlite import ir

        integer = ir.IntType(exponent.bitwidth)
        bias, shift = (1023, 52) if double else (127, 23)
        biased = builder.add(builder.fptosi(args[0], integer), ir.Constant(integer, bias))
        return builder.bitcast(
            builder.shl(biased, ir.Constant(integer, shift)), context.get_value_type(exponent)
        )

    return exponent(exponent), codegen


@intrinsic
def floored(typing_context, value):
    """Return the largest whole number that is not above, as one instruction; math.floor calls C."""

    def codegen(context, builder, signature, args):
        floor = builder.module.declare_intrinsic("llvm.floor", [args[0].type])
        return builder.call(floor, args)

    return value(value), codegen


@intrinsic
def _lowest_exponent(typing_context, value):
    """Return the logarithm below which exp() is no normal number any more, as a constant."""
    limit = -708.0 if value.bitwidth == 64 else -87.0

    def codegen(context, builder, signature, args):
        return context.get_constant(value, limit)

    return value(value), codegen


@intrinsic
def _negligible(typing_context, value):
    """Return what gradients and moments are set to zero below, as a constant.

    Well above where the type loses precision (1.2e-38 and 2.2e-308), so that products with weights
    do not fall below it either.
    """
    limit = 1e-280 if value.bitwidth == 64 else 1e-30

    def codegen(context, builder, signature, args):
        return context.get_constant(value, limit)

    return value(value), codegen


@kernel()
def flushed(value):
    """Return the value, or zero where it is negligible; NaN stays what it is."""
    return like(value, 0.0) if abs(value) <= _negligible(value) else value


@kernel(fast=CONTRACT)  # reordered, n ln 2 would be rounded before it is subtracted
def exp_negative(x):
    """Return exp(x) for x <= 0, zero where it would be denormal.

    ``exp(x) = 2^n exp(r)``, with ``exp(r) = 1 + 2 r P(r^2) / (Q(r^2) - r P(r^2))``: the rational
    approximation of Cephes (Moshier 1989), good to an ulp in double precision.
    """
    low = _lowest_exponent(x)
    bounded = max(x, low)
    n = floored(bounded * like(x, _LOG2_E) + like(x, 0.5))
    r = bounded - n * like(x, _LN2_HIGH) - n * like(x, _LN2_LOW)
    rr = r * r
    p = r * (
        (like(x, 1.26177193074810590878e-4) * rr + like(x, 3.02994407707441961300e-2)) * rr
        + like(x, 9.99999999999999999910e-1)
    )
    q = (
        (like(x, 3.00198505138664455042e-6) * rr + like(x, 2.52448340349684104192e-3)) * rr
        + like(x, 2.27265548208155028766e-1)
    ) * rr + like(x, 2.0)
    value = (like(x, 1.0) + like(x, 2.0) * (p / (q - p))) * _power_of_two(n)
    return value if x >= low else like(x, 0.0)


@kernel(fast=True)
def log1p_unit(e):
    """Return log(1 + e) for 0 <= e <= 1, as 2 artanh(e / (2 + e)), by its series."""
    s = e / (like(e, 2.0) + e)
    ss = s * s  # at most 1/9, so that the 17th term is below 1e-17
    series = like(e, 1 / 35)
    series = series * ss + like(e, 1 / 33)
    series = series * ss + like(e, 1 / 31)
    series = series * ss + like(e, 1 / 29)
    series = series * ss + like(e, 1 / 27)
    series = series * ss + like(e, 1 / 25)
    series = series * ss + like(e, 1 / 23)
    series = series * ss + like(e, 1 / 21)
    series = series * ss + like(e, 1 / 19)
    series = series * ss + like(e, 1 / 17)
    series = series * ss + like(e, 1 / 15)
    series = series * ss + like(e, 1 / 13)
    series = series * ss + like(e, 1 / 11)
    series = series * ss + like(e, 1 / 9)
    series = series * ss + like(e, 1 / 7)
    series = series * ss + like(e, 1 / 5)
    series = series * ss + like(e, 1 / 3)
    return like(e, 2.0) * s * (series * ss + like(e, 1.0))


@kernel(fast=True)
def sigmoid(z):
    """Return 1 / (1 + exp(-z)) without overflow."""
    e = exp_negative(-abs(z))
    one = like(z, 1.0)
    return (one if z >= 0 else e) / (one + e)


@kernel(fast=True)
def softplus(z):
    """Return log(1 + exp(z)) without overflow."""
    return max(z, like(z, 0.0)) + log1p_unit(exp_negative(-abs(z)))


def activate(code, a, slope_source, n):
    """Overwrite pre-activations `a` by activations; set `slope_source` for `differentiate`.

    `slope_source` is `a` itself for those of `FROM_ACTIVATION`. The others keep the slope ``g'(Z)``
    in it: where they saturate, ``1 - a`` has lost the digits that it would be computed from. Only
    gelu and silu, whose slopes cost more than they do, keep their pre-activations. Both have `n`
    elements.
    """
    if code == RELU:
        for i in range(n):
            a[i] = max(a[i], like(a, 0.0))
    elif code == SIGMOID:
        for i in range(n):
            # with e = exp(-|z|): sigmoid|z| = 1 / (1 + e), and the slope is e / (1 + e)^2
            z = a[i]
            e = exp_negative(-abs(z))
            share = like(z, 1.0) / (like(z, 1.0) + e)
            slope_source[i] = e * share * share
            a[i] = share if z >= 0 else e * share
    elif code == TANH:
        for i in range(n):
            # tanh|z| = (1 - e) / (1 + e) with e = exp(-2|z|), and the slope is 4 e / (1 + e)^2.
            # Near 0, 1 - e has few digits: there z + z^3 P(z^2) / Q(z^2), of Cephes (Moshier 1989)
            z = a[i]
            zz = z * z
            near = abs(z) < like(z, 0.625)
            e = exp_negative(like(z, -2.0) * abs(z))
            p = like(z, -9.64399179425052238628e-1) * zz + like(z, -9.92877231001918586564e1)
            p = zz * (p * zz + like(z, -1.61468768441708447952e3))
            q = (zz + like(z, 1.12811678491632931402e2)) * zz + like(z, 2.23548839060100448583e3)
            q = q * zz + like(z, 4.84406305325125486048e3)
            share = like(z, 1.0) / (q if near else like(z, 1.0) + e)
            ratio = (p if near else like(z, 1.0) - e) * share
            t = z + z * ratio if near else math.copysign(ratio, z)
            slope_source[i] = like(z, 1.0) - t * t if near else like(z, 4.0) * e * share * share
            a[i] = t


def activate_rare(code, a, slope_source, n):
    """Do as `activate` does, for the other activations, which are compiled only if one is used."""
    if code == LEAKY_RELU:
        for i in range(n):
            z = a[i]
            a[i] = z if z > 0 else like(z, LEAKY_SLOPE) * z
    elif code == ELU:
        for i in range(n):
            slope_source[i] = exp_negative(min(a[i], like(a, 0.0)))
        for i in range(n):
            z = a[i]
            a[i] = z if z > 0 else math.expm1(z)
    elif code == SELU:
        for i in range(n):
            below = like(a, SELU_SCALE * SELU_ALPHA) * exp_negative(min(a[i], like(a, 0.0)))
            slope_source[i] = like(a, SELU_SCALE) if a[i] > 0 else below
        for i in range(n):
            z = a[i]
            below = like(z, SELU_SCALE * SELU_ALPHA) * math.expm1(min(z, like(z, 0.0)))
            a[i] = like(z, SELU_SCALE) * z if z > 0 else below
    elif code == GELU:
        for i in range(n):
            z = a[i]
            slope_source[i] = z
            a[i] = z * like(z, 0.5) * math.erfc(z * like(z, -math.sqrt(0.5)))
    elif code == SILU:
        for i in range(n):
            z = a[i]
            slope_source[i] = z
            a[i] = z * sigmoid(z)
    elif code == SOFTPLUS:
        for i in range(n):
            # the slope is the sigmoid
            z = a[i]
            e = exp_negative(-abs(z))
            slope_source[i] = (like(z, 1.0) if z >= 0 else e) / (like(z, 1.0) + e)
            a[i] = max(z, like(z, 0.0)) + log1p_unit(e)
    elif code == EXP:
        for i in range(n):
            a[i] = math.exp(a[i])


def differentiate(code, da, slope_source, n):
    """Overwrite gradients `da` by ``dZ = dA * g'(Z)``, with g' from what `activate` kept."""
    if code == RELU:
        for i in range(n):
            gradient = flushed(da[i])  # loaded in any case, so that the loop vectorises
            da[i] = gradient if slope_source[i] > 0 else like(da, 0.0)
    elif code == IDENTITY:
        for i in range(n):
            da[i] = flushed(da[i])
    elif code in (SIGMOID, TANH):
        for i in range(n):
            da[i] = flushed(da[i] * slope_source[i])


def differentiate_rare(code, da, slope_source, n):
    """Do as `differentiate` does, for the other activations."""
    if code == LEAKY_RELU:
        for i in range(n):
            gradient = da[i]
            da[i] = flushed(gradient if slope_source[i] > 0 else like(da, LEAKY_SLOPE) * gradient)
    elif code in (ELU, SELU, SOFTPLUS):
        for i in range(n):
            da[i] = flushed(da[i] * slope_source[i])
    elif code == GELU:
        for i in range(n):
            z = slope_source[i]
            phi = math.exp(like(z, -0.5) * z * z) * like(z, 1 / math.sqrt(2 * math.pi))
            cdf = like(z, 0.5) * math.erfc(z * like(z, -math.sqrt(0.5)))
            da[i] = flushed(da[i] * (cdf + z * phi))
    elif code == SILU:
        for i in range(n):
            # silu'(z) = s(z) (1 + z s(-z))
            z = slope_source[i]
            e = exp_negative(-abs(z))
            larger = like(z, 1.0) / (like(z, 1.0) + e)
            smaller = e * larger
            share = larger if z >= 0 else smaller
            rest = smaller if z >= 0 else larger
            da[i] = flushed(da[i] * (share * (like(z, 1.0) + z * rest)))


@kernel(fast=True)
def _one_loss(loss, z, y, parameter):
    """Return a regression's loss and its gradient for one output and target."""
    residual = z - y
    if loss == SQUARED:
        return like(z, 0.5) * residual * residual, residual
    distance = abs(residual)
    sign = like(z, 0.0) if residual == 0 else math.copysign(like(z, 1.0), residual)
    if loss == ABSOLUTE:
        return distance, sign
    if loss == HUBER:
        inside = min(distance, parameter)
        return inside * (distance - like(z, 0.5) * inside), sign * inside
    if loss == QUANTILE:
        if residual < 0:
            return -parameter * residual, -parameter
        return (like(z, 1.0) - parameter) * residual, (like(z, 1.0) - parameter) * sign
    rate = math.exp(z)
    constant = y * math.log(y) - y if y > 0 else like(z, 0.0)
    return rate - y * z + constant, rate - y


@kernel()
def log_range(share):
    """Return the range of -log(p) for probabilities that are clipped to [share, 1 - share]."""
    if share > 0.0:
        return -math.log1p(-share), -math.log(share)
    return 0.0, math.inf


@kernel()
def clipped(value, low, high):
    """Return the value moved into [low, high]; NaN stays, so that it is seen."""
    if value < low:
        return low
    return high if value > high else value


def losses_of_logits(z, y, dz, losses, n, parameter):
    """Add one output's binary cross-entropies to `losses`, and write their gradients to `dz`."""
    # loss = (1-y) softplus(z) + y softplus(-z), dz = (1-y) sigmoid(z) - y sigmoid(-z)
    zero, one = like(z, 0.0), like(z, 1.0)
    lowest, highest = log_range(parameter)
    low, high = like(z, lowest), like(z, highest)
    for i in range(n):
        logit, label = z[i], y[i]
        e = exp_negative(-abs(logit))
        share = one / (one + e)
        larger, smaller = share, e * share
        positive = larger if logit >= zero else smaller
        negative = smaller if logit >= zero else larger
        above = logit if logit > zero else zero
        below = -logit if logit < zero else zero
        value = log1p_unit(e) + (one - label) * above + label * below
        losses[i] += clipped(value, low, high)
        dz[i] = (one - label) * positive - label * negative
    if parameter > 0.0:
        # clipped probabilities are rounded ones: near 1 the rest to 1 has few digits, and what
        # is reported of it is the logarithm of those
        for i in range(n):
            if z[i] > like(z, 4.0) and y[i] < like(z, 0.5):
                rest = one - sigmoid(z[i])
                exact = clipped(softplus(z[i]), low, high)
                losses[i] += (-math.log(rest) if rest > low else high) - exact


def losses_of_residuals(loss, z, y, dz, losses, n, parameter):
    """Add one output's regression losses to `losses`, and write their gradients to `dz`."""
    for i in range(n):
        value, gradient = _one_loss(loss, z[i], y[i], like(z, parameter))
        losses[i] += value
        dz[i] = gradient


def losses_of_classes(z, dz, pitch, n_classes, n, classes, losses):
    """Write the softmax cross-entropies of whole-number classes, and their gradients.

    ``loss = log sum_k exp(z_k) - z_class`` and ``dz_k = p_k - [k = class]``, the latter as minus
    the other classes' share, so that a confident network's small gradients keep their digits.
    Unit k of example i is at ``k pitch + i``.
    """
    zero, one = like(z, 0.0), like(z, 1.0)
    for i in range(n):
        losses[i] = z[i]
    for k in range(1, n_classes):
        for i in range(n):
            losses[i] = max(losses[i], z[k * pitch + i])
    for k in range(n_classes):  # dz holds exp(z - max) for now
        for i in range(n):
            dz[k * pitch + i] = exp_negative(z[k * pitch + i] - losses[i])
    for i in range(n):
        own = classes[i]
        others = zero
        for k in range(n_classes):
            others += zero if k == own else dz[k * pitch + i]
        total = others + dz[own * pitch + i]
        scale = one / total
        losses[i] += math.log(total) - z[own * pitch + i]
        for k in range(n_classes):
            place = k * pitch + i
            dz[place] = -others * scale if k == own else dz[place] * scale


def losses_of_shares(z, dz, y, pitch, n_classes, n, losses):
    """Write the softmax cross-entropies of class probabilities `y`, and their gradients.

    ``dz_k = p_k sum_j y_j - y_k``, as ``p_k`` times the other classes' y minus ``y_k`` times the
    other classes' p, so that a confident network's small gradients keep their digits. The other
    classes' sum is the total less class k's part, but for the class whose part is the largest.
    """
    zero = like(z, 0.0)
    for i in range(n):
        first, likeliest = 0, 0
        for k in range(1, n_classes):
            if z[k * pitch + i] > z[first * pitch + i]:
                first = k
            if y[k * pitch + i] > y[likeliest * pitch + i]:
                likeliest = k
        top = z[first * pitch + i]
        rest, others, dot = zero, zero, zero
        for k in range(n_classes):
            place = k * pitch + i
            e = exp_negative(z[place] - top)
            dz[place] = e
            rest += zero if k == first else e
            others += zero if k == likeliest else y[place]
            dot += y[place] * (z[place] - top)
        total = rest + dz[first * pitch + i]
        mass = others + y[likeliest * pitch + i]
        losses[i] = mass * math.log(total) - dot
        scale = like(z, 1.0) / total
        for k in range(n_classes):
            place = k * pitch + i
            e, label = dz[place], y[place]
            other_e = rest if k == first else total - e
            other_y = others if k == likeliest else mass - label
            dz[place] = (e * other_y - label * other_e) * scale


def softmax(z, pitch, n_classes, n):
    """Overwrite `n` columns of logits by probabilities."""
    for i in range(n):
        top = z[i]
        for k in range(1, n_classes):
            top = max(top, z[k * pitch + i])
        total = like(z, 0.0)
        for k in range(n_classes):
            e = exp_negative(z[k * pitch + i] - top)
            z[k * pitch + i] = e
            total += e
        for k in range(n_classes):
            z[k * pitch + i] /= total
