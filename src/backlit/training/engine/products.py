"""Matrix products of every shape that a dense network needs, made of register tiles.

Three products occur in a layer, with examples contiguous in every operand but the first input:

- forward       ``Z (n, m)       = W (n, n_prev) @ A_prev (n_prev, m) + b``    `product`
- the input's   ``dA (n_prev, m) = W.T @ dZ``                                  `product`
- the weights'  ``dW (n, n_prev) = dZ (n, m) @ A_prev.T``                      `weight_gradient`

Operands that do not fit the first-level cache are copied block by block into a small buffer first
(Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008), so that the
innermost loop reads contiguous memory that stays in the cache.

Every matrix is a view of a flat array: an offset and a distance between rows, in elements. Each
sum runs over its terms in one order, whatever block it falls into, so that neither the number of
threads nor the place of an example in its batch changes a bit.
"""

from typing import Any

import numpy as np

from backlit.training.engine.simd import (
    ONE,
    TILE_ROWS,
    TILE_VECTORS,
    ZERO,
    dot_tile,
    kernel,
    lanes,
    outer_tile,
    read_only,
    transpose_tile,
)

#: terms of a sum that are packed at a time
BLOCK_K = 256
#: rows of the first operand that stay in the L2 cache while the columns go by
BLOCK_ROWS = 160
#: columns that are packed at a time
BLOCK_COLUMNS = 480
#: elements of a thread's buffer: a block of columns, then a block of rows
PACK_SIZE = BLOCK_K * (BLOCK_COLUMNS + BLOCK_ROWS)
#: an operand whose panel spans more elements than this is packed before it is read again and again
UNPACKED_SPAN = 1 << 14
#: a weight gradient of at most so many rows is computed by dot products, without packing
DOT_ROWS = 4

_ROWS_AT = np.int64(BLOCK_K * BLOCK_COLUMNS)
_TILE_ROWS = np.int64(TILE_ROWS)


def _panel(vectors: int, masked: bool) -> Any:
    """Make the loop down the rows of a panel `vectors` vectors wide.

    Row i of S begins at ``s + (i // TILE_ROWS) s_tile + (i % TILE_ROWS) s_row``, so that packed and
    unpacked rows are read by the same loop.
    """

    @kernel()
    def panel(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, valid, start, B, b):
        i = 0
        while i + TILE_ROWS <= M:
            outer_tile(TILE_ROWS, vectors, masked, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v,
                       ldv, K, valid, start, B, b + i)  # fmt: skip
            i += TILE_ROWS
            s += s_tile
        if i + 4 <= M:
            outer_tile(4, vectors, masked, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v, ldv, K,
                       valid, start, B, b + i)  # fmt: skip
            i += 4
            s += 4 * s_row
        if i + 2 <= M:
            outer_tile(2, vectors, masked, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v, ldv, K,
                       valid, start, B, b + i)  # fmt: skip
            i += 2
            s += 2 * s_row
        if i < M:
            outer_tile(1, vectors, masked, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v, ldv, K,
                       valid, start, B, b + i)  # fmt: skip

    return panel


_panel_1, _panel_2, _panel_3 = (_panel(count, False) for count in (1, 2, 3))
_panel_tail = _panel(1, True)


@kernel()
def _panel_width(left):
    """Return how many of `left` vectors the next panel takes, so that all are about as wide."""
    panels = (left + TILE_VECTORS - 1) // TILE_VECTORS
    return (left + panels - 1) // panels


@kernel()
def _run_panel(width, C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, start, B, b):
    if width == 3:
        _panel_3(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, ZERO, start, B, b)
    elif width == 2:
        _panel_2(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, ZERO, start, B, b)
    else:
        _panel_1(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, ZERO, start, B, b)


@kernel()
def _pack_rows(pack, S, s, s_k, M, K):
    """Copy rows that lie side by side (s_row = 1) so that a tile's rows are contiguous for each k."""
    for i0 in range(0, M, TILE_ROWS):
        rows = min(TILE_ROWS, M - i0)
        target = _ROWS_AT + i0 * K
        for k in range(K):
            source = S[s + k * s_k + i0 : s + k * s_k + i0 + rows]
            packed = pack[target + k * TILE_ROWS : target + k * TILE_ROWS + rows]
            for x in range(rows):
                packed[x] = source[x]


