"""Which engine trains: the compiled one, or the plain one in NumPy.

``BACKLIT_ENGINE`` chooses: "compiled" or "numpy". Without it the compiled engine is taken where the
package carries code for this processor, or where Numba can compile it.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from numpy.typing import NDArray

from backlit._locks import importing
from backlit._warning import warn_user
from backlit.errors import SettingError
from backlit.training.engine.units import PROGRAM
from backlit.training.machine_code.loading import is_ready
from backlit.training.optimizers import Numbers
from backlit.training.steps import Engine, RestartingEngine, restarts

#: the environment variable, and what it may be
VARIABLE, COMPILED, NUMPY = "BACKLIT_ENGINE", "compiled", "numpy"

#: kinds of engines that are kept free
_MOST_KINDS = 16


def engine_name() -> str:
    """Return "compiled" or "numpy".

    Raises
    ------
    SettingError
        If the environment variable is neither.
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return COMPILED if _is_ready() else NUMPY
    if wanted not in (COMPILED, NUMPY):
        raise SettingError(f"{VARIABLE} is {wanted!r}, expected {COMPILED!r} or {NUMPY!r}.")
    return wanted


@cache
def _is_ready() -> bool:
    found = is_ready(PROGRAM)
    if not found:
        warn_user(
            "No prebuilt code fits this processor, and Numba is not installed: training runs on "
            "the plain NumPy engine, which gives the same networks to rounding and takes many "
            "times as long. pip install 'backlit[jit]' changes it; backlit doctor says more."
        )
    return found


class Engines:
    """Engines that trainings of the same kind take one after the other.

    To plan one takes longer than a small training. Several threads may share these: each engine is
    with one of them at a time.
    """

    def __init__(self) -> None:
        self._idle: dict[Any, list[RestartingEngine]] = {}
        self._kinds: dict[int, Any] = {}

    def engine_of(
        self,
        layer_dims: Sequence[int],
        activations: Sequence[str],
        loss: str,
        parameters: NDArray[Any],
        batch_size: int,
        **settings: Any,
    ) -> Engine:
        """Return an engine of the same kind that is free, or a new one; see `engine_of`.

        Its parameters are a copy of these where another training had it.
        """
        kind = (
            tuple(layer_dims), tuple(activations), loss, parameters.dtype, batch_size,
            *settings.values(),
        )  # fmt: skip
        try:
            free = self._idle[kind].pop()
        except LookupError:
            engine = engine_of(layer_dims, activations, loss, parameters, batch_size, **settings)
        else:
            free.restart(parameters)
            engine = free
        self._kinds[id(engine)] = kind
        return engine

    def give_back(self, engine: Engine) -> None:
        """Leave an engine to the next training."""
        kind = self._kinds.pop(id(engine))
        if not restarts(engine):
            return
        if len(self._idle) >= _MOST_KINDS and kind not in self._idle:
            self._idle.clear()
        self._idle.setdefault(kind, []).append(engine)


def engine_of(
    layer_dims: Sequence[int],
    activations: Sequence[str],
    loss: str,
    parameters: NDArray[Any],
    batch_size: int,
    *,
    loss_parameter: float = 0.0,
    numbers: Numbers | None = None,
    dropout: Sequence[float] = (),
    threads: int = 1,
    on_compile: Callable[[], None] | None = None,
) -> Engine:
    """Return an engine for a network.

    Parameters
    ----------
    layer_dims : sequence of int
        ``n_0, ..., n_L``.
    activations : sequence of str
        The L names, one a layer.
    loss : str
        A name of `backlit.names.LOSSES`.
    parameters : array, shape (layout.size,)
        The flat vector that `train` updates in place; its dtype is the engine's.
    batch_size : int
        The largest batch.
    loss_parameter : float, default 0
        Huber's delta or the quantile. For the cross-entropies of whole classes, the share that
        probabilities are kept away from 0 and 1 in the losses that are reported.
    numbers : Numbers, optional
        The optimizer and penalty. Without, the engine only runs forward and takes gradients.
    dropout : sequence of float, optional
        The share of units dropped in each hidden layer.
    threads : int, default 1
        How many threads share each batch.
    on_compile : callable, optional
        Called before a compilation.
    """
    kind: Any
    if engine_name() == NUMPY:
        with importing:
            from backlit.training.numpy_steps import NumpyEngine as kind
    else:
        with importing:
            from backlit.training.engine.engine import Engine as kind
    engine: Engine = kind(
        layer_dims,
        activations,
        loss,
        parameters,
        batch_size,
        loss_parameter=loss_parameter,
        numbers=numbers,
        dropout=dropout,
        threads=threads,
        on_compile=on_compile,
    )
    return engine
