"""Work on many things with all cores, in order, holding few of them at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

from backlit._cores import available_cores, one_blas_thread, startable_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

_LARGEST_TEMPORARY = 24 << 20  # bytes


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
        Number of threads; by default one a core. Fewer, or the calling one alone, where a limit on
        processes is reached.

    Yields
    ------
    result
        Of each item.
    """
    workers = startable_threads(workers or available_cores())
    _keep_freed_memory()
    source = iter(items)
    with one_blas_thread():  # our own threads would only be in the way of its
        if not workers:
            yield from map(function, source)
            return
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


def _keep_freed_memory() -> None:
    """Let threads use the memory of their last arrays again.

    glibc gives memory at the end of a thread's heap back to the system, and gets it again page by
    page, which takes up to a fifth of the time of computing features. It stops doing so for blocks
    as large as the largest that was freed before, hence this one, which is never touched. Other
    allocators take no notice.
    """
    np.empty(_LARGEST_TEMPORARY, dtype=np.uint8)
