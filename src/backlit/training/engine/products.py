"""Matrix products of every shape that a dense network needs, made of register tiles.

Three products occur in a layer, with examples contiguous in every operand but the first input:

- forward       ``Z (n, m)       = W (n, n_prev) @ A_prev (n_prev, m) + b``    `product`
- the input's   ``dA (n_prev, m) = W.T @ dZ``                                  `product`
- the weights'  ``dW (n, n_prev) = dZ (n, m) @ A_prev.T``                      `weight_gradient`

Operands that do not fit the first-level cache are copied block by block into a small buffer first
(Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008), so that the
innermost loop reads contiguous memory that stays in the cache.

The public functions are compiled on their own (`units`), so that their many tiles are compiled
once; `table` holds their addresses.

Every matrix is a pointer, an offset and a distance between rows, in elements. Each
sum runs over its terms in one order, whatever block it falls into, so that neither the number of
threads nor the place of an example in its batch changes a bit.
"""

from typing import Any

from backlit.training.engine import calls
from backlit.training.engine.codes import (
    BLOCK_COLUMNS,
    BLOCK_K,
    BLOCK_ROWS,
    DIRECT_COLUMNS,
    DOT_BLOCK,
    EDGE_AT,
    ROW_PAD,
    ROWS_AT,
    UNPACKED_SPAN,
)
from backlit.training.engine.simd import (
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    dot_tile,
    gathered_tile,
    lanes,
    outer_tile,
    prefetch,
    shifted,
    transpose_tile,
)
from backlit.training.machine_code.kernels import kernel

#: terms that are asked for ahead of their turn where memory is read across its rows
AHEAD = 16
#: rows of X that are asked for ahead of their turn
ROWS_AHEAD = 8
#: terms from which on it pays to ask for the next tile's place
PREFETCH_K = 64
#: bytes of the rows that `dot_product` reads over and over, and of those that stream by: more than
#: the first-level cache holds, since shorter parts interrupt the sums more often
_DOT_BYTES = 108 << 10


def _rows_of_tiles(vectors: int) -> Any:
    """Make the loop down the rows of a panel `vectors` vectors wide."""

    @kernel()
    def rows_of_tiles(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, start, B, b):
        i = 0
        while i + TILE_ROWS <= M:
            if K >= PREFETCH_K:  # the next tile's place is far away, and this one's takes a while
                for x in range(i + TILE_ROWS, i + 2 * TILE_ROWS):
                    for y in range(vectors):
                        prefetch(C, c + x * ldc + y * lanes(C))
            outer_tile(TILE_ROWS, vectors, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v, ldv, K,
                       start, B, b + i)  # fmt: skip
            i += TILE_ROWS
            s += s_tile
        if i + 4 <= M:
            outer_tile(4, vectors, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v, ldv, K, start, B,
                       b + i)  # fmt: skip
            i += 4
            s += 4 * s_row
        if i + 2 <= M:
            outer_tile(2, vectors, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v, ldv, K, start, B,
                       b + i)  # fmt: skip
            i += 2
            s += 2 * s_row
        if i < M:
            outer_tile(1, vectors, C, c + i * ldc, ldc, S, s, s_row, s_k, V, v, ldv, K, start, B,
                       b + i)  # fmt: skip

    return rows_of_tiles


_one_vector, _two_vectors, _three_vectors = (_rows_of_tiles(count) for count in (1, 2, 3))


def panel(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, vectors, K, start, B, b):
    """Compute a panel of C = S V + start: M rows, `vectors` vectors wide.

    Row i of S begins at ``s + (i // TILE_ROWS) s_tile + (i % TILE_ROWS) s_row``, so that packed and
    unpacked rows are read by the same loop.
    """
    if vectors == 3:
        _three_vectors(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, start, B, b)
    elif vectors == 2:
        _two_vectors(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, start, B, b)
    else:
        _one_vector(C, c, ldc, S, s, s_tile, s_row, s_k, V, v, ldv, M, K, start, B, b)


@kernel()
def _panel_width(left):
    """Return how many of `left` vectors the next panel takes, so that all are about as wide."""
    panels = (left + TILE_VECTORS - 1) // TILE_VECTORS
    return (left + panels - 1) // panels


