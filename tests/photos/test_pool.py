import threading
import time

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from backlit.photos.pool import ordered_map


def test_order_is_kept():
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(ordered_map(work, range(50), 4)) == [n * n for n in range(50)]


def test_few_items_are_held():
    taken = []

    def items():
        for number in range(10_000):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number, items(), 2)
    for _ in range(100):
        next(results)
    assert len(taken) <= 100 + 4 * 2
    results.close()


def test_an_error_comes_out_and_ends_the_work():
    started = []
    lock = threading.Lock()

    def work(number):
        with lock:
            started.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    with pytest.raises(ValueError, match="three"):
        list(ordered_map(work, range(1000), 2))
    time.sleep(0.05)
    assert len(started) < 50


def test_nothing():
    assert list(ordered_map(lambda item: item, [], 2)) == []


def test_products_stay_on_one_thread_meanwhile_and_not_after():

    def threads():
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        first = ordered_map(lambda item: threads(), range(40), 2)
        assert next(first) == {1}
        second = ordered_map(lambda item: threads(), range(3), 2)
        next(second)
        first.close()
        assert list(second) == [{1}, {1}]
        assert threads() == {2}
