"""How many cores this process may use, and BLAS kept to one of them for a while."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from backlit._locks import Shared


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
    if limit.isdigit() and int(limit) > 0:
        cores = min(cores, int(limit))
    return max(1, cores // max(1, *_sharers)) if _sharers else cores


#: into how many parts the cores are divided, by each `sharing_cores` that is under way
_sharers: list[int] = []


@contextmanager
def sharing_cores(count: int) -> Iterator[None]:
    """Let `available_cores` return a share of the cores, while so many trainings run at a time.

    It holds for all threads of the process; how many threads a training has changes no bit of it.
    """
    _sharers.append(count)
    try:
        yield
    finally:
        _sharers.remove(count)


def startable_threads(wanted: int) -> int:
    """Return how many threads of so many the system lets this process begin.

    Fewer where a limit on processes (``ulimit -u``, a container's) is reached.

    Parameters
    ----------
    wanted : int
        How many are asked for.

    Returns
    -------
    int
        From 0 to `wanted`.
    """
    gate = threading.Event()
    begun: list[threading.Thread] = []
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            begun.append(thread)
    except RuntimeError:  # "can't start new thread"
        pass
    finally:
        gate.set()
    for thread in begun:
        thread.join()
    return len(begun)


@lru_cache(maxsize=1)
def _pools(_modules: int) -> Any:
    """Look for the BLAS libraries (2 ms), again when a module has come: SciPy's brings its own."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _let_any_thread_limit() -> None:
    """Let this thread set the limit, and leave it to none.

    Since threadpoolctl 3.8 the thread that has set a limit is the only one that can, until it ends,
    and others are ignored without a word: the limit would stay where the last user is not the
    first, and nobody else could set one.
    """
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


def _limit_blas() -> Any:
    _let_any_thread_limit()
    limit = _pools(len(sys.modules)).limit(limits=1, user_api="blas")
    _let_any_thread_limit()
    return limit


def _lift_limit(limit: Any) -> None:
    _let_any_thread_limit()
    limit.restore_original_limits()
    _let_any_thread_limit()


_one_thread = Shared("BLAS threads", _limit_blas, _lift_limit)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread for a while; may be nested, and used by several threads at once.

    For small products and vectors, many of them: meeting a second thread costs more than the whole
    of such a call, and milliseconds where another process keeps that thread waiting. One thread
    also makes the bits independent of how many there are. The limit is the process's, so that the
    first user sets it and the last one lifts it.
    """
    with _one_thread:
        yield
