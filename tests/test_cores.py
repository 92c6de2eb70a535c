"""The limit of BLAS, shared by threads."""

import threading

import numpy as np  # noqa: F401 (brings a BLAS)
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from backlit._cores import one_blas_thread, startable_threads
from backlit.photos.pool import ordered_map
from backlit.training.threads import choose_threads


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


@pytest.fixture
def limited(monkeypatch):
    """Let so many threads begin, as `ulimit -u` does."""

    def limit(count):
        start = threading.Thread.start

        def refuse(thread):
            if sum(one.is_alive() for one in begun) >= count:
                raise RuntimeError("can't start new thread")
            start(thread)
            begun.append(thread)

        begun = []
        monkeypatch.setattr(threading.Thread, "start", refuse)

    return limit


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_threads_where_the_system_allows_no_more(limited, count):
    limited(count)
    assert startable_threads(8) == count
    assert choose_threads("fit", 8, (3, 2), 10) == 1 + count
    assert list(ordered_map(lambda number: number**2, range(40), workers=8)) == [
        number**2 for number in range(40)
    ]


def test_all_threads_where_nothing_limits_them():
    assert startable_threads(5) == 5
    assert startable_threads(0) == 0
