"""Work on many things with all cores, in order, holding few of them at a time."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _OneBlasThread:
    """Keeps matrix products on the thread that asks for them, while any map is under way.

    Each of our threads sharing out its small products among all cores would only be in the way of
    the others. The limit is the process's, so the first map sets it and the last one lifts it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maps = 0
        self._limit: Any = None

    def enter(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._maps == 0:
                self._limit = threadpool_limits(limits=1, user_api="blas")
            self._maps += 1

    def leave(self) -> None:
        with self._lock:
            self._maps -= 1
            if self._maps == 0:
                self._limit.restore_original_limits()
                self._limit = None


_one_blas_thread = _OneBlasThread()


def available_cores() -> int:
    """Count the processor cores that this process may use.

    Returns
    -------
    int
        At least 1.
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Map a function over items with threads; results come in the order of the items.

    Decoding and array work release Python's lock, so that threads suffice. At most four items a
    worker are under way or waiting to be taken.

    Parameters
    ----------
    function : callable
        Called with each item.
    items : iterable
        May be endless; taken as needed.
    workers : int, optional
        Number of threads; by default one a core.

    Yields
    ------
    result
        Of each item.
    """
    workers = workers or available_cores()
    source = iter(items)
    _one_blas_thread.enter()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="backlit-photos")
    try:
        waiting: deque[Future[Result]] = deque(
            executor.submit(function, item) for item in islice(source, 4 * workers)
        )
        while waiting:
            result = waiting.popleft().result()
            for item in islice(source, 1):
                waiting.append(executor.submit(function, item))
            yield result
    finally:
        # Also where the caller stops early or Ctrl-C arrives: drop what has not begun.
        executor.shutdown(wait=False, cancel_futures=True)
        _one_blas_thread.leave()
