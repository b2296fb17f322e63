"""Laws of the thread pool: results in order, at most four at once, and nothing begun after the end."""

import threading
import time

import numpy as np  # noqa: F401 - loads the library of matrix products
import pytest
from threadpoolctl import threadpool_info

from helpers.runtime.threads import map_threads


def test_results_come_in_the_order_of_the_items():
    def late(number):
        time.sleep(0.002 * (8 - number))
        return number

    assert list(map_threads(late, range(8))) == list(range(8))


def test_at_most_four_run_at_once(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    running, most, lock = 0, 0, threading.Lock()

    def count(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    list(map_threads(count, range(24)))
    assert 1 < most <= 4


def test_error_is_raised_in_its_turn_and_no_further_item_is_begun():
    begun = []

    def fail_at_two(number):
        begun.append(number)
        time.sleep(0.005)
        if number == 2:
            raise KeyError(number)
        return number

    results = map_threads(fail_at_two, range(100))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError):
        next(results)
    assert len(begun) < 20


def test_caller_that_stops_early_ends_the_work():
    begun = []

    def note(number):
        begun.append(number)
        time.sleep(0.005)

    results = map_threads(note, range(100))
    next(results)
    results.close()
    count = len(begun)
    assert count < 20
    time.sleep(0.02)
    assert len(begun) == count


def test_nothing_gives_nothing():
    assert list(map_threads(abs, [])) == []


def test_matrix_products_start_no_threads_of_their_own_meanwhile():
    def blas_threads(_):
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = blas_threads(None)
    for threads in map_threads(blas_threads, range(3)):
        assert set(threads) <= {1}
    assert blas_threads(None) == before
