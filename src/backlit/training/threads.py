"""How many threads a fit uses: the work in a step decides, never the number of cores alone."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from backlit.errors import SettingError

#: below this many multiply-adds a step, what a second thread saves is less than meeting it costs
WORTH_SHARING = 1_500_000


def available_cores() -> int:
    """Return how many cores this process may use.

    The scheduler's affinity counts, and ``OMP_NUM_THREADS`` where it is set: joblib and job queues
    limit the threads of their workers by it.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # no affinity on this system
        cores = os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores


def choose_threads(
    function: str, threads: int | None, layer_dims: Sequence[int], batch_size: int
) -> int:
    """Return the number of threads for a fit.

    Parameters
    ----------
    function : str
        The public function, for messages.
    threads : int or None
        What the caller asks for; None lets the work decide.
    layer_dims : sequence of int
        ``n_0, ..., n_L``.
    batch_size : int
        Examples a step.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    SettingError
        If `threads` is not a positive integer.
    """
    if threads is not None:
        whole = isinstance(threads, (int, np.integer)) and not isinstance(threads, bool)
        if not whole or threads < 1:
            raise SettingError(f"{function}: threads is {threads!r}, expected an integer above 0.")
        return int(threads)
    weights = sum(a * b for a, b in pairwise(layer_dims))
    work = 3 * weights * batch_size
    return max(1, min(available_cores(), work // WORTH_SHARING))


@lru_cache(maxsize=1)
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # finds the libraries once; slow


def one_blas_thread() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread for a while; may be nested.

    For code that calls it thousands of times for vectors: meeting a second thread costs more than
    the whole of such a call, and milliseconds where another process keeps that thread waiting.
    """
    limit: AbstractContextManager[Any] = _blas().limit(limits=1, user_api="blas")
    return limit
