"""Which engine runs a network for tables: the compiled one, or the plain one in NumPy."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from backlit._locks import importing
from backlit.tables.layout import TableLayout
from backlit.tables.protocol import TableEngine
from backlit.training.engines import NUMPY, engine_name


def table_engine(
    layout: TableLayout,
    parameters: NDArray[Any],
    kind: str,
    on_compile: Callable[[], None] | None = None,
) -> TableEngine:
    """Return an engine.

    Parameters
    ----------
    layout : TableLayout
        The network.
    parameters : array, shape (layout.size,)
        Its flat vector, float32 or float64, trained in place.
    kind : {"classes", "numbers"}
        What is predicted, and with it the loss: cross-entropy, or the squared error.
    on_compile : callable, optional
        Called before a compilation.
    """
    if engine_name() == NUMPY:
        with importing:
            from backlit.tables.plain import PlainEngine

        return PlainEngine(layout, parameters, kind)
    with importing:
        from backlit.tables.fast import FastEngine

    return FastEngine(layout, parameters, kind, on_compile)
