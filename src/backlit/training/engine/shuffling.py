"""Orders of many epochs in one call of compiled code; see `orders`.

NumPy promises that a `RandomState` draws what it always has, and no such thing of a `Generator`. So
both are compared with NumPy's own ``shuffle`` once a process; where one differs, NumPy shuffles.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import address_of
from backlit.training.engine import units
from backlit.training.engine.compiled import Compiled

#: rows beyond which a draw takes more than 32 bits
_MOST_ROWS = 1 << 31


def shuffled(
    engine: Compiled, rows: NDArray[np.int64], source: Any, count: int
) -> NDArray[np.int64] | None:
    """Return what so many calls of ``source.shuffle(rows)`` bring the rows to, one after the other.

    Parameters
    ----------
    engine : Compiled
        Has the compiled function.
    rows : int64 array, shape (n,)
        Put into the last of the orders.
    source : Generator or RandomState
        Draws as by those calls.
    count : int
        How many.

    Returns
    -------
    int64 array, shape (count, n), or None
        None, and nothing drawn, where compiled code cannot be relied on to do the same.
    """
    if len(rows) >= _MOST_ROWS or not (rows.flags.carray and rows.dtype == np.int64):
        return None
    old = type(source) is np.random.RandomState
    if not (old or type(source) is np.random.Generator) or not _is_numpys(engine, old):
        return None
    return _shuffled(engine, rows, source, count)


def _shuffled(
    engine: Compiled, rows: NDArray[np.int64], source: Any, count: int
) -> NDArray[np.int64]:
    # a RandomState has its bit generator under this name since there are bit generators
    bits = getattr(source, "_bit_generator", None) or source.bit_generator
    interface = bits.ctypes
    draw = ctypes.cast(interface.next_uint32, ctypes.c_void_p).value
    orders = np.empty((count, len(rows)), np.int64)
    with bits.lock:
        engine.units[units.SHUFFLE](
            draw, interface.state_address, address_of(rows), len(rows), count,
            address_of(orders),
        )  # fmt: skip
    return orders


@cache
def _is_numpys(engine: Compiled, old: bool) -> bool:
    """Tell whether compiled code draws as NumPy's shuffle does, and leaves the same state.

    Parameters
    ----------
    engine : Compiled
        Has the compiled function.
    old : bool
        Whether of a `RandomState`, or of a `Generator`.
    """
    make: Any = np.random.RandomState if old else np.random.default_rng
    found, expected = make(1), make(1)
    for n in (1, 2, 3, 150, 1025):
        rows, by_numpy = np.arange(n), np.arange(n)
        orders = _shuffled(engine, rows, found, 3)
        for order in orders:
            expected.shuffle(by_numpy)
            if not np.array_equal(order, by_numpy):
                return False
    same: bool = found.random() == expected.random()
    return same
