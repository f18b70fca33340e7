"""Items that are made in a thread while the one before is worked on."""

import threading
from collections.abc import Iterator

import pytest

from rssr.inference.ahead import made_ahead


def test_items_come_in_order_and_all_from_one_other_thread() -> None:
    makers = set()

    def make() -> Iterator[int]:
        for number in range(20):
            makers.add(threading.get_ident())
            yield number

    assert list(made_ahead(make())) == list(range(20))
    assert len(makers) == 1
    assert threading.get_ident() not in makers


def test_the_next_item_is_made_while_one_is_worked_on_and_no_other() -> None:
    begun = [threading.Event() for _ in range(4)]

    def make() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in made_ahead(make()):
        assert begun[min(number + 1, 3)].wait(60)
        assert not any(event.is_set() for event in begun[number + 2 :])


def test_an_error_comes_when_it_is_its_turn() -> None:
    def make() -> Iterator[int]:
        yield 0
        raise ValueError("broken")

    items = made_ahead(make())
    assert next(items) == 0
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_nothing_is_made_any_more_once_it_is_closed() -> None:
    made = []

    def make() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    items = made_ahead(make())
    assert next(items) == 0
    items.close()
    assert made in ([0], [0, 1])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("made ahead")]
