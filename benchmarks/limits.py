"""What one core of this machine can do at most, and how near the engine's products come to it.

A training step of a dense network can be no faster than its multiply-adds at the processor's
pace, and than its numbers come from memory. ``python -m benchmarks.limits`` measures, on one core
and in float32: multiply-adds on registers alone, reading rows that lie anywhere in a large array,
and then the engine's and NumPy's products for layers of several shapes, in GFLOP/s, in turn.
"""

import argparse
import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic
from threadpoolctl import threadpool_limits

from backlit.training.engine import units
from backlit.training.engine.compiled import engine_for
from backlit.training.engine.engine import _aligned
from backlit.training.engine.products import PACK_SIZE
from backlit.training.engine.simd import VECTOR_BYTES
from benchmarks import _harness

#: units, units of the layer before, examples
SHAPES = ((100, 30, 200), (256, 100, 256), (256, 784, 128), (1024, 1024, 512), (2048, 2048, 1024))
#: accumulators of the loop that does nothing but multiply and add
_ACCUMULATORS = 16
_REAL = np.dtype(np.float32)
_KINDS = {"R": ctypes.c_void_p, "I": ctypes.c_void_p, "n": ctypes.c_int64}


@intrinsic
def _multiply_adds(typing_context: Any, count: Any) -> Any:
    """Multiply and add vectors `count` times on each accumulator, all in registers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = VECTOR_BYTES // 4
        vector = ir.VectorType(ir.FloatType(), lanes)
        factor = ir.Constant(vector, [1.0000001] * lanes)
        summand = ir.Constant(vector, [1e-9] * lanes)
        places = [cgutils.alloca_once(builder, vector) for _ in range(_ACCUMULATORS)]
        for i, place in enumerate(places):
            builder.store(ir.Constant(vector, [float(i)] * lanes), place)
        with cgutils.for_range(builder, args[0]):
            for place in places:
                product = builder.fmul(builder.load(place), factor, flags=("contract",))
                builder.store(builder.fadd(product, summand, flags=("contract",)), place)
        total = builder.load(places[0])
        for place in places[1:]:
            total = builder.fadd(total, builder.load(place))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.int64), codegen


@njit(nogil=True)
def _peak(count: int) -> float:
    return _multiply_adds(count)


@njit(nogil=True, fastmath=True)
def _read(rows: Any, order: Any) -> float:
    total = np.float32(0)
    for i in order:
        for x in rows[i]:
            total += x
    return total


def _products(shape: tuple[int, int, int]) -> dict[str, Callable[[], Any]]:
    """Return a layer's forward product by the engine and by NumPy, after comparing them."""
    M, K, N = shape
    generator = np.random.default_rng(0)
    N += -N % (VECTOR_BYTES // 4)
    W, A, ours, theirs = (
        _aligned(a * b, _REAL).reshape(a, b) for a, b in ((M, K), (K, N), (M, N), (M, N))
    )
    for operand in (W, A):
        operand[...] = generator.standard_normal(operand.shape)
    pack = _aligned(PACK_SIZE, _REAL)
    engine = engine_for(_REAL, units.ALWAYS)
    types_ = [_KINDS[kind] for kind in units.ARGUMENTS["product"]]
    product = ctypes.CFUNCTYPE(None, *types_)(engine.parts["product"].address)

    def by_engine() -> None:
        product(
            engine.addresses.ctypes.data, ours.ctypes.data, 0, N, W.ctypes.data, 0, K, 1,
            A.ctypes.data, 0, N, M, N, K, 0, W.ctypes.data, 0, pack.ctypes.data,
        )  # fmt: skip

    contestants = {
        "engine": by_engine,
        "NumPy": lambda: np.matmul(W, A, out=theirs),
    }
    for call in contestants.values():
        call()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    return contestants


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(_harness.machine())
    print(_harness.versions("backlit", "numpy", "numba"))
    print(_harness.control())
    count = 4_000_000
    peak = _harness.contest("peak", {"peak": lambda: _peak(count)}, rounds=options.rounds)
    pace = 2 * count * _ACCUMULATORS * (VECTOR_BYTES // 4) / peak.median("peak") / 1e9
    print(f"\nmultiply-adds on registers: {pace:.0f} GFLOP/s")
    generator = np.random.default_rng(0)
    rows = generator.random((2000, 12288), dtype=np.float32)
    order = generator.permutation(2000)
    reading = _harness.contest("read", {"read": lambda: _read(rows, order)}, rounds=options.rounds)
    print(f"rows of 48 KiB, in any order: {rows.nbytes / reading.median('read') / 1e9:.1f} GB/s\n")
    table = []
    with threadpool_limits(1):
        for shape in SHAPES:
            result = _harness.contest(str(shape), _products(shape), rounds=options.rounds)
            work = 2 * np.prod(shape) / 1e9
            paces = [work / result.median(name) for name in ("engine", "NumPy")]
            table.append((
                "{} x {}, {} examples".format(*shape), *(f"{p:.0f}" for p in paces),
                f"{paces[0] / pace:.2f}",
            ))  # fmt: skip
    header = ["product", "engine, GFLOP/s", "NumPy, GFLOP/s", "engine's share of the limit"]
    print(_harness.markdown(header, table))


if __name__ == "__main__":
    main()
