"""What is computed of every pixel: see ``photos.pixels``, ``rank_statistics`` and ``hues``.

The operations and their order are those of the NumPy functions wherever a rounding could decide
about a rank or a bin.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from backlit.photos.compiled.places import (
    BLOCK,
    BLOCKS,
    BLUE_GREEN,
    CODES,
    COLOURS,
    COLUMNS,
    CONTRAST,
    GRADIENT,
    LOG_Y,
    MIXED,
    PITCH,
    PIXELS,
    PLACE,
    RED_GREEN,
    ROOTS,
    SATURATION,
    SIDE,
    SPREAD,
    TO_4,
    TO_8,
    Y,
)
from backlit.photos.pixels import BLUE, DARK, GREEN, RED
from backlit.training.machine_code.kernels import kernel

ZERO, HALF, ONE, TWO, FOUR = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0, 4.0))
_UNIT, _QUARTER, _SOFT = np.float32(1 / 255), np.float32(0.25), np.float32(0.05)
_ROOT_3, _TINY = np.float32(np.sqrt(3)), np.float32(1e-30)
_LN_2 = np.float32(np.log(2))
_THIRD, _FIFTH, _SEVENTH, _NINTH = (np.float32(1 / n) for n in (3, 5, 7, 9))
# 4 / pi atan(t) / t in powers of t^2, 0 <= t <= 1; Chebyshev's points, to 3e-9
_ATAN = tuple(
    np.float32(c)
    for c in (
        1.2732395416106583,
        -0.4244125317446462,
        0.25462538076032576,
        -0.18158399579623336,
        0.13929493948312946,
        -0.10659642885682712,
        0.07316487416425924,
        -0.03911074698226053,
        0.013599114326346223,
        -0.002220149241643993,
    )
)
_A0, _A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8, _A9 = _ATAN


@intrinsic
def bits_of(typing_context: Any, value: Any) -> Any:
    """Return a float32's bits as a whole number."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def float_of(typing_context: Any, bits: Any) -> Any:
    """Return the float32 that has these bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.trunc(args[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), codegen


@kernel(fast={"contract"})
def log(x):
    """Return log(x) of a normal positive float32, to 1 unit in the last place or so.

    ``x = 2^e u`` with u in [0.71, 1.42], and ``log u = 2 atanh(s)``, ``s = (u - 1) / (u + 1)``.
    """
    bits = np.int64(bits_of(x))
    e = (bits - 0x3F3504F3) >> 23
    u = float_of(bits - (e << 23))
    s = (u - ONE) / (u + ONE)
    z = s * s
    series = ONE + z * (_THIRD + z * (_FIFTH + z * (_SEVENTH + z * _NINTH)))
    return np.float32(e) * _LN_2 + TWO * s * series


@kernel()
def describe(codes, W):
    """Write luminance, spread, saturation: bit by bit what NumPy gives, unlike `angles`."""
    for i in range(PIXELS):
        red = np.float32(codes[3 * i]) * _UNIT
        green = np.float32(codes[3 * i + 1]) * _UNIT
        blue = np.float32(codes[3 * i + 2]) * _UNIT
        W[Y + i] = red * RED + green * GREEN + blue * BLUE
        high = red if red > green else green
        high = high if high > blue else blue
        low = red if red < green else green
        low = low if low < blue else blue
        W[SPREAD + i] = high - low
        W[SATURATION + i] = (high - low) / (high + _SOFT)


@kernel(fast={"contract"})
def angles(codes, W):
    """Write the hue's place on the circle, -4 to 4, and the logarithm of the luminance."""
    for i in range(PIXELS):
        red = np.float32(codes[3 * i]) * _UNIT
        green = np.float32(codes[3 * i + 1]) * _UNIT
        blue = np.float32(codes[3 * i + 2]) * _UNIT
        x, y = TWO * red - green - blue, _ROOT_3 * (green - blue)
        a, b = abs(x), abs(y)
        high = a if a > b else b
        low = a if a < b else b
        t = low / (high if high > _TINY else _TINY)
        z = t * t
        p = _A5 + z * (_A6 + z * (_A7 + z * (_A8 + z * _A9)))
        p = t * (_A0 + z * (_A1 + z * (_A2 + z * (_A3 + z * (_A4 + z * p)))))
        p = TWO - p if b > a else p
        p = FOUR - p if x < ZERO else p
        W[PLACE + i] = -p if y < ZERO else p
    for i in range(PIXELS):
        W[LOG_Y + i] = log(W[Y + i] + DARK)


