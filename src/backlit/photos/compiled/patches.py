"""Likeness of patches to the dictionary's: see ``photos.patches``.

No patch is cut out. The roots lie by phases: pixel (4 i + a, 4 j + b) of a colour at block (i, j)
of phase (a, b). The pixel (dy, dx) of all patches then is one run of memory, ``dy // 4`` rows and
``dx // 4`` blocks further on, so that all steps run over patches side by side: the cosine transform
across, of each row of pixels; the one downwards, of the coefficients that are wanted, less those of
the mean patch; and the distances

    D (128, patches) = -2 entries (128, 48) @ P + |p|^2 + |e|^2

The last block of each row begins no patch; it is computed all the same, and left out of the sums.
"""

import math

import numpy as np

from backlit.photos.compiled.pixels import ZERO
from backlit.photos.compiled.places import (
    ACROSS,
    BLOCK,
    BLOCKS,
    COEFFICIENTS,
    DISTANCE,
    DOWN,
    ENTRIES,
    ENTRIES_AT,
    LENGTHS,
    MEAN,
    OFFSET,
    PATCH_ROWS,
    PATCH_SIDE,
    PITCH,
    PROJECTED,
    ROOTS,
    STRIP,
    SUMS,
    WAVE,
    WAVES,
)
from backlit.photos.compiled.statistics import N_HUES, OF_HUES
from backlit.training.engine.simd import (
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    lanes,
    outer_tile,
)
from backlit.training.machine_code.kernels import kernel

OF_PATCHES = OF_HUES + 9 * N_HUES
_LEAST = np.float32(1e-6)
_SHARE = np.float32(1 / ENTRIES)
_UPPER = PATCH_ROWS // 2
_OF_UPPER = np.float32(1 / (_UPPER * PATCH_ROWS))
_OF_LOWER = np.float32(1 / ((PATCH_ROWS - _UPPER) * PATCH_ROWS))
_ROWS_A_STRIP = STRIP // BLOCKS
_ROW_VECTORS = 2 if VECTOR_BYTES == 64 else 1  # vectors of a tile of 8 rows, all in registers
_COLUMN_VECTORS = 8


@kernel()
def _project(T, W):
    """Write the coefficients of all patches, and their squared lengths."""
    width = _ROW_VECTORS * lanes(W)
    for phase in range(3 * BLOCK):  # a colour, and a row of a block
        colour, row = phase // BLOCK, phase % BLOCK
        left = ROOTS + phase * BLOCK * PITCH
        to = WAVES + (colour * PATCH_SIDE * BLOCK + row) * PITCH
        for j in range(0, BLOCKS * BLOCKS, width):
            for half in range(2):  # of a patch's columns: the second lies a block further on
                outer_tile(PATCH_SIDE, _ROW_VECTORS, W, to + j, BLOCK * PITCH, T,
                           ACROSS + half * BLOCK, PATCH_SIDE, 1, W, left + half + j, PITCH, BLOCK,
                           2 * half, T, ACROSS)  # fmt: skip
    width = _COLUMN_VECTORS * lanes(W)
    for d in range(COEFFICIENTS):
        wave = WAVES + np.int64(T[WAVE + d]) * BLOCK * PITCH
        for j in range(0, BLOCKS * BLOCKS, width):
            for half in range(2):
                outer_tile(1, _COLUMN_VECTORS, W, PROJECTED + d * PITCH + j, PITCH, T,
                           DOWN + d * PATCH_SIDE + half * BLOCK, PATCH_SIDE, 1, W,
                           wave + half * BLOCKS + j, PITCH, BLOCK, 1 + half, T,
                           OFFSET + d)  # fmt: skip
    to = PROJECTED + COEFFICIENTS * PITCH
    for x in range(BLOCKS * BLOCKS):
        W[to + x] = ZERO
    for d in range(COEFFICIENTS):
        for x in range(BLOCKS * BLOCKS):
            value = W[PROJECTED + d * PITCH + x]
            W[to + x] += value * value


@kernel()
def _compare(T, W, strip):
    width = TILE_VECTORS * lanes(W)
    for j in range(0, STRIP, width):
        for i in range(0, ENTRIES, TILE_ROWS):
            outer_tile(TILE_ROWS, TILE_VECTORS, W, DISTANCE + i * STRIP + j, STRIP, T,
                       ENTRIES_AT + i, 1, ENTRIES, W, PROJECTED + strip * STRIP + j, PITCH,
                       COEFFICIENTS + 1, 1, T, LENGTHS + i)  # fmt: skip


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
    _project(T, W)
    for strip in range(PATCH_ROWS // _ROWS_A_STRIP):
        _compare(T, W, strip)
        _activate(W, strip)
    for k in range(2 * ENTRIES):
        total = ZERO
        for x in range(PATCH_ROWS):
            total += W[SUMS + k * BLOCKS + x]
        out[OF_PATCHES + k] = total * (_OF_UPPER if k < ENTRIES else _OF_LOWER)
