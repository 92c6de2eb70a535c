"""What this machine can do at most, and how near the engine's products come to it.

A training step of a dense network can be no faster than its multiply-adds at the processor's
pace, and than its numbers come from memory. ``python -m benchmarks.limits`` measures in float32:
multiply-adds on registers alone, on one core and on all at once; reading rows that lie anywhere in
a large array; and then the engine's and NumPy's products for layers of several shapes, in turn: on
one core, and one on each core at once.
"""

import argparse
import ctypes
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numba import cfunc, njit, types
from threadpoolctl import threadpool_limits

from backlit._cores import available_cores
from backlit.parameters import aligned_zeros
from backlit.training.engine import calls
from backlit.training.engine.codes import PACK_SIZE
from backlit.training.engine.compiled import engine_for
from backlit.training.engine.simd import VECTOR_BYTES
from backlit.training.engine.units import ALWAYS
from benchmarks import _harness, _pace

#: units, units of the layer before, examples
SHAPES = ((100, 30, 200), (256, 100, 256), (256, 784, 128), (1024, 1024, 512), (2048, 2048, 1024))
_REAL = np.dtype(np.float32)
_LINE = 16  # numbers


@njit(nogil=True, fastmath=True)
def _read(rows: Any, order: Any) -> float:
    """Touch each cache line of the rows."""
    total = np.float32(0)
    for i in order:
        row = rows[i]
        for x in range(0, row.size, _LINE):
            total += row[x]
    return total


def _reading(rows: Any, threads: int) -> Callable[[], Any]:
    """Return a call in which each thread reads as many of the rows, in any order."""
    order = np.random.default_rng(1).permutation(len(rows))
    shares = np.split(order[: len(order) // threads * threads], threads)
    _read(rows, order[:1])
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(_read, [rows] * threads, shares))


def _repeat_product(table, count, C, S, V, M, N, K, pack):  # type: ignore[no-untyped-def]
    """Compute C (M, N) = S (M, K) @ V (K, N) by the engine, `count` times."""
    for _ in range(count):
        calls.product(table, table, C, 0, N, S, 0, K, 1, V, 0, N, M, N, K, 0, S, 0, pack)


@cache
def _engine() -> tuple[Any, Any]:
    """Return the compiled `_repeat_product`, and the table of the engine's units."""
    real, whole = types.CPointer(types.float32), types.int64
    signature = types.void(
        types.CPointer(whole), whole, real, real, real, whole, whole, whole, real
    )
    return cfunc(signature)(_repeat_product).ctypes, engine_for(_REAL, ALWAYS).addresses


def _products(shape: tuple[int, int, int], count: int) -> dict[str, Callable[[], Any]]:
    """Return a layer's forward product, `count` times, by the engine and NumPy, after comparing."""
    M, K, N = shape
    generator = np.random.default_rng(0)
    N += -N % (VECTOR_BYTES // 4)
    W, A, ours, theirs = (
        aligned_zeros(a * b, _REAL).reshape(a, b) for a, b in ((M, K), (K, N), (M, N), (M, N))
    )
    for operand in (W, A):
        operand[...] = generator.standard_normal(operand.shape)
    pack = aligned_zeros(PACK_SIZE, _REAL)
    repeat, table = _engine()
    kinds = (ctypes.c_float, ctypes.c_int64)
    C, S, V, room = (array.ctypes.data_as(ctypes.POINTER(kinds[0])) for array in (ours, W, A, pack))
    places = table.ctypes.data_as(ctypes.POINTER(kinds[1]))

    def by_numpy() -> None:
        for _ in range(count):
            np.matmul(W, A, out=theirs)

    contestants: dict[str, Callable[[], Any]] = {
        "engine": lambda: repeat(places, count, C, S, V, M, N, K, room),
        "NumPy": by_numpy,
    }
    for call in contestants.values():
        call()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    return contestants


def _at_once(calls: Sequence[Callable[[], Any]]) -> Callable[[], Any]:
    """Return a call that makes each of some calls often enough, all at once, in threads."""
    pool = ThreadPoolExecutor(len(calls))
    return lambda: list(pool.map(lambda call: call(), calls))


def _limit(name: str, unit: str, work: float, calls: dict[int, Callable[[], Any]]) -> None:
    """Time work that one thread does, and as many threads at once as there are cores, and print it.

    `calls` are by the number of threads, each of which does `work`.
    """
    found = _harness.contest(name, {str(n): call for n, call in calls.items()}, rounds=15)
    for n in calls:
        paces = sorted(n * work / seconds / 1e9 for seconds in found.seconds[str(n)])
        middle = n * work / found.median(str(n)) / 1e9
        print(f"{name}, {n} at once: {middle:.0f} {unit}, from {paces[0]:.0f} to {paces[-1]:.0f}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(_harness.machine())
    print(_harness.versions("backlit", "numpy", "numba"))
    print(_harness.control(), "\n")
    threads, work = sorted({1, available_cores()}), 4e9
    paces = {n: _pace.multiply_adds_alone(n * work, n) for n in threads}
    _limit("multiply-adds on registers", "GFLOP/s", work, paces)
    rows = np.random.default_rng(0).random((2000, 12288), dtype=np.float32)
    readings = {n: _reading(rows[: 1000 * n], n) for n in threads}
    _limit("rows of 48 KiB, in any order", "GB/s", 1000 * rows.itemsize * rows.shape[1], readings)
    n = threads[-1]
    table = []
    with threadpool_limits(1):
        for shape in SHAPES:
            count = max(1, round(2e8 / np.prod(shape)))  # a few milliseconds' work
            work = 2 * count * float(np.prod(shape))
            products = [_products(shape, count) for _ in range(n)]
            contestants = {name: products[0][name] for name in products[0]}
            contestants["limit"] = _pace.multiply_adds_alone(work, 1)
            for name in products[0]:
                contestants[f"{name}, {n} at once"] = _at_once([one[name] for one in products])
            result = _harness.contest(str(shape), contestants, rounds=options.rounds)
            row = ["{} x {}, {} examples".format(*shape)]
            for name in contestants:
                each = n if "at once" in name else 1
                paces = [each * work / seconds / 1e9 for seconds in result.seconds[name]]
                span = f" ({min(paces):.0f} to {max(paces):.0f})" if each > 1 else ""
                row.append(f"{statistics.median(paces):.0f}{span}")
            row += [f"{1 / result.ratio(name, 'limit'):.2f}" for name in ("engine", "NumPy")]
            table.append(row)
    header = ["product", *contestants, "engine's share", "NumPy's share"]
    print("\nGFLOP/s\n")
    print(_harness.markdown(header, table))


if __name__ == "__main__":
    main()
