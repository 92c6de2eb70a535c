"""Sums over pixels: see ``photos.rank_statistics``, ``features`` and ``hues``."""

import math

import numpy as np

from backlit.photos.compiled.pixels import FOUR, HALF, ONE, ZERO, bits_of
from backlit.photos.compiled.places import (
    BINS,
    BOTTOM,
    BUCKET_SHIFT,
    BUCKETS,
    CODES,
    COUNTS,
    DEVIATIONS,
    EDGES,
    END,
    LEVELS,
    LOG_Y,
    LOWS,
    MIDDLE,
    N_BUCKETS,
    N_MEANS,
    ORDER,
    PIXELS,
    PLACE,
    RANKS,
    REFERENCE_RANKS,
    SATURATION,
    SCALES,
    SELECTED,
    SHARES,
    SHARING,
    SIDE,
    SPREAD,
    STARTS,
    TOP,
    Y,
)
from backlit.photos.hues import FLOOR as HUE_FLOOR
from backlit.photos.hues import HUES, LEAST
from backlit.photos.rank_statistics import FLOOR as VARIANCE_FLOOR
from backlit.training.machine_code.kernels import kernel

N_RANGES, N_HUES = len(RANKS) - 1, len(HUES)
OF_REFERENCE = N_RANGES * (N_MEANS + DEVIATIONS)
OF_HUES = OF_REFERENCE + len(LOWS) * 3 * BINS
_STEPS, _LAST_STEP = np.float32(LEVELS - 1), np.float32(LEVELS - 0.5)
_LOW_0, _LOW_1 = LOWS
_SCALE_0, _SCALE_1 = SCALES
_RANK_0, _RANK_1 = REFERENCE_RANKS
_SIZES = tuple(np.float32(1 / (SIDE * rows)) for rows in (SIDE, MIDDLE - TOP, END - BOTTOM))
_WHOLE, _OF_TOP, _OF_BOTTOM = _SIZES


@kernel()
def rank(N):
    """Order the pixels by their codes, equal ones by their places: counting sort."""
    for code in range(256):
        N[STARTS + code] = 0
    for i in range(PIXELS):
        N[STARTS + N[CODES + i]] += 1
    start = 0
    for code in range(256):
        count = N[STARTS + code]
        N[STARTS + code] = start
        start += count
    for i in range(PIXELS):
        code = N[CODES + i]
        to = N[STARTS + code]
        N[STARTS + code] = to + 1
        N[ORDER + to] = i


@kernel(fast=True)
def _sums(W, N, plane, low, high):
    total, squares = ZERO, ZERO
    for k in range(low, high):
        value = W[plane + N[ORDER + k]]
        total += value
        squares += value * value
    return total, squares


@kernel()
def rank_statistics(W, N, out):
    """Write means and deviations over ranges of ranks."""
    for r in range(N_RANGES):
        low, high = RANKS[r], RANKS[r + 1]
        share = ONE / np.float32(high - low)
        to = r * (N_MEANS + DEVIATIONS)
        for q in range(N_MEANS):
            total, squares = _sums(W, N, q * PIXELS, low, high)
            mean = total * share
            out[to + q] = mean
            if q < DEVIATIONS:
                variance = squares * share - mean * mean
                variance = variance if variance > ZERO else ZERO
                out[to + N_MEANS + q] = math.sqrt(variance + VARIANCE_FLOOR)


