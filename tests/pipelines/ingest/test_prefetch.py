"""Work ahead, in order, within a bound."""

import threading
import time

import pytest

from pipelines.ingest.prefetch import map_in_order


def test_results_come_in_order_whatever_takes_longer() -> None:
    def work(item: int) -> int:
        time.sleep(0.01 * (item % 3))
        return item * item

    assert list(map_in_order(work, range(20), lambda item: 1, 5, 7)) == [item * item for item in range(20)]


@pytest.mark.parametrize("sizes", [[3] * 30, [1, 9, 2, 2, 20, 1, 1, 1, 5, 5, 30, 1]])
def test_what_is_in_memory_stays_within_the_bound(sizes: list[int]) -> None:
    lock = threading.Lock()
    in_memory = 0
    highest: list[int] = []

    def work(size: int) -> int:
        nonlocal in_memory
        with lock:
            in_memory += size
            highest.append(in_memory)
        time.sleep(0.002)
        return size

    for size in map_in_order(work, sizes, lambda size: size, 4, 10):
        with lock:
            in_memory -= size
    assert max(highest) <= max(10, *sizes)
    assert len(highest) == len(sizes)


def test_threads_work_side_by_side() -> None:
    barrier = threading.Barrier(4, timeout=10)
    assert list(map_in_order(lambda item: barrier.wait() >= 0, range(4), lambda item: 1, 4, 4)) == [True] * 4


def test_the_first_failure_ends_the_work() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    results = map_in_order(work, range(1000), lambda item: 1, 2, 4)
    with pytest.raises(ValueError, match="three"):
        list(results)
    assert len(begun) < 20


def test_whoever_stops_taking_stops_the_work() -> None:
    begun = []
    results = map_in_order(lambda item: begun.append(item), range(1000), lambda item: 1, 2, 4)
    next(results)
    results.close()  # type: ignore[attr-defined]  # a generator
    assert len(begun) < 20
