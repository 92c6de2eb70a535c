import itertools

import numpy as np
import pytest

from backlit.training.engine.codes import (
    BLOCK_COLUMNS,
    BLOCK_K,
    BLOCK_ROWS,
    DIRECT_COLUMNS,
    DOT_BLOCK,
    PACK_SIZE,
    UNPACKED_SPAN,
)
from backlit.training.engine.compiled import engine_for

DTYPES = ("float32", "float64")
LEVEL = engine_for(np.dtype("float32"), ()).level
TILE_ROWS, TILE_VECTORS = LEVEL.tile
#: what lies around a result, and must stay
UNTOUCHED = -77.0


def call(name, dtype, *arguments, table=False):
    """Call a unit of the compiled engine; arrays become pointers to their first element."""
    compiled = engine_for(np.dtype(dtype))
    pointers = [
        array.ctypes.data if isinstance(array, np.ndarray) else array for array in arguments
    ]
    if table:
        pointers.insert(0, compiled.addresses.ctypes.data)
    return compiled.units[name](*pointers)


def lanes(dtype):
    return LEVEL.vector_bytes // np.dtype(dtype).itemsize


def whole_vectors(places, first, count, dtype):
    """Let the last of `count` places from `first` on stand for those up to a whole vector."""
    last = places[first + count - 1]
    more = -count % lanes(dtype)
    return np.concatenate([places[: first + count], np.full(more, last)])


