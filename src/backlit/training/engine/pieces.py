"""The pieces of networks for tables as compiled loops: the second statement of `backlit.pieces`.

Only what is no matrix product is here: products of whole layers go through BLAS. All arrays are
C-contiguous, units or features in rows and examples in columns, so that the innermost loops run
along the examples. Nothing is checked; `piece_kernels` hands over addresses.
"""

import math

from backlit.names import SELU_ALPHA, SELU_SCALE
from backlit.training.engine.codes import (
    BETA1,
    BETA2,
    EPSILON,
    KEEP,
    REST1,
    REST2,
    SELU_UNITS,
    STEP,
)
from backlit.training.engine.functions import exp_negative, floored, flushed
from backlit.training.engine.simd import (
    like,
)
from backlit.training.machine_code.kernels import kernel

_PI, _TWO_PI = 3.141592653589793, 6.283185307179586


@kernel(fast=True)
def _selu(z):
    """Return SELU_SCALE * (z or SELU_ALPHA (exp(z) - 1)), and its slope."""
    e = exp_negative(min(z, like(z, 0.0))) * like(z, SELU_SCALE * SELU_ALPHA)
    low = e - like(z, SELU_SCALE * SELU_ALPHA)
    value = like(z, SELU_SCALE) * z if z > 0 else low
    slope = like(z, SELU_SCALE) if z > 0 else e
    return value, slope


@kernel(fast=True)
def _mish(z):
    """Return z T and T + z T', T = tanh(log(1 + exp(z))), from one exponential.

    With n = exp(z), ``T = n (n + 2) / D`` and ``T' = 4 n (n + 1) / D^2``, ``D = n (n + 2) + 2``;
    for z > 0 in terms of exp(-z), which cannot overflow.
    """
    e = exp_negative(-abs(z))
    one, two, four = like(z, 1.0), like(z, 2.0), like(z, 4.0)
    above = one + two * e if z >= 0 else e * (e + two)
    whole = above + (two * e * e if z >= 0 else two)
    numerator = e * e * (one + e) if z >= 0 else e * (e + one)
    share = above / whole
    return z * share, share + z * four * numerator / (whole * whole)


def activate_units(code, z, a, b, s, random, threshold, n, m, numbers):
    """Finish a layer: ``z = gain z + b``, ``a = z + s (g(z) - z)``, then dropout.

    Parameters
    ----------
    code : int
        Which g.
    z : pointer, (n, m)
        Products of weights and inputs; overwritten by the pre-activations.
    a : pointer, (n, m)
        Activations, written.
    b, s : pointer, (n,)
        Biases, and each unit's share of g.
    random : pointer to uint16, (n, m)
        Random numbers; a unit is dropped where one is below `threshold`.
    threshold : int
        0 drops nothing, and `random` is not read.
    n, m : int
        Units and examples.
    numbers : pointer, (2,)
        The gain, and what is kept is multiplied by.
    """
    gain, kept = numbers[0], numbers[1]
    for u in range(n):
        begin, bias, share = u * m, b[u], s[u]
        if code == SELU_UNITS:
            for i in range(begin, begin + m):
                value = gain * z[i] + bias
                z[i] = value
                a[i] = value + share * (_selu(value)[0] - value)
        else:
            for i in range(begin, begin + m):
                value = gain * z[i] + bias
                z[i] = value
                a[i] = value + share * (_mish(value)[0] - value)
        if threshold > 0:
            for i in range(begin, begin + m):
                a[i] = a[i] * kept if random[i] >= threshold else like(kept, 0.0)


def differentiate_units(code, da, z, s, random, threshold, n, m, numbers, db, ds):
    """Take the gradient back: forward was ``a = z + s (g(z) - z)`` with dropout.

    So now ``dz = da (1 + s (g'(z) - 1))``; ``ds`` is the sum of ``da (g(z) - z)``, ``db`` that of
    dz; what is written over `da` is ``gain dz``, the gradient of the product.

    Parameters
    ----------
    code, s, random, threshold, n, m, numbers
        As for `activate_units`.
    da : pointer, (n, m)
        Gradient of the activations; overwritten.
    z : pointer, (n, m)
        Pre-activations.
    db, ds : pointer, (n,)
        Written.
    """
    gain, kept = numbers[0], numbers[1]
    for u in range(n):
        begin, share = u * m, s[u]
        bias_sum, share_sum = like(gain, 0.0), like(gain, 0.0)
        if threshold > 0:
            for i in range(begin, begin + m):
                da[i] = da[i] * kept if random[i] >= threshold else like(kept, 0.0)
        if code == SELU_UNITS:
            for i in range(begin, begin + m):
                value, slope = _selu(z[i])
                share_sum += da[i] * (value - z[i])
                dz = da[i] * (like(gain, 1.0) + share * (slope - like(gain, 1.0)))
                bias_sum += dz
                da[i] = flushed(gain * dz)
        else:
            for i in range(begin, begin + m):
                value, slope = _mish(z[i])
                share_sum += da[i] * (value - z[i])
                dz = da[i] * (like(gain, 1.0) + share * (slope - like(gain, 1.0)))
                bias_sum += dz
                da[i] = flushed(gain * dz)
        db[u], ds[u] = bias_sum, share_sum


