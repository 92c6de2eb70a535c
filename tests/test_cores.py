"""The limit of BLAS, shared by threads."""

import threading

import numpy as np  # noqa: F401 (brings a BLAS)
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from backlit._cores import one_blas_thread


def limits():
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


class Worker:
    """A thread that enters and leaves when it is told to, and lives on after that."""

    def __init__(self):
        self.turns, self.taken = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        self.turns.acquire()
        with one_blas_thread():
            self.taken.release()
            self.turns.acquire()
        self.taken.release()
        self.turns.acquire()

    def go_on(self):
        self.turns.release()
        assert self.taken.acquire(timeout=30)

    def end(self):
        self.turns.release()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.mark.parametrize("last", [0, 1])
def test_the_last_thread_lifts_it_whoever_set_it(last):
    with threadpool_limits(2, user_api="blas"):
        workers = [Worker(), Worker()]
        for worker in workers:
            worker.go_on()
            assert limits() == {1}
        workers[1 - last].go_on()
        assert limits() == {1}
        workers[last].go_on()
        assert limits() == {2}
        with one_blas_thread():  # the threads that had set it are still there
            assert limits() == {1}
        assert limits() == {2}
        with threadpool_limits(1, user_api="blas"):
            assert limits() == {1}
        for worker in workers:
            worker.end()