@kernel()
def _block(n, most, unit):
    """Return how long blocks of n are, so that all are about as long: a multiple of `unit`."""
    blocks = (n + most - 1) // most
    return ((n + blocks - 1) // blocks + unit - 1) // unit * unit


@kernel()
def _pack_columns(pack, S, s, s_k, M, K):
    """Copy rows that lie side by side (s_row = 1), those of a tile contiguous for each k."""
    whole = M - M % TILE_ROWS
    for k in range(K):
        at, to = s + k * s_k, ROWS_AT + k * TILE_ROWS
        for i0 in range(0, M, lanes(pack)):
            prefetch(S, at + AHEAD * s_k + i0)
        for i0 in range(0, whole, TILE_ROWS):
            for x in range(TILE_ROWS):
                pack[to + x] = S[at + i0 + x]
            to += K * TILE_ROWS + ROW_PAD
        for x in range(M - whole):
            pack[to + x] = S[at + whole + x]


@kernel()
def _copy_rows(T, t, ldt, S, s, lds, rows, count):
    for i in range(rows):
        for x in range(count):
            T[t + i * ldt + x] = S[s + i * lds + x]


def packed_product(
    table, C, c, ldc, S, s, s_row, s_k, M, N, K, start, B, b, pack, optimizer, P, F, G, numbers
):
    """Compute C (M, N) = S (M, K) @ V + start, V being packed in `pack`, panel after panel.

    The arguments are those of `panel`. At most BLOCK_K terms and BLOCK_COLUMNS columns. With an
    `optimizer` (not -1) C is a finished gradient, and the parameters P are updated, with the
    moments F and G, while it is still in the cache; see `updates.update`.
    """
    L = lanes(C)
    vectors = (N + L - 1) // L
    block = _block(M, BLOCK_ROWS, TILE_ROWS)
    for i0 in range(0, M, block):
        rows = min(block, M - i0)
        at, source = s + i0 * s_row, S
        tile, row, step = TILE_ROWS * s_row, s_row, s_k
        if s_row == 1 and vectors > 1:
            _pack_columns(pack, S, at, s_k, rows, K)
            at, source = ROWS_AT, pack
            tile, row, step = TILE_ROWS * K + ROW_PAD, 1, TILE_ROWS
        j = 0
        while j < vectors:
            width = _panel_width(vectors - j)
            left, to = N - j * L, c + i0 * ldc + j * L
            if left >= width * L:
                calls.panel(table, C, to, ldc, source, at, tile, row, step, pack, j * L * K,
                            width * L, rows, width, K, start, B, b + i0)  # fmt: skip
            else:  # the last columns are no whole vector: by way of a panel that is
                if start == 2:
                    _copy_rows(pack, EDGE_AT, width * L, C, to, ldc, rows, left)
                calls.panel(table, pack, EDGE_AT, width * L, source, at, tile, row, step, pack,
                            j * L * K, width * L, rows, width, K, start, B, b + i0)  # fmt: skip
                _copy_rows(C, to, ldc, pack, EDGE_AT, width * L, rows, left)
            j += width
        if optimizer >= 0:
            runs, length = (1, rows * N) if ldc == N else (rows, N)
            for i in range(runs):
                to = c + (i0 + i) * ldc
                calls.update(table, optimizer, shifted(P, to), shifted(C, to), shifted(F, to),
                             shifted(G, to), length, numbers)  # fmt: skip


def product(table, C, c, ldc, S, s, s_row, s_k, V, v, ldv, M, N, K, bias, B, b, pack):
    """Compute C (M, N) = S (M, K) @ V (K, N), plus the bias ``B[b + i]`` of each row if `bias`.

    N is a multiple of the vector's lanes. ``S[i, k]`` lies at ``s + i s_row + k s_k``.
    """
    L = lanes(C)
    first = 1 if bias else 0
    if K * ldv <= UNPACKED_SPAN or M <= TILE_ROWS:
        j = 0
        while j < N:
            width = _panel_width((N - j) // L)
            calls.panel(table, C, c + j, ldc, S, s, TILE_ROWS * s_row, s_row, s_k, V, v + j, ldv, M,
                        width, K, first, B, b)  # fmt: skip
            j += width * L
        return
    width_of_block, depth_of_block = _block(N, BLOCK_COLUMNS, L), _block(K, BLOCK_K, 1)
    for j0 in range(0, N, width_of_block):
        columns = min(width_of_block, N - j0)
        for k0 in range(0, K, depth_of_block):
            depth = min(depth_of_block, K - k0)
            for k in range(depth):
                at = v + (k0 + k) * ldv + j0
                j = 0
                while j < columns:  # panel after panel, each with its rows close together
                    width = _panel_width((columns - j) // L) * L
                    to = j * depth + k * width
                    for x in range(j, j + width):
                        pack[to + x - j] = V[at + x]
                    j += width
            calls.packed_product(table, table, C, c + j0, ldc, S, s + k0 * s_k, s_row, s_k, M,
                                 columns, depth, first if k0 == 0 else 2, B, b, pack, -1, C, C, C,
                                 C)  # fmt: skip


def gather_columns(T, t, ldt, V, places, p, v, count, columns):
    """Transpose rows into columns: ``T[t + k ldt + j] = V[places[p + j] + v + k]``.

    For j below `count` and k below `columns`. With ``places = order * n_0`` this collects a
    mini-batch, examples contiguous, in one pass over the rows of X. Whole vectors are written:
    `places` goes on to the next multiple of the lanes, and so does a row of T.
    """
    L = lanes(T)
    for j in range(0, count, L):
        k = 0
        while k + L <= columns:
            transpose_tile(T, t + k * ldt + j, ldt, V, places, p + j, v + k)
            k += L
        if k < columns and columns >= L:  # once more, over some of the same columns
            k = columns - L
            transpose_tile(T, t + k * ldt + j, ldt, V, places, p + j, v + k)
        elif k < columns:
            for x in range(L):
                at = places[p + j + x] + v
                for k in range(columns):
                    T[t + k * ldt + j + x] = V[at + k]


@kernel()
def dot_part(C, M):
    """Return how many terms of M rows `dot_product` best takes at a time."""
    L = lanes(C)
    return max(1, _DOT_BYTES // VECTOR_BYTES // (M + 8)) * L


@kernel()
def _prefetch_schedule(L, rows, K, tiles, turns):
    """Return the stride between prefetches, the prefetches of a tile, and those of a row.

    `rows` rows of K elements are prefetched, in `tiles` tiles of `turns` turns each.
    """
    a_tile = max(turns, 1)
    lines = (K + L - 1) // L
    apart = max((rows * lines + tiles * a_tile - 1) // (tiles * a_tile), 1)
    return apart * L, a_tile, (lines + apart - 1) // apart


@kernel()
def _dot_columns(C, c, ldc, c_column, S, s, lds, V, places, p, M, columns, others, at, K, part, T,
                 t, start, B, b):  # fmt: skip
    """Compute M rows of `columns` columns, four or one, of `dot_product`, or a part of their sums.

    Meanwhile the next `others` columns are asked for, a share with each tile: the processor does
    not see rows coming that lie far apart, and cannot wait for all of one at once.
    """
    L = lanes(C)
    tiles = M // 4 + M % 4
    step, a_tile, a_row = _prefetch_schedule(L, others, K, tiles, K // L)
    i = tile = 0
    while i < M:
        first, last = at, at + K
        row, ahead = columns + tile * a_tile // a_row, at + tile * a_tile % a_row * step
        if (tile + 1) * a_tile > others * a_row:  # all has been asked for
            row, ahead = 0, at
        tile += 1
        high = M - i >= 4
        if high and columns == 4:
            dot_tile(4, 4, C, c, ldc, c_column, S, s, lds, V, places, p, at, K, part, T, t, start,
                     B, b + i, row, ahead, step, first, last)  # fmt: skip
        elif columns == 4:
            dot_tile(1, 4, C, c, ldc, c_column, S, s, lds, V, places, p, at, K, part, T, t, start,
                     B, b + i, row, ahead, step, first, last)  # fmt: skip
        elif high:
            dot_tile(4, 1, C, c, ldc, c_column, S, s, lds, V, places, p, at, K, part, T, t, start,
                     B, b + i, row, ahead, step, first, last)  # fmt: skip
        else:
            dot_tile(1, 1, C, c, ldc, c_column, S, s, lds, V, places, p, at, K, part, T, t, start,
                     B, b + i, row, ahead, step, first, last)  # fmt: skip
        rows = 4 if high else 1
        c += rows * ldc
        s += rows * lds
        t += rows * columns * L
        i += rows


def dot_product(C, c, ldc, c_column, S, s, lds, V, places, p, M, N, K, K_part, apart, start, B, b,
                T):  # fmt: skip
    """Compute ``C[i, j] = sum_k S[i, k] V[places[p + j] + k]`` along contiguous rows of both.

    ``C[i, j]`` lies at ``c + i ldc + j c_column``. `start` is 0, 1 to add the bias ``B[b + i]``, 2
    to add to what C holds. The sums are computed in parts of `K_part` terms, whole vectors, which
    begin `apart` elements after each other in the rows; T has room for `DOT_BLOCK` ** 2 vectors.
    Parts of `dot_part` terms stay in the nearest caches while the columns pass.
    """
    L = lanes(C)
    parts = (K + K_part - 1) // K_part
    for i in range(0, M, DOT_BLOCK):
        rows = min(DOT_BLOCK, M - i)
        for first in range(0, N, DOT_BLOCK):
            last = min(first + DOT_BLOCK, N)
            for part in range(parts):
                count = min(K_part, K - part * K_part)
                state = (1 if part > 0 else 0) + (2 if part + 1 < parts else 0)
                j = first
                while j < last:
                    columns = 4 if last - j >= 4 else 1
                    others = min(4, last - j - columns) if parts > 1 else 0
                    _dot_columns(C, c + i * ldc + j * c_column, ldc, c_column, S, s + i * lds, lds,
                                 V, places, p + j, rows, columns, others, part * apart, count,
                                 state, T, (j - first) * rows * L, start, B, b + i)  # fmt: skip
                    j += columns


def weight_gradient(
    table, C, c, ldc, S, s, lds, V, v, places, p, by_rows, M, N, K, add, pack, optimizer, P, F, G,
    numbers,
):  # fmt: skip
    """Compute the weight gradient C (M, N) = S (M, K) @ V, K being the examples.

    Where the examples are V's rows (`by_rows`: the first layer, straight from the rows of X),
    ``V[k, j]`` lies at ``places[p + k] + v + j``. Else (later layers, examples contiguous) it lies
    at ``places[p + j] + k``. With `add`, it is added to what C holds. With an `optimizer` the
    parameters are updated, too; see `packed_product`.
    """
    L = lanes(C)
    first = 2 if add else 0
    width_of_block, depth_of_block = _block(N, BLOCK_COLUMNS, L), _block(K, BLOCK_K, 1)
    for j0 in range(0, N, width_of_block):
        columns = min(width_of_block, N - j0)
        vectors = (columns + L - 1) // L
        for k0 in range(0, K, depth_of_block):
            depth = min(depth_of_block, K - k0)
            j = 0
            while j < vectors:
                padded = _panel_width(vectors - j) * L
                at, to = j0 + j * L, j * L * depth
                count = min(padded, columns - j * L)
                if by_rows:
                    for k in range(depth):
                        row = places[p + k0 + k] + v + at
                        ahead = places[p + k0 + min(k + ROWS_AHEAD, depth - 1)] + v + at
                        for x in range(0, count, L):
                            prefetch(V, ahead + x)
                        for x in range(count):
                            pack[to + k * padded + x] = V[row + x]
                else:
                    calls.gather_columns(table, pack, to, padded, V, places, p + at, k0, count,
                                         depth)  # fmt: skip
                if count < padded:
                    for k in range(depth):
                        for x in range(to + k * padded + count, to + (k + 1) * padded):
                            pack[x] = 0
                j += padded // L
            last = k0 + depth == K
            calls.packed_product(table, table, C, c + j0, ldc, S, s + k0, lds, 1, M, columns, depth,
                                 first if k0 == 0 else 2, S, 0, pack, optimizer if last else -1, P,
                                 F, G, numbers)  # fmt: skip


def _gathered_rows(vectors: int) -> Any:
    """Make the loop down the rows of a panel of `direct_gradient`, `vectors` vectors wide."""

    @kernel()
    def gathered_rows(C, c, ldc, S, s, lds, V, v, places, p, M, K, start, tile, step, a_row, first,
                      last):  # fmt: skip
        i = 0
        while i < M:
            row, at = tile * K // a_row, first + tile * K % a_row * step
            if (tile + 1) * K > K * a_row:  # all has been asked for
                row, at = 0, v
            if M - i >= TILE_ROWS:
                gathered_tile(TILE_ROWS, vectors, C, c + i * ldc, ldc, S, s + i * lds, lds, V, v,
                              places, p, K, start, row, at, step, first, last)  # fmt: skip
                i += TILE_ROWS
            elif M - i >= 4:
                gathered_tile(4, vectors, C, c + i * ldc, ldc, S, s + i * lds, lds, V, v, places, p,
                              K, start, row, at, step, first, last)  # fmt: skip
                i += 4
            else:
                gathered_tile(1, vectors, C, c + i * ldc, ldc, S, s + i * lds, lds, V, v, places, p,
                              K, start, row, at, step, first, last)  # fmt: skip
                i += 1
            tile += 1
        return tile

    return gathered_rows


_one_gathered, _three_gathered = (_gathered_rows(count) for count in (1, 3))


def direct_gradient(
    table, C, c, ldc, S, s, lds, V, v, places, p, M, N, K, add, optimizer, P, F, G, numbers
):
    """Compute a first layer's weight gradient straight from the rows of X, nothing packed.

    As `weight_gradient` with `by_rows`, for so few units that packing would weigh; N is a multiple
    of the lanes.
    """
    L = lanes(C)
    start = 2 if add else 0
    tall = M // TILE_ROWS + M % TILE_ROWS // 4 + M % 4
    for j0 in range(0, N, DIRECT_COLUMNS):
        columns = min(DIRECT_COLUMNS, N - j0)
        first = v + j0 + columns
        last = max(min(first + DIRECT_COLUMNS, v + N), first + L)
        tiles = tall * ((columns + 3 * L - 1) // (3 * L))
        step, _, a_row = _prefetch_schedule(L, K, last - first, tiles, K)
        j = j0
        tile = 0
        while j < j0 + columns:
            if j0 + columns - j >= 3 * L:
                tile = _three_gathered(C, c + j, ldc, S, s, lds, V, v + j, places, p, M, K, start,
                                       tile, step, a_row, first, last)  # fmt: skip
                j += 3 * L
            else:
                tile = _one_gathered(C, c + j, ldc, S, s, lds, V, v + j, places, p, M, K, start,
                                     tile, step, a_row, first, last)  # fmt: skip
                j += L
        if optimizer >= 0:
            for i in range(M):
                to = c + i * ldc + j0
                calls.update(table, optimizer, shifted(P, to), shifted(C, to), shifted(F, to),
                             shifted(G, to), columns, numbers)  # fmt: skip


def sparse_product(C, c, ldc, W, w, n_in, values, starts, indices, rows, p, M, N, B, b):
    """Compute a first layer from sparse rows: ``C[i, j] = sum_k W[i, k] X[rows[p + j], k] + B[i]``.

    Row r of X has the values and column numbers ``starts[r] .. starts[r + 1]`` (CSR). ``W[i, k]``
    lies at ``w + i n_in + k``, the biases at ``b + i``.
    """
    for i in range(M):
        row, bias, to = w + i * n_in, B[b + i], c + i * ldc
        for j in range(N):
            example = rows[p + j]
            total = bias
            for at in range(starts[example], starts[example + 1]):
                total += W[row + indices[at]] * values[at]
            C[to + j] = total


def sparse_weight_gradient(
    C, c, n_in, S, s, lds, values, starts, indices, rows, M, first, stop, K, add
):
    """Compute columns first..stop of a first layer's gradient from sparse rows, ``C = S @ X``.

    ``C[i, k]`` lies at ``c + i n_in + k``; K is the number of examples.
    """
    for i in range(M):
        to, unit = c + i * n_in, s + i * lds
        if not add:
            for k in range(to + first, to + stop):
                C[k] = 0
        for j in range(K):
            share, example = S[unit + j], rows[j]
            if share != 0:
                for at in range(starts[example], starts[example + 1]):
                    k = indices[at]
                    if first <= k < stop:
                        C[to + k] += share * values[at]
