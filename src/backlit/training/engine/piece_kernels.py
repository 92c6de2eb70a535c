"""The compiled pieces of networks for tables, called with arrays; `pieces` defines them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit._locks import lock
from backlit.training.engine.units import PIECES, PROGRAM
from backlit.training.machine_code.loading import Code

_lock = lock("engine")


class PieceKernels:
    """The compiled pieces for one floating type.

    Each method of a kernel's name takes arrays and whole numbers in the order of its definition;
    it releases the interpreter's lock.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    on_compile : callable, optional
        Called once before a compilation, which takes seconds; not when the cache has it.
    """

    def __init__(self, dtype: np.dtype[Any], on_compile: Callable[[], None] | None = None) -> None:
        code = Code(PROGRAM, dtype.name)
        code.require(PIECES, on_compile)
        self._calls = {name: PROGRAM.at(name, code.addresses[name]) for name in PIECES}

    def __call__(self, name: str, *arguments: NDArray[Any] | int) -> None:
        """Run a kernel on arrays, whose addresses it gets, and whole numbers.

        Parameters
        ----------
        name : str
            One of the functions above.
        *arguments : array or int
            As there; arrays are C-contiguous and of the kernel's types.
        """
        self._calls[name](
            *(one.ctypes.data if isinstance(one, np.ndarray) else one for one in arguments)
        )


_made: dict[str, PieceKernels] = {}


def kernels_for(dtype: np.dtype[Any], on_compile: Callable[[], None] | None = None) -> PieceKernels:
    """Return the compiled pieces for a floating type, the same ones for the same type.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    on_compile : callable, optional
        Called once before a compilation.
    """
    with _lock:
        found = _made.get(dtype.name)
        if found is None:
            found = _made[dtype.name] = PieceKernels(dtype, on_compile)
        return found
