"""The engine's compiled functions in this process, as far as networks have needed them."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from backlit._locks import lock
from backlit.training.engine.units import EPOCHS, ORDER, PROGRAM, RUN
from backlit.training.machine_code.levels import Level
from backlit.training.machine_code.loading import Code

_lock = lock("engine")


class Compiled:
    """The compiled engine for one floating type.

    Attributes
    ----------
    run, run_epochs : callable
        `steps.run` and `epochs.run_epochs` as C functions; their arguments after the first two are
        addresses. They release the interpreter's lock.
    address_of_run : int
        Where the first one lies.
    addresses : int64 array
        The table of the units, in the order of `units.ORDER`; 0 for one that is not there.
    units : dict of str to callable
        Every function that is there, as Python calls it.
    level : Level
        What the code is made for.
    vector_bytes : int
        Bytes of a vector, to which buffers are cut.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.addresses = np.zeros(len(ORDER), np.int64)
        self.units: dict[str, Any] = {}
        self.run: Callable[[int, int, int, int, int], None]
        self.run_epochs: Callable[[int, int, int, int, int, int], None]
        self.address_of_run = 0
        self._code = Code(PROGRAM, dtype.name)

    @property
    def level(self) -> Level:
        """Return what the code is made for."""
        return self._code.level

    @property
    def vector_bytes(self) -> int:
        """Return bytes of a vector."""
        return self._code.vector_bytes

    def require(self, needed: Iterable[str], on_compile: Callable[[], None] | None) -> None:
        """Have the loop over batches, and what else is needed."""
        missing = [name for name in (RUN, *needed) if name not in self.units]
        if not missing:
            return
        self._code.require(missing, on_compile)
        for name in missing:
            address = self._code.addresses[name]
            self.units[name] = PROGRAM.at(name, address)
            if name == RUN:
                self.run, self.address_of_run = self.units[name], address
            elif name == EPOCHS:
                self.run_epochs = self.units[name]
            elif name in ORDER:
                self.addresses[ORDER.index(name)] = address


_compiled: dict[np.dtype[Any], Compiled] = {}


def engine_for(
    dtype: np.dtype[Any],
    needed: Iterable[str] = ORDER,
    on_compile: Callable[[], None] | None = None,
) -> Compiled:
    """Return the compiled engine for a floating type.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    needed : iterable of str, default all units
        Names of the functions that must be there.
    on_compile : callable, optional
        Called once before a compilation, which takes seconds; not when the code is prebuilt or in
        the cache.

    Returns
    -------
    Compiled
        The same one for the same type.
    """
    with _lock:
        engine = _compiled.get(dtype) or Compiled(dtype)
        engine.require(needed, on_compile)
        _compiled[dtype] = engine
        return engine
