"""A picture reduced to a square by averaging areas: bit by bit what Pillow's box filter gives.

Pillow averages along the rows first, rounds to whole numbers, and then down the columns; since
version 13 the other way round where a picture loses more than twice as much height as width. All
the pixels that an average is of weigh the same: ``2^22 / count``, rounded.
"""

import numpy as np

from backlit.photos.compiled.places import SIDE, WEIGHT_BITS
from backlit.training.machine_code.kernels import kernel

_BITS = WEIGHT_BITS
_HALF = np.int32(1 << (_BITS - 1))
_COUNT, _WEIGHT = SIDE, 2 * SIDE


@kernel()
def _along(rows, columns, pixels, taps, out):
    """Average along each row: (rows, columns, 3) to (rows, SIDE, 3)."""
    for row in range(rows):
        for x in range(SIDE):
            at = 3 * (row * columns + np.int64(taps[x]))
            count, weight = taps[_COUNT + x], taps[_WEIGHT + x]
            red, green, blue = (
                np.int32(pixels[at]),
                np.int32(pixels[at + 1]),
                np.int32(pixels[at + 2]),
            )
            if count == 2:  # as it mostly is
                red = np.int32(red + pixels[at + 3])
                green = np.int32(green + pixels[at + 4])
                blue = np.int32(blue + pixels[at + 5])
            else:
                for t in range(at + 3, at + 3 * count, 3):
                    red = np.int32(red + pixels[t])
                    green = np.int32(green + pixels[t + 1])
                    blue = np.int32(blue + pixels[t + 2])
            to = 3 * (row * SIDE + x)
            out[to] = np.int32(red * weight + _HALF) >> _BITS
            out[to + 1] = np.int32(green * weight + _HALF) >> _BITS
            out[to + 2] = np.int32(blue * weight + _HALF) >> _BITS


@kernel()
def _down(columns, pixels, taps, sums, out):
    """Average down each column: (rows, columns, 3) to (SIDE, columns, 3)."""
    length = 3 * columns
    for y in range(SIDE):
        at, count, weight = np.int64(taps[y]) * length, taps[_COUNT + y], taps[_WEIGHT + y]
        for c in range(length):
            sums[c] = np.int32(pixels[at + c])
        for t in range(1, count):
            for c in range(length):
                sums[c] += np.int32(pixels[at + t * length + c])
        for c in range(length):
            out[y * length + c] = np.int32(sums[c] * weight + _HALF) >> _BITS


@kernel()
def reduce(down_first, rows, columns, pixels, across, down, between, sums, out):
    """Write the square of a picture (rows, columns, 3).

    `between` has room for (rows, SIDE, 3) and for (SIDE, columns, 3), `sums` for a row of either.
    """
    if down_first:
        _down(columns, pixels, down, sums, between)
        _along(SIDE, columns, between, across, out)
    else:
        _along(rows, columns, pixels, across, between)
        _down(SIDE, between, down, sums, out)
