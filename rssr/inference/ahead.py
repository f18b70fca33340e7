"""The next item made in a thread of its own, while the one before is worked on."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def made_ahead(items: Iterator[Made]) -> Generator[Made, None, None]:
    """The same items in the same order; at most two of them exist at a time, one of these unfinished.

    Close it before what the items are made from: the thread may be at work until then.

    Args:
        items: Made one after the other, all in one thread.

    Raises:
        Exception: What the making of an item raised, when it is its turn.
    """
    with ThreadPoolExecutor(1, "made ahead") as pool:
        coming = pool.submit(_next_of, items)
        while made := coming.result():
            coming = pool.submit(_next_of, items)
            yield made.pop()


def _next_of(items: Iterator[Made]) -> list[Made]:
    """The next item, to be taken out, so that nobody here keeps it; nothing at the end."""
    for item in items:
        return [item]
    return []
