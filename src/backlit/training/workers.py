"""Trainings that run several at a time, each in one thread.

A call of compiled code holds as many epochs as fit in a tenth of a second and leaves the
interpreter's lock to the others, so that small networks, which a second thread within a step would
not help, keep all cores busy.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import ContextVar
from typing import Any

from backlit._cores import available_cores, startable_threads

#: seconds between two reports
REPORT_SECONDS = 0.1

#: multiply-adds of a training from which on a thread for it saves more than the wait for the
#: interpreter's lock, which is held for half a millisecond between two trainings
_WORTH_A_THREAD = 10_000_000

#: whose job the running thread does
_at_work: ContextVar["Workers | None"] = ContextVar("workers", default=None)


def multiply_adds(weights: int, rows: int, epochs: int) -> float:
    """Return the multiply-adds of a training, roughly: three products for each weight and row."""
    return 3.0 * weights * rows * epochs


def useful_threads(work: float) -> int:
    """Return how many trainings to run at a time.

    Parameters
    ----------
    work : float
        The multiply-adds of the largest; where that is done before threads meet it is one.
    """
    return available_cores() if work > _WORTH_A_THREAD else 1


def asked_to_stop() -> bool:
    """Return whether the training that this thread runs is one of several, and all are to stop."""
    workers = _at_work.get()
    return workers is not None and workers.stops


class Workers:
    """Threads that take one job after the other until all are done, or are to stop.

    Parameters
    ----------
    count : int
        Jobs that run at a time, or fewer where the system starts no more threads; in the calling
        thread where it starts none.
    name : str
        Of the threads.
    report : callable, optional
        Called about ten times a second and at the end, with whether it is the end.
    always : bool, default False
        Whether one job at a time has a thread, too, so that signals do not come upon it.

    Attributes
    ----------
    stops : bool
        Whether all are to stop: after Ctrl-C, an error, or if the caller says so. A running job has
        to ask for it.
    """

    def __init__(
        self,
        count: int,
        name: str,
        report: Callable[[bool], None] | None = None,
        *,
        always: bool = False,
    ) -> None:
        threads = startable_threads(count) if count > 1 or always else 0
        self.count, self.stops = max(threads, 1), False
        self._in_threads = threads > 0
        self._name, self._report = name, report or (lambda last: None)

    def run(self, jobs: Iterable[Callable[[], Any]]) -> None:
        """Do the jobs in their order; after Ctrl-C return, with `stops` set.

        Raises
        ------
        Exception
            What a job has raised, when the others have stopped.
        """
        waiting = deque(jobs)
        try:
            if self._in_threads:
                self._side_by_side(waiting)
            else:
                self._one_by_one(waiting)
        except KeyboardInterrupt:
            self.stops = True

    def _one_by_one(self, waiting: deque[Callable[[], Any]]) -> None:
        while waiting and not self.stops:
            waiting.popleft()()
            self._report(not waiting)

    def _side_by_side(self, waiting: deque[Callable[[], Any]]) -> None:
        with ThreadPoolExecutor(self.count, self._name) as pool:
            try:
                futures = [pool.submit(self._work, waiting) for _ in range(self.count)]
                left = set(futures)
                while left:
                    done, left = wait(left, REPORT_SECONDS, FIRST_EXCEPTION)
                    self._report(not left)
                    if any(future.exception() for future in done):
                        self.stops = True
            except BaseException:
                self.stops = True
                raise
        for future in futures:
            future.result()

    def _work(self, waiting: deque[Callable[[], Any]]) -> None:
        """Take one job after the other: what a thread does."""
        _at_work.set(self)
        while not self.stops:
            try:
                job = waiting.popleft()
            except IndexError:
                return
            job()