@kernel(fast=True)
def _cosine_and_sine(turns):
    """Return cos(2 pi t) and sin(2 pi t) by the series of half the angle, |half| <= pi / 2."""
    whole = floored(turns + like(turns, 0.5))
    half = like(turns, _PI) * (turns - whole)
    u = half * half
    # Taylor's series; (pi / 2)^22 / 22! and (pi / 2)^23 / 23! are below 2e-17
    c = like(u, 1 / 2432902008176640000)
    c = c * u - like(u, 1 / 6402373705728000)
    c = c * u + like(u, 1 / 20922789888000)
    c = c * u - like(u, 1 / 87178291200)
    c = c * u + like(u, 1 / 479001600)
    c = c * u - like(u, 1 / 3628800)
    c = c * u + like(u, 1 / 40320)
    c = c * u - like(u, 1 / 720)
    c = c * u + like(u, 1 / 24)
    c = c * u - like(u, 1 / 2)
    cosine = c * u + like(u, 1.0)
    d = like(u, 1 / 51090942171709440000.0)
    d = like(u, -1 / 121645100408832000) + d * u
    d = d * u + like(u, 1 / 355687428096000)
    d = d * u - like(u, 1 / 1307674368000)
    d = d * u + like(u, 1 / 6227020800)
    d = d * u - like(u, 1 / 39916800)
    d = d * u + like(u, 1 / 362880)
    d = d * u - like(u, 1 / 5040)
    d = d * u + like(u, 1 / 120)
    d = d * u - like(u, 1 / 6)
    sine = (d * u + like(u, 1.0)) * half
    two = like(u, 2.0)
    return cosine * cosine - sine * sine, two * sine * cosine


def embed_periodically(x, w, b, v, c, a, cosines, sines, n, k, d, m):
    """Embed numbers: ``H = cos(2 pi w x + b)``, ``E = v H + c``, and x itself below all E.

    Parameters
    ----------
    x : pointer, (n, m)
        Features.
    w, b : pointer, (n, k)
        Frequencies and phases.
    v : pointer, (n, d, k)
        Weights.
    c : pointer, (n, d)
        Biases.
    a : pointer, (n d + n, m)
        Written.
    cosines, sines : pointer, (n, k, m)
        Written, for the way back.
    n, k, d, m : int
        Features, frequencies, numbers of an embedding, examples.
    """
    turn = like(x[0], 1 / _TWO_PI)
    for j in range(n):
        for i in range(m):
            a[(n * d + j) * m + i] = x[j * m + i]
        for row in range(d):
            place, bias = (j * d + row) * m, c[j * d + row]
            for i in range(m):
                a[place + i] = bias
        for q in range(k):
            frequency, phase = w[j * k + q], b[j * k + q] * turn
            at = (j * k + q) * m
            for i in range(m):
                cosine, sine = _cosine_and_sine(frequency * x[j * m + i] + phase)
                cosines[at + i] = cosine
                sines[at + i] = sine
            for row in range(d):
                place, weight = (j * d + row) * m, v[(j * d + row) * k + q]
                for i in range(m):
                    a[place + i] += weight * cosines[at + i]


def differentiate_periodic(da, x, v, cosines, sines, dw, db, dv, dc, n, k, d, m):
    """Take the gradient back through `embed_periodically`, to its parameters.

    Forward was ``E = v cos(2 pi w x + b) + c``, so now ``dv`` and ``dc`` are sums of dE times the
    cosine and of dE; with ``du = -sin (v dE)``, ``dw`` and ``db`` those of ``2 pi du x`` and du.

    Parameters
    ----------
    da : pointer, (n d + n, m)
        Gradient of the embeddings, each example's divided by their number already.
    x, v, cosines, sines
        As there.
    dw, db, dv, dc : pointer
        Written.
    n, k, d, m : int
        As there.
    """
    for j in range(n):
        for row in range(d):
            place, total = (j * d + row) * m, like(da[0], 0.0)
            for i in range(m):
                total += da[place + i]
            dc[j * d + row] = total
        for q in range(k):
            at = (j * k + q) * m
            for row in range(d):
                place, total = (j * d + row) * m, like(da[0], 0.0)
                for i in range(m):
                    total += da[place + i] * cosines[at + i]
                dv[(j * d + row) * k + q] = total
            angle_sum, frequency_sum = like(da[0], 0.0), like(da[0], 0.0)
            for row in range(d):
                place, weight = (j * d + row) * m, v[(j * d + row) * k + q]
                for i in range(m):
                    du = weight * da[place + i] * sines[at + i]
                    angle_sum -= du
                    frequency_sum -= du * x[j * m + i]
            db[j * k + q] = angle_sum
            dw[j * k + q] = like(da[0], _TWO_PI) * frequency_sum


def update_tensors(p, g, first, second, starts, n_tensors, numbers):
    """Take a step of Adam with each tensor's own length of the step and its own decay.

    Parameters
    ----------
    p, g, first, second : pointer
        Parameters, gradient and moments.
    starts : pointer to int64, (n_tensors + 1,)
        Where each tensor begins, and where the last one ends.
    n_tensors : int
        How many.
    numbers : pointer, (n_tensors, 9)
        For each, the numbers of `update`.
    """
    for t in range(n_tensors):
        begin, end = starts[t], starts[t + 1]
        keep, step = numbers[9 * t + KEEP], numbers[9 * t + STEP]
        epsilon = numbers[9 * t + EPSILON]
        b1, c1 = numbers[9 * t + BETA1], numbers[9 * t + REST1]
        b2, c2 = numbers[9 * t + BETA2], numbers[9 * t + REST2]
        for i in range(begin, end):
            mean = flushed(b1 * first[i] + c1 * g[i])
            square = flushed(b2 * second[i] + c2 * g[i] * g[i])
            first[i] = mean
            second[i] = square
            p[i] = flushed(keep * p[i] - step * mean / (math.sqrt(square) + epsilon))