@kernel(fast={"contract"})
def ratios_and_roots(codes, T, W, N):
    """Write the colours' log ratios, their mixed roots by blocks, and the ranking codes."""
    for i in range(PIXELS):
        red = np.float32(codes[3 * i]) * _UNIT
        green = np.float32(codes[3 * i + 1]) * _UNIT
        blue = np.float32(codes[3 * i + 2]) * _UNIT
        of_green = log(green + DARK)
        W[RED_GREEN + i] = log(red + DARK) - of_green
        W[BLUE_GREEN + i] = log(blue + DARK) - of_green
        of_red, of_blue = math.sqrt(red), math.sqrt(blue)
        of_green = math.sqrt(green)
        for colour in range(3):
            share = COLOURS + 3 * colour
            W[MIXED + colour * PIXELS + i] = (
                T[share] * of_red + T[share + 1] * of_green + T[share + 2] * of_blue
            )
    for i in range(PIXELS):
        red, green, blue = codes[3 * i], codes[3 * i + 1], codes[3 * i + 2]
        high = red if red > green else green
        N[CODES + i] = high if high > blue else blue
    for line in range(3 * SIDE):  # a row of a colour
        colour, row = line // SIDE, line % SIDE
        to = ROOTS + (colour * BLOCK + row % BLOCK) * BLOCK * PITCH + row // BLOCK * BLOCKS
        for column in range(BLOCK):
            for block in range(BLOCKS):
                W[to + column * PITCH + block] = W[MIXED + line * SIDE + block * BLOCK + column]


@kernel()
def _contrast(W, i, above, below, left, right):
    total = W[Y + above] + W[Y + below]
    total += W[Y + left]
    total += W[Y + right]
    W[CONTRAST + i] = abs(W[Y + i] - total * _QUARTER) * (ONE / (W[Y + i] + _SOFT))


@kernel()
def neighbours(W):
    """Write the contrast to the four neighbours and the gradient."""
    for row in range(SIDE):
        first = row * SIDE
        up = -SIDE if row > 0 else 0
        down = SIDE if row < SIDE - 1 else 0
        for i in range(first + 1, first + SIDE - 1):
            _contrast(W, i, i + up, i + down, i - 1, i + 1)
        last = first + SIDE - 1
        _contrast(W, first, first + up, first + down, first, first + 1)
        _contrast(W, last, last + up, last + down, last - 1, last)
        W[GRADIENT + first] = abs(W[Y + first] - W[Y + first + up]) * (ONE / (W[Y + first] + _SOFT))
        for i in range(first + 1, first + SIDE):
            steps = abs(W[Y + i] - W[Y + i + up]) + abs(W[Y + i] - W[Y + i - 1])
            W[GRADIENT + i] = steps * (ONE / (W[Y + i] + _SOFT))


@kernel(fast=True)
def _surroundings(W, to, side):
    share = ONE / np.float32(side * side)
    for top in range(0, SIDE, side):
        for x in range(SIDE):
            W[COLUMNS + x] = ZERO
        for row in range(top, top + side):
            for x in range(SIDE):
                W[COLUMNS + x] += W[Y + row * SIDE + x]
        for left in range(0, SIDE, side):
            total = ZERO
            for x in range(side):
                total += W[COLUMNS + left + x]
            level = log(total * share + DARK)
            for x in range(left, left + side):
                W[COLUMNS + SIDE + x] = level
        for row in range(top, top + side):
            for x in range(SIDE):
                i = row * SIDE + x
                W[to + i] = W[LOG_Y + i] - W[COLUMNS + SIDE + x]


@kernel()
def surroundings(W):
    """Write the contrasts of log luminance to the means of blocks."""
    _surroundings(W, TO_8, 8)
    _surroundings(W, TO_4, 4)
