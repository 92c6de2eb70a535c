"""Likeness of patches to the dictionary's: see ``photos.patches``.

No patch is cut out. The roots lie by phases: pixel (4 i + a, 4 j + b) of a colour at block (i, j)
of phase (a, b). The pixel (dy, dx) of all patches then is one run of memory, ``dy // 4`` rows and
``dx // 4`` blocks further on, so that both products run over patches side by side:

    P (60, patches) = directions.T (60, 192) @ pixels (192, patches) - offset
    D (200, patches) = -2 entries (200, 60) @ P + |p|^2 + |e|^2

The last block of each row begins no patch; it is computed all the same, and left out of the sums.
"""

import math

import numpy as np

from backlit.photos.compiled.pixels import ZERO
from backlit.photos.compiled.places import (
    BLOCKS,
    DIMENSIONS,
    DIRECTIONS,
    DISTANCE,
    ENTRIES,
    ENTRIES_AT,
    LENGTHS,
    MEAN,
    OFFSET,
    PATCH_ROWS,
    PHASES,
    PITCH,
    PROJECTED,
    ROOTS,
    STRIP,
    SUMS,
)
from backlit.photos.compiled.statistics import N_HUES, OF_HUES
from backlit.training.engine.simd import TILE_ROWS, TILE_VECTORS, kernel, lanes, outer_tile

OF_PATCHES = OF_HUES + 9 * N_HUES
_LEAST = np.float32(1e-6)
_SHARE = np.float32(1 / ENTRIES)
_UPPER = PATCH_ROWS // 2
_OF_UPPER = np.float32(1 / (_UPPER * PATCH_ROWS))
_OF_LOWER = np.float32(1 / ((PATCH_ROWS - _UPPER) * PATCH_ROWS))
_ROWS_A_STRIP = STRIP // BLOCKS
_WHOLE_TILES = DIMENSIONS - DIMENSIONS % TILE_ROWS


@kernel()
def _project(T, W, strip):
    width = TILE_VECTORS * lanes(W)
    for quarter in range(4):
        block = DIRECTIONS + quarter * PHASES * DIMENSIONS
        pixels = ROOTS + quarter // 2 * BLOCKS + quarter % 2 + strip * STRIP
        start = 1 if quarter == 0 else 2
        for j in range(0, STRIP, width):
            for i in range(0, _WHOLE_TILES, TILE_ROWS):
                outer_tile(TILE_ROWS, TILE_VECTORS, W, PROJECTED + i * STRIP + j, STRIP, T,
                           block + i, 1, DIMENSIONS, W, pixels + j, PITCH, PHASES, start, T,
                           OFFSET + i)  # fmt: skip
            for i in range(_WHOLE_TILES, DIMENSIONS, 4):
                outer_tile(4, TILE_VECTORS, W, PROJECTED + i * STRIP + j, STRIP, T, block + i, 1,
                           DIMENSIONS, W, pixels + j, PITCH, PHASES, start, T,
                           OFFSET + i)  # fmt: skip


@kernel(fast={"contract"})
def _lengths(W):
    to = PROJECTED + DIMENSIONS * STRIP
    for x in range(STRIP):
        W[to + x] = ZERO
    for d in range(DIMENSIONS):
        for x in range(STRIP):
            value = W[PROJECTED + d * STRIP + x]
            W[to + x] += value * value


@kernel()
def _compare(T, W):
    width = TILE_VECTORS * lanes(W)
    for j in range(0, STRIP, width):
        for i in range(0, ENTRIES, TILE_ROWS):
            outer_tile(TILE_ROWS, TILE_VECTORS, W, DISTANCE + i * STRIP + j, STRIP, T,
                       ENTRIES_AT + i, 1, ENTRIES, W, PROJECTED + j, STRIP, DIMENSIONS + 1, 1, T,
                       LENGTHS + i)  # fmt: skip


@kernel()
def _activate(W, strip):
    for x in range(STRIP):
        W[MEAN + x] = ZERO
    for k in range(ENTRIES):
        for x in range(STRIP):
            squared = W[DISTANCE + k * STRIP + x]
            distance = math.sqrt(squared if squared > _LEAST else _LEAST)
            W[DISTANCE + k * STRIP + x] = distance
            W[MEAN + x] += distance
    for x in range(STRIP):
        W[MEAN + x] *= _SHARE
    for row in range(_ROWS_A_STRIP):
        lower = strip * _ROWS_A_STRIP + row >= _UPPER
        to = SUMS + (ENTRIES * BLOCKS if lower else 0)
        at = row * BLOCKS
        for k in range(ENTRIES):
            for x in range(BLOCKS):
                nearer = W[MEAN + at + x] - W[DISTANCE + k * STRIP + at + x]
                W[to + k * BLOCKS + x] += nearer if nearer > ZERO else ZERO


@kernel()
def patch_activations(T, W, out):
    """Write the activations, averaged over each half."""
    for x in range(2 * ENTRIES * BLOCKS):
        W[SUMS + x] = ZERO
    for strip in range(PATCH_ROWS // _ROWS_A_STRIP):
        _project(T, W, strip)
        _lengths(W)
        _compare(T, W)
        _activate(W, strip)
    for k in range(2 * ENTRIES):
        total = ZERO
        for x in range(PATCH_ROWS):
            total += W[SUMS + k * BLOCKS + x]
        out[OF_PATCHES + k] = total * (_OF_UPPER if k < ENTRIES else _OF_LOWER)
