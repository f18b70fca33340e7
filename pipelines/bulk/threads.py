"""Many requests to stores, several at once."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

NUM_REQUESTS = 16
_IN_HAND = 64  # items a thread: a million waiting ones would take a gigabyte


def in_threads(
    work: Callable[[Given], Made], items: Iterable[Given], num_threads: int = NUM_REQUESTS
) -> Iterator[Made]:
    """Results in the order of the items; the first error ends it.

    Args:
        work: Called with each item, in some thread.
        items: Taken a few at a time.
        num_threads: How many work at once.
    """
    left = iter(items)
    with ThreadPoolExecutor(num_threads) as pool:
        while batch := list(islice(left, num_threads * _IN_HAND)):
            yield from pool.map(work, batch)
