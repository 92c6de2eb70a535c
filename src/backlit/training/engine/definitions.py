"""The functions of the engine's program, as Numba compiles them."""

from collections.abc import Callable
from typing import Any

from backlit.training.engine import (
    epochs,
    functions,
    orders,
    pieces,
    products,
    steps,
    units,
    updates,
)

#: only loops without tiles of their own may be rearranged by LLVM
_LOOPS = (functions, pieces, updates)


def definition_of(name: str) -> tuple[Callable[..., Any], bool]:
    """Return a function by its name in the program, and whether LLVM may rearrange its sums."""
    for module in (steps, epochs, orders, products, functions, updates, pieces):
        found = getattr(module, name, None)
        if found is not None and found.__module__ == module.__name__:
            return found, module in _LOOPS
    raise KeyError(name)


assert all(definition_of(name) for name in units.PROGRAM.signatures)