@kernel()
def product(C, c, ldc, S, s, s_row, s_k, V, v, ldv, M, N, K, bias, B, b, pack):
    """Compute C (M, N) = S (M, K) @ V (K, N), plus the bias ``B[b + i]`` of each row if `bias`.

    N is a multiple of the vector's lanes. ``S[i, k]`` lies at ``s + i s_row + k s_k``.
    """
    L = lanes(C)
    packed_ro = read_only(pack)
    first = 1 if bias else 0
    if K * ldv <= UNPACKED_SPAN or M <= TILE_ROWS:
        j = 0
        while j < N:
            width = _panel_width((N - j) // L)
            _run_panel(width, C, c + j, ldc, S, s, TILE_ROWS * s_row, s_row, s_k, V, v + j, ldv,
                       M, K, first, B, b)  # fmt: skip
            j += width * L
        return
    for j0 in range(0, N, BLOCK_COLUMNS):
        columns = min(BLOCK_COLUMNS, N - j0)
        for k0 in range(0, K, BLOCK_K):
            depth = min(BLOCK_K, K - k0)
            j = 0
            while j < columns:  # panel after panel, each with its rows close together
                width = _panel_width((columns - j) // L) * L
                for k in range(depth):
                    at = v + (k0 + k) * ldv + j0 + j
                    source = V[at : at + width]
                    packed = pack[j * depth + k * width : j * depth + (k + 1) * width]
                    for x in range(width):
                        packed[x] = source[x]
                j += width
            start = first if k0 == 0 else 2
            for i0 in range(0, M, BLOCK_ROWS):
                rows = min(BLOCK_ROWS, M - i0)
                at = s + i0 * s_row + k0 * s_k
                if s_row == 1:
                    _pack_rows(pack, S, at, s_k, rows, depth)
                j = 0
                while j < columns:
                    width = _panel_width((columns - j) // L)
                    to = c + i0 * ldc + j0 + j
                    if s_row == 1:
                        _run_panel(width, C, to, ldc, packed_ro, _ROWS_AT, TILE_ROWS * depth, ONE,
                                   _TILE_ROWS, packed_ro, j * depth, width * L, rows, depth, start, B,
                                   b + i0)  # fmt: skip
                    else:
                        _run_panel(width, C, to, ldc, S, at, TILE_ROWS * s_row, s_row, s_k, packed_ro,
                                   j * depth, width * L, rows, depth, start, B,
                                   b + i0)  # fmt: skip
                    j += width * L


@kernel()
def gather_columns(T, t, ldt, V, places, p, v, count, columns):
    """Transpose rows into columns: ``T[t + k ldt + j] = V[places[p + j] + v + k]``.

    For j below `count` and k below `columns`. With ``places = order * n_0`` this collects a
    mini-batch, examples contiguous, in one pass over the rows of X.
    """
    L = lanes(T)
    j = 0
    while j + L <= count:
        k = 0
        while k + L <= columns:
            transpose_tile(T, t + k * ldt + j, ldt, V, places, p + j, v + k)
            k += L
        while k < columns:
            for x in range(L):
                T[t + k * ldt + j + x] = V[places[p + j + x] + v + k]
            k += 1
        j += L
    while j < count:
        for k in range(columns):
            T[t + k * ldt + j] = V[places[p + j] + v + k]
        j += 1


@kernel()
def dot_product(C, c, ldc, c_column, S, s, lds, V, places, p, M, N, K, start, B, b):
    """Compute ``C[i, j] = sum_k S[i, k] V[places[p + j] + k]`` along contiguous rows of both.

    ``C[i, j]`` lies at ``c + i ldc + j c_column``. `start` is 0, or 1 to add the bias ``B[b + i]``.
    """
    j = 0
    while j < N:
        wide = N - j >= 4
        i = 0
        while i < M:
            at, to = s + i * lds, c + i * ldc + j * c_column
            if M - i >= 4 and wide:
                dot_tile(4, 4, C, to, ldc, c_column, S, at, lds, V, places, p + j, 0, K, start, B,
                         b + i)  # fmt: skip
                i += 4
            elif wide:
                dot_tile(1, 4, C, to, ldc, c_column, S, at, lds, V, places, p + j, 0, K, start, B,
                         b + i)  # fmt: skip
                i += 1
            elif M - i >= 4:
                dot_tile(4, 1, C, to, ldc, c_column, S, at, lds, V, places, p + j, 0, K, start, B,
                         b + i)  # fmt: skip
                i += 4
            else:
                dot_tile(1, 1, C, to, ldc, c_column, S, at, lds, V, places, p + j, 0, K, start, B,
                         b + i)  # fmt: skip
                i += 1
        j += 4 if wide else 1


@kernel()
def weight_gradient(C, c, ldc, S, s, lds, V, v, places, p, by_rows, M, N, K, add, pack):
    """Compute the weight gradient C (M, N) = S (M, K) @ V, K being the examples.

    Where the examples are V's rows (`by_rows`: the first layer, straight from the rows of X),
    ``V[k, j]`` lies at ``places[p + k] + v + j``. Else (later layers, examples contiguous) it lies
    at ``places[p + j] + k``. With `add`, it is added to what C holds.
    """
    L = lanes(C)
    packed_ro = read_only(pack)
    first = 2 if add else 0
    if not by_rows and M <= DOT_ROWS:
        dot_product(C, c, ldc, ONE, S, s, lds, V, places, p, M, N, K, first, S, ZERO)
        return
    for j0 in range(0, N, BLOCK_COLUMNS):
        columns = min(BLOCK_COLUMNS, N - j0)
        vectors = (columns + L - 1) // L
        padded = vectors * L
        for k0 in range(0, K, BLOCK_K):
            depth = min(BLOCK_K, K - k0)
            if by_rows:
                for k in range(depth):
                    at = places[p + k0 + k] + v + j0
                    source = V[at : at + columns]
                    packed = pack[k * padded : (k + 1) * padded]
                    for x in range(columns):
                        packed[x] = source[x]
                    for x in range(columns, padded):
                        packed[x] = 0
            else:
                gather_columns(pack, ZERO, padded, V, places, p + j0, k0, columns, depth)
                for k in range(depth):
                    for x in range(columns, padded):
                        pack[k * padded + x] = 0
            start = first if k0 == 0 else 2
            whole = columns // L
            j = 0
            while j < whole:
                width = _panel_width(whole - j)
                _run_panel(width, C, c + j0 + j * L, ldc, S, s + k0, TILE_ROWS * lds, lds, ONE,
                           packed_ro, j * L, padded, M, depth, start, S, ZERO)  # fmt: skip
                j += width
            if whole < vectors:
                _panel_tail(C, c + j0 + whole * L, ldc, S, s + k0, TILE_ROWS * lds, lds, ONE,
                            packed_ro, whole * L, padded, M, depth, columns - whole * L, start, S,
                            ZERO)  # fmt: skip
