"""Orders of many epochs in one call: NumPy's shuffle, drawn from NumPy's own generators.

A bit generator of NumPy hands out the address of the C function that returns its next 32 bits, and
that of its state. So nothing is copied, and the generator stands afterwards where as many calls of
``shuffle`` would have brought it.
"""

from typing import Any

import llvmlite.ir
from numba.core import types
from numba.extending import intrinsic

from backlit.training.machine_code.kernels import kernel


@intrinsic
def _next_bits(typing_context: Any, draw: Any, state: Any) -> Any:
    """Call a bit generator's C function: its next 32 bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, place = llvmlite.ir.IntType(32), llvmlite.ir.IntType(8).as_pointer()
        function = llvmlite.ir.FunctionType(bits, [place])
        target = builder.inttoptr(args[0], function.as_pointer())
        drawn = builder.call(target, [builder.inttoptr(args[1], place)])
        return builder.zext(drawn, llvmlite.ir.IntType(64))

    return types.int64(draw, state), codegen


@kernel()
def _below(draw, state, highest):
    """Draw from 0 to `highest`: as many bits as that has, again until they are not above it."""
    mask = highest
    for shift in (1, 2, 4, 8, 16):
        mask |= mask >> shift
    value = _next_bits(draw, state) & mask
    while value > highest:
        value = _next_bits(draw, state) & mask
    return value


def shuffle(draw, state, rows, n, count, orders):
    """Put `n` rows into a new order `count` times, and write each of the orders down.

    From the last row on, each changes places with one that is not behind it (Fisher and Yates).
    """
    for e in range(count):
        for i in range(n - 1, 0, -1):
            j = _below(draw, state, i)
            held = rows[i]
            rows[i] = rows[j]
            rows[j] = held
        for i in range(n):
            orders[e * n + i] = rows[i]
