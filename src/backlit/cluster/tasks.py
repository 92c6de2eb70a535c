"""Many tasks on a cluster, some of them under way at a time, each until it has a result."""

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from backlit.cluster.connecting import check_alive
from backlit.errors import ClusterError

Item = TypeVar("Item")

#: tasks that are under way or waiting, for each thread of the cluster
_AHEAD = 2
#: how often a task whose result was lost is given out again
_TIMES = 5


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
    source, more, heard = iter(items), True, time.monotonic()
    try:
        while True:
            while more and len(under_way) < _AHEAD * max(1, _threads(client)):
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                    break
                under_way[submit(item)] = (item, 1)
            if not under_way:
                return
            done = [future for future in under_way if future.done() or future.status == "lost"]
            for future in done:
                item, times = under_way.pop(future)
                if future.status in ("cancelled", "lost"):  # its worker died with the result
                    check_alive(client)
                    if times >= _TIMES:
                        raise ClusterError(f"The result of a task was lost {times} times.")
                    under_way[submit(item)] = (item, times + 1)
                    continue
                if future.status == "error":
                    error = future.exception(timeout=60)
                    raise ClusterError(
                        f"A task failed: {type(error).__name__}: {str(error)[:300]}."
                    ) from error
                try:
                    result = future.result(timeout=60)
                except (OSError, TimeoutError):  # lost while it was on its way
                    check_alive(client)
                    under_way[submit(item)] = (item, times + 1)
                    continue
                take(item, result)
                heard = time.monotonic()
            if done:
                continue
            check_alive(client)
            if time.monotonic() - heard > timeout:
                raise ClusterError(f"No task was finished in {timeout:g} seconds.")
            time.sleep(0.02)
    finally:
        for future in under_way:
            future.cancel()


def _threads(client: Any) -> int:
    info = client.scheduler_info(n_workers=-1)  # what was last heard; asks nobody
    return sum(one["nthreads"] for one in info["workers"].values())


def held(value: Any) -> Any:
    """Return a value: as a task's result it is made anew where its worker dies, unlike scatter."""
    return value
