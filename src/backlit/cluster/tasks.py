"""Many tasks on a cluster, some of them under way at a time, each until it has a result."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from concurrent.futures import Future as ConcurrentFuture
from typing import Any, TypeVar

from distributed.scheduler import KilledWorker

from backlit.cluster.connecting import check_alive
from backlit.errors import ClusterError

Item = TypeVar("Item")

#: tasks that are under way or waiting, for each thread of the cluster
_AHEAD = 2
#: how often a task whose result was lost is given out again
_TIMES = 5
#: seconds that a result may take to come; between two checks of the tasks, and of the workers
_FETCH_SECONDS, _PAUSE, _LOOK_SECONDS = 60.0, 0.02, 2.0


def run_tasks(
    client: Any,
    items: Iterable[Item],
    submit: Callable[[Item], Any],
    take: Callable[[Item, Any], None],
    timeout: float,
) -> None:
    """Submit a task for each item and take each result as it comes.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    items : iterable
        Taken as needed.
    submit : callable
        Returns the future of an item.
    take : callable
        Called with an item and its result.
    timeout : float
        Seconds in which at least one task must be finished.

    Raises
    ------
    ClusterError
        If the scheduler is lost, time is out, or a task fails.
    """
    under_way: dict[Any, tuple[Item, int]] = {}
    coming: dict[ConcurrentFuture[Any], tuple[Any, Item, int]] = {}
    source, more, heard, threads = iter(items), True, time.monotonic(), _Threads(client)

    def again(item: Item, times: int) -> None:
        check_alive(client)
        if times >= _TIMES:
            raise ClusterError(f"The result of a task was lost {times} times.")
        under_way[submit(item)] = (item, times + 1)

    try:
        while True:
            while more and len(under_way) < _AHEAD * threads.count():
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                    break
                under_way[submit(item)] = (item, 1)
            if not under_way and not coming:
                return
            done = [future for future in under_way if future.done() or future.status == "lost"]
            for future in done:
                item, times = under_way.pop(future)
                if future.status in ("cancelled", "lost"):  # its worker died with the result
                    again(item, times)
                elif future.status == "error":
                    error = future.exception(timeout=60)
                    raise ClusterError(
                        f"A task failed: {type(error).__name__}: {str(error)[:300]}."
                    ) from error
                else:  # the worker may be gone by now, which takes long to find out: do not wait
                    coming[_fetch(client, future)] = (future, item, times)
            for fetch in [one for one in coming if one.done()]:
                _, item, times = coming.pop(fetch)
                try:
                    result = fetch.result()
                except (OSError, TimeoutError, CancelledError, KilledWorker):
                    again(item, times)
                    continue
                take(item, result)
                heard = time.monotonic()
                done.append(fetch)
            if done:
                continue
            check_alive(client)
            if time.monotonic() - heard > timeout:
                raise ClusterError(f"No task was finished in {timeout:g} seconds.")
            time.sleep(_PAUSE)
    finally:
        for fetch in coming:
            fetch.cancel()
        for future in under_way:
            future.cancel()


def _fetch(client: Any, future: Any) -> ConcurrentFuture[Any]:
    """Begin to bring a result here, on the client's own event loop."""

    async def fetch() -> Any:
        return await asyncio.wait_for(client.gather(future, asynchronous=True), _FETCH_SECONDS)

    return asyncio.run_coroutine_threadsafe(fetch(), client.loop.asyncio_loop)


class _Threads:
    """How many threads the cluster has; the scheduler is asked once in a while."""

    def __init__(self, client: Any) -> None:
        self._client, self._asked, self._count = client, -_LOOK_SECONDS, 1

    def count(self) -> int:
        """Return it; at least 1."""
        now = time.monotonic()
        if now - self._asked >= _LOOK_SECONDS or now < self._asked:
            check_alive(self._client)
            info = self._client.scheduler_info(n_workers=-1)
            self._count = max(1, sum(one["nthreads"] for one in info["workers"].values()))
            self._asked = now
        return self._count
