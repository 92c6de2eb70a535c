"""Jobs in threads: all of them are done, in threads as far as there are some."""

import threading
import time

import pytest

from backlit.training import workers
from backlit.training.workers import Workers, asked_to_stop


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("limit", [0, 1, 2, 100])
def test_all_jobs_are_done_whatever_number_of_threads_can_be_started(
    count, always, limit, monkeypatch
):
    monkeypatch.setattr(workers, "startable_threads", lambda wanted: min(wanted, limit))
    done, used, reports = [], set(), []

    def job(number):
        def run():
            done.append(number)
            used.add(threading.current_thread())

        return run

    pool = Workers(count, "jobs", reports.append, always=always)
    pool.run(job(number) for number in range(20))
    assert sorted(done) == list(range(20))
    assert reports[-1] is True
    in_threads = limit > 0 and (count > 1 or always)
    assert (threading.main_thread() not in used) == in_threads
    assert pool.count == (min(count, limit) if in_threads else 1)


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_stops_the_others_and_is_raised(count):
    done = []

    def bad():
        raise ZeroDivisionError

    def good():
        done.append(1)
        time.sleep(0.001)

    pool = Workers(count, "jobs", always=True)
    with pytest.raises(ZeroDivisionError):
        pool.run([bad, *[good] * 20_000])
    assert len(done) < 20_000


def test_a_running_job_sees_that_all_are_to_stop():
    begun = threading.Event()
    seen = []

    def waits():
        begun.set()
        while not asked_to_stop():
            pass
        seen.append(True)

    def stops():
        begun.wait()
        pool.stops = True

    pool = Workers(2, "jobs")
    pool.run([waits, stops, waits])
    assert seen == [True]
    assert not asked_to_stop()  # this thread does no job
