"""The processor's own pace: multiply-adds on registers, on one core or on all of them at once.

Nothing is read and nothing is written, so that no program can multiply and add faster. It is
measured anew in every round, because machines that are shared change it: two virtual cores may be
two cores at one time, and the two threads of a single one at another.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from backlit._cores import available_cores
from backlit.training.engine.simd import VECTOR_BYTES

_LANES = VECTOR_BYTES // 4
#: enough to hide how long one multiply-add takes
_ACCUMULATORS = 16


@intrinsic
def _multiply_adds(typing_context: Any, count: Any) -> Any:
    """Multiply and add float32 vectors `count` times on each accumulator, all in registers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), _LANES)
        factor = ir.Constant(vector, [1.0000001] * _LANES)
        summand = ir.Constant(vector, [1e-9] * _LANES)
        places = [cgutils.alloca_once(builder, vector) for _ in range(_ACCUMULATORS)]
        for i, place in enumerate(places):
            builder.store(ir.Constant(vector, [float(i)] * _LANES), place)
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
def _run(count: int) -> float:
    return _multiply_adds(count)


def multiply_adds_alone(operations: float, threads: int | None = None) -> Callable[[], None]:
    """Return a call that does floating-point operations as fast as the processor can.

    Parameters
    ----------
    operations : float
        How many in all; a multiplication and an addition are two.
    threads : int, optional
        Shared among so many threads; by default one for each core.
    """
    threads = available_cores() if threads is None else threads
    count = round(operations / (2 * _LANES * _ACCUMULATORS * threads))
    _run(1)
    if threads == 1:
        return lambda: _run(count)
    pool = ThreadPoolExecutor(threads)

    def call() -> None:
        list(pool.map(_run, [count] * threads))

    return call