def _random(dtype, *shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def _assert_product(C, S, V, start=0.0, *, dtype):
    """Hold a product against NumPy's in double, to the rounding of a sum of its terms."""
    S, V = S.astype("float64"), V.astype("float64")
    bound = (np.abs(S) @ np.abs(V) + np.abs(start)) * np.finfo(dtype).eps * (4 + S.shape[1] ** 0.5)
    assert (np.abs(C - (S @ V + start)) <= bound).all()


def _product(dtype, M, N, K, *, transposed, bias, offset=3):
    L = lanes(dtype)
    padded = (N + L - 1) // L * L
    ldv, ldc = padded + L, padded + 2 * L
    S, V, B = _random(dtype, M, K), _random(dtype, K, ldv), _random(dtype, M + 2)
    stored = np.ascontiguousarray(S.T if transposed else S)
    flat = np.concatenate([np.full(offset, np.nan, dtype), stored.ravel()])
    C = np.full((M + 2, ldc), UNTOUCHED, dtype)
    strides = (1, M) if transposed else (K, 1)
    pack = np.full(PACK_SIZE, np.nan, dtype)
    call(
        "product", dtype, C, ldc + L, ldc, flat, offset, *strides, V, 0, ldv, M, padded, K,
        int(bias), B, 1, pack, table=True,
    )  # fmt: skip
    start = B[1 : M + 1, None] if bias else 0.0
    _assert_product(C[1 : M + 1, L : L + padded], S, V[:, :padded], start, dtype=dtype)
    C[1 : M + 1, L : L + padded] = UNTOUCHED
    assert (C == UNTOUCHED).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_product_with_every_remainder_of_a_tile(transposed, dtype):
    L = lanes(dtype)
    for M in range(1, 2 * TILE_ROWS + 2):
        for vectors in range(1, 2 * TILE_VECTORS + 2):
            for K, bias in ((1, True), (5, False)):
                _product(dtype, M, vectors * L, K, transposed=transposed, bias=bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("M", [TILE_ROWS, TILE_ROWS + 1, BLOCK_ROWS, BLOCK_ROWS + TILE_ROWS + 3])
@pytest.mark.parametrize("N", [64, BLOCK_COLUMNS + 64])
@pytest.mark.parametrize("K", [BLOCK_K - 1, BLOCK_K, BLOCK_K + 1, 2 * BLOCK_K + 7])
def test_product_of_blocks(M, N, K, transposed, dtype):
    _product(dtype, M, N, K, transposed=transposed, bias=True)


def test_the_blocks_are_reached():
    assert BLOCK_K * 64 >= UNPACKED_SPAN, "the products above would all go unpacked"


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_have_the_same_bits_in_any_block(dtype):
    L, M, K = lanes(dtype), 21, BLOCK_K + 40
    N = BLOCK_COLUMNS + 5 * L
    S, V, B = _random(dtype, M, K), _random(dtype, K, N), _random(dtype, M)
    pack = np.empty(PACK_SIZE, dtype)

    def product(first, last):
        C = np.empty((M, N), dtype)
        call(
            "product", dtype, C, first, N, S, 0, K, 1, V, first, N, M, last - first, K, 1, B, 0,
            pack, table=True,
        )  # fmt: skip
        return C[:, first:last].tobytes()

    whole = np.frombuffer(product(0, N), dtype).reshape(M, N)
    for first, last in itertools.pairwise([0, L, 4 * L, N - L, N]):
        assert product(first, last) == whole[:, first:last].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_columns_with_every_remainder(dtype):
    L = lanes(dtype)
    sizes = (1, 2, L - 1, L, L + 1, 3 * L + 2)
    for count, columns in itertools.product(sizes, sizes):
        rows = np.random.default_rng(count).permutation(count + 5)
        written = count + -count % L
        width, ldt = columns + 4, written + 3
        V = _random(dtype, count + 5, width)
        T = np.full((columns + 2, ldt), UNTOUCHED, dtype)
        places = whole_vectors(rows * width, 2, count, dtype)
        call("gather_columns", dtype, T, ldt + 1, ldt, V, places, 2, 3, count, columns)
        expected = V[rows[2 : 2 + count], 3 : 3 + columns].T
        np.testing.assert_array_equal(T[1:-1, 1 : 1 + count], expected)
        T[1:-1, 1 : 1 + written] = UNTOUCHED
        assert (T == UNTOUCHED).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", [0, 1, 2])
def test_dot_product_with_every_remainder(start, dtype):
    L = lanes(dtype)
    for M, N, K in itertools.product(range(1, 10), range(1, 10), (1, L - 1, L, 2 * L + 3)):
        S, V, B = _random(dtype, M, K + 2), _random(dtype, N + 3, K + 1), _random(dtype, M + 1)
        rows = np.random.default_rng(N).permutation(N + 3)
        C = np.full((M, N + 2), 0.5, dtype)
        call(
            "dot_product", dtype, C, 1, N + 2, 1, S, 0, K + 2, V, rows * (K + 1), 1, M, N, K, K, 0,
            start, B, 1, B,
        )  # fmt: skip
        begin = {0: 0.0, 1: B[1:, None], 2: 0.5}[start]
        chosen = V[rows[1 : N + 1], :K]
        _assert_product(C[:, 1 : N + 1], S[:, :K], chosen.T, begin, dtype=dtype)
        assert (C[:, [0, N + 1]] == 0.5).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", [0, 1, 2])
def test_dot_product_in_parts_changes_no_bit(start, dtype):
    L = lanes(dtype)
    room = np.full(DOT_BLOCK**2 * L, np.nan, dtype)
    cases = ((1, 1), (3, 2), (4, 4), (5, 7), (9, DOT_BLOCK + 5), (DOT_BLOCK + 6, 6))
    for (M, N), K in itertools.product(cases, (L, 3 * L + 2, 4 * L)):
        S, V, B = _random(dtype, M, K), _random(dtype, N, K), _random(dtype, M)
        apart = 3 * L + 1  # the parts of the second operands, with other numbers between
        spread_S, spread_V = _random(dtype, M, 5 * apart), _random(dtype, N, 5 * apart)
        for part in range(-(-K // L)):
            of_K, of_row = slice(part * L, (part + 1) * L), slice(part * apart, part * apart + L)
            for flat, spread in ((S, spread_S), (V, spread_V)):
                values = flat[:, of_K]
                spread[:, of_row][:, : values.shape[1]] = values
        results = []
        for rows, columns, K_part, distance in (
            (S, V, K + -K % L, 0),
            (S, V, L, L),
            (S, V, 2 * L, 2 * L),
            (spread_S, spread_V, L, apart),
        ):
            C = np.full((M, N), 0.5, dtype)
            places = np.arange(N) * columns.shape[1]
            call(
                "dot_product", dtype, C, 0, N, 1, rows, 0, rows.shape[1], columns, places, 0, M, N,
                K, K_part, distance, start, B, 0, room,
            )  # fmt: skip
            results.append(C)
        begin = {0: 0.0, 1: B[:, None], 2: 0.5}[start]
        _assert_product(results[0], S, V.T, begin, dtype=dtype)
        for other in results[1:]:
            assert other.tobytes() == results[0].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_dot_product_writes_columns_that_lie_apart(dtype):
    S, V = _random(dtype, 5, 19), _random(dtype, 7, 19)
    C = np.full((7, 5), np.nan, dtype)
    call(
        "dot_product",
        dtype,
        C,
        0,
        1,
        5,
        S,
        0,
        19,
        V,
        np.arange(7) * 19,
        0,
        5,
        7,
        19,
        19,
        0,
        0,
        S,
        0,
        S,
    )
    _assert_product(C.T, S, V.T, dtype=dtype)


SHAPES = [
    *itertools.product((1, 2, 5, TILE_ROWS + 3), (1, 7, 16, 50, 97), (1, 6, 33)),
    (9, BLOCK_COLUMNS + 21, 20),
    (6, 35, BLOCK_K + 9),
    (5, BLOCK_COLUMNS + 3, 2 * BLOCK_K + 1),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("by_rows", [False, True])
def test_weight_gradient_with_every_remainder(by_rows, add, dtype):
    pack = np.full(PACK_SIZE, np.nan, dtype)
    for M, N, K in SHAPES:
        S = _random(dtype, M, K + 5)
        # the examples are V's rows, or contiguous in each row of V
        V = _random(dtype, *((K + 3, N + 2) if by_rows else (N + 3, K + 2)))
        rows = np.random.default_rng(K).permutation(len(V))
        places = whole_vectors(rows * V.shape[1], 1, K if by_rows else N, dtype)
        C = np.full((M + 2, N + 3), 0.25, dtype)
        call(
            "weight_gradient", dtype, C, N + 3 + 1, N + 3, S, 0, K + 5, V, 2 if by_rows else 0,
            places, 1, by_rows, M, N, K, add, pack, -1, C, C, C, C, table=True,
        )  # fmt: skip
        chosen = V[rows[1 : K + 1], 2 : N + 2] if by_rows else V[rows[1 : N + 1], :K].T
        start = 0.25 if add else 0.0
        _assert_product(C[1:-1, 1 : N + 1], S[:, :K], chosen, start, dtype=dtype)
        C[1:-1, 1 : N + 1] = 0.25
        assert (C == 0.25).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("add", [False, True])
def test_direct_gradient_with_every_remainder(add, dtype):
    L = lanes(dtype)
    for M, K in itertools.product((1, 3, 4, 6, 8, 13, 20, 48), (1, 2, 15, 70)):
        for N in (L, 3 * L, 5 * L, DIRECT_COLUMNS + L, 2 * DIRECT_COLUMNS + 8 * L):
            S, V = _random(dtype, M, K + 5), _random(dtype, K + 3, N + 2)
            rows = np.random.default_rng(K).permutation(len(V))
            places = whole_vectors(rows * V.shape[1], 1, K, dtype)
            C = np.full((M + 2, N + 3), 0.25, dtype)
            call(
                "direct_gradient", dtype, C, N + 3 + 1, N + 3, S, 0, K + 5, V, 2, places, 1, M, N,
                K, add, -1, C, C, C, C, table=True,
            )  # fmt: skip
            chosen, start = V[rows[1 : K + 1], 2 : N + 2], 0.25 if add else 0.0
            _assert_product(C[1:-1, 1 : N + 1], S[:, :K], chosen, start, dtype=dtype)
            C[1:-1, 1 : N + 1] = 0.25
            assert (C == 0.25).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_direct_gradient_has_the_bits_of_the_packed_one(dtype):
    M, N, K = 20, 2 * DIRECT_COLUMNS + 3 * lanes(dtype), 31
    S, V = _random(dtype, M, K), _random(dtype, K, N)
    places = whole_vectors(np.arange(K) * N, 0, K, dtype)
    packed, direct = np.zeros((M, N), dtype), np.zeros((M, N), dtype)
    pack = np.empty(PACK_SIZE, dtype)
    call("weight_gradient", dtype, packed, 0, N, S, 0, K, V, 0, places, 0, True, M, N, K, False,
         pack, -1, S, S, S, S, table=True)  # fmt: skip
    call("direct_gradient", dtype, direct, 0, N, S, 0, K, V, 0, places, 0, M, N, K, False, -1, S,
         S, S, S, table=True)  # fmt: skip
    np.testing.assert_array_equal(direct, packed)
