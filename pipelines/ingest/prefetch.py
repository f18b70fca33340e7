"""Work on many objects side by side, with a bound on what is in memory, and results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], size_of: Callable[[Item], int], num_threads: int, bound: int
) -> Iterator[Result]:
    """Results of `work` in the order of the items, computed ahead by threads.

    Args:
        work: Called once for each item.
        items: What to work on.
        size_of: Weight of an item, e.g. its bytes.
        num_threads: Threads.
        bound: Weight of the items under way or waiting to be taken; an item above it goes alone.

    Raises:
        Exception: What `work` raised for the first item that failed; later ones are given up.
    """
    waiting: deque[tuple[int, Future[Result]]] = deque()
    in_flight = 0
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                size = size_of(item)
                while waiting and in_flight + size > bound:
                    done, future = waiting.popleft()
                    yield future.result()
                    in_flight -= done
                waiting.append((size, pool.submit(work, item)))
                in_flight += size
            while waiting:
                yield waiting.popleft()[1].result()
        finally:
            for _, future in waiting:
                future.cancel()