@kernel()
def _select(W, low, high, k):
    """Bring the k-th smallest of ``W[low..high]`` to its place (Hoare's way), and return it."""
    while low < high:
        pivot = W[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while W[i] < pivot:
                i += 1
            while pivot < W[j]:
                j -= 1
            if i <= j:
                W[i], W[j] = W[j], W[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return W[k]


@kernel()
def _count(W, N):
    for bucket in range(N_BUCKETS):
        N[BUCKETS + bucket] = 0
    for i in range(PIXELS):
        N[BUCKETS + (bits_of(W[Y + i]) >> BUCKET_SHIFT)] += 1


@kernel()
def _ranked(W, N, place):
    """Return the log luminance of a rank: that of the bucket's own that many from its start."""
    bucket, before = 0, 0
    while before + N[BUCKETS + bucket] <= place:
        before += N[BUCKETS + bucket]
        bucket += 1
    count = 0
    for i in range(PIXELS):
        if bits_of(W[Y + i]) >> BUCKET_SHIFT == bucket:
            W[SELECTED + count] = W[LOG_Y + i]
            count += 1
    return _select(W, SELECTED, SELECTED + count - 1, SELECTED + place - before)


@kernel()
def _count_levels(N, band, first, last):
    """Count a band's codes, in two tables by turns: equal ones in a row wait for each other."""
    to = COUNTS + 2 * band * LEVELS
    for i in range(first, last, 2):
        N[to + N[CODES + i]] += 1
        N[to + LEVELS + N[CODES + i + 1]] += 1


@kernel(fast=True)
def _share(T, N, counts, first, last):
    """Sum the counts of levels between two bin centres, and what the upper bin gets of them."""
    total, upper = ZERO, ZERO
    for level in range(first, last):
        count = np.float32(N[counts + level] + N[counts + LEVELS + level])
        total += count
        upper += count * T[SHARING + level]
    return total, upper


@kernel()
def _histogram(T, W, N, reference, low, scale, out, to):
    for i in range(PIXELS):
        step = (W[LOG_Y + i] - reference - low) * scale * _STEPS + HALF
        step = step if step > HALF else HALF
        step = step if step < _LAST_STEP else _LAST_STEP
        N[CODES + i] = np.int32(step)
    for level in range(2 * 3 * LEVELS):
        N[COUNTS + level] = 0
    _count_levels(N, 0, 0, MIDDLE * SIDE)
    _count_levels(N, 1, MIDDLE * SIDE, BOTTOM * SIDE)
    _count_levels(N, 2, BOTTOM * SIDE, PIXELS)
    for x in range(3 * BINS):
        W[SHARES + x] = ZERO
    for band in range(3):
        for k in range(BINS - 1):
            count, upper = _share(T, N, COUNTS + 2 * band * LEVELS, EDGES[k], EDGES[k + 1])
            W[SHARES + band * BINS + k] += count - upper
            W[SHARES + band * BINS + k + 1] += upper
    for k in range(BINS):
        top, middle, bottom = W[SHARES + k], W[SHARES + BINS + k], W[SHARES + 2 * BINS + k]
        out[to + k] = math.sqrt((top + middle + bottom) * _WHOLE)
        out[to + BINS + k] = math.sqrt(top * _OF_TOP)
        out[to + 2 * BINS + k] = math.sqrt(bottom * _OF_BOTTOM)


@kernel()
def relative_luminance(T, W, N, out):
    """Write the histograms of log luminance relative to the picture's own."""
    _count(W, N)
    first = _ranked(W, N, _RANK_0)
    second = _ranked(W, N, _RANK_1)
    _histogram(T, W, N, first, _LOW_0, _SCALE_0, out, OF_REFERENCE)
    _histogram(T, W, N, second, _LOW_1, _SCALE_1, out, OF_REFERENCE + 3 * BINS)


@kernel(fast=True)
def _hue(W, centre, first, last):
    """Sum what is near a hue, and its luminance and saturation. The hue -4 is also 4."""
    amount, light, strength = ZERO, ZERO, ZERO
    for i in range(first, last):
        distance = abs(W[PLACE + i] - centre)
        distance = distance if distance < FOUR else FOUR + FOUR - distance
        weight = ONE - distance
        weight = (weight if weight > ZERO else ZERO) * W[SPREAD + i]
        amount += weight
        light += weight * W[Y + i]
        strength += weight * W[SATURATION + i]
    return amount, light, strength


@kernel()
def _write_hue(out, to, amount, light, strength, share):
    amount *= share
    out[to] = math.sqrt(amount + HUE_FLOOR)
    out[to + 1] = light * share / (amount + LEAST)
    out[to + 2] = strength * share / (amount + LEAST)


@kernel()
def hues(W, out):
    """Write amounts, luminances and saturations of the hues."""
    for hue in range(N_HUES):
        centre = np.float32(hue if hue < N_HUES // 2 else hue - N_HUES)
        a, b, c = _hue(W, centre, 0, MIDDLE * SIDE)
        d, e, f = _hue(W, centre, MIDDLE * SIDE, BOTTOM * SIDE)
        g, h, i = _hue(W, centre, BOTTOM * SIDE, PIXELS)
        to = OF_HUES + hue * 3
        _write_hue(out, to, a + d + g, b + e + h, c + f + i, _WHOLE)
        _write_hue(out, to + 3 * N_HUES, a, b, c, _OF_TOP)
        _write_hue(out, to + 6 * N_HUES, g, h, i, _OF_BOTTOM)
