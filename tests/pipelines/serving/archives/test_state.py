"""The book of all archives, on a folder and on a server that ignores conditions."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.leases.lease import LeaseLost
from pipelines.serving.archives.records import REQUESTS, ArchiveRecord, request_key, standing_key
from pipelines.serving.archives.state import ArchiveBook
from pipelines.serving.problems import Problem
from tests.pipelines.bulk.imagery import Place
from tests.pipelines.bulk.made_run import AlwaysHeld
from tests.pipelines.serving.archives.made_archives import ANN, BOB, asked

NUM_AT_ONCE = 8


class NeverHeld:
    """A lease that somebody else has taken."""

    def require_held(self) -> None:
        raise LeaseLost("Another one leads.")


def book_at(place: Place) -> ArchiveBook:
    book = ArchiveBook(place.output, AlwaysHeld())
    book.load()
    return book


def anyone(records: Sequence[ArchiveRecord]) -> None:
    """There is always room."""


def test_one_key_makes_one_archive_however_many_ask_at_once(place: Place) -> None:
    book = book_at(place)
    requests = [asked(idempotency_key="the key", digest="same") for _ in range(NUM_AT_ONCE)]
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        answers = list(pool.map(lambda request: book.create(request, anyone), requests))
    assert len({archive_id for archive_id, _ in answers}) == 1
    assert sorted(is_replay for _, is_replay in answers) == [False] + [True] * (NUM_AT_ONCE - 1)
    assert len(place.output.list(REQUESTS)) == 1


def test_a_key_outlives_the_process(place: Place) -> None:
    first, _ = book_at(place).create(asked(idempotency_key="k", digest="d"), anyone)
    assert book_at(place).create(asked(idempotency_key="k", digest="d"), anyone) == (first, True)


def test_a_key_with_another_request_is_refused(local: Place) -> None:
    book = book_at(local)
    book.create(asked(idempotency_key="k", digest="one"), anyone)
    with pytest.raises(Problem) as caught:
        book.create(asked(idempotency_key="k", digest="two"), anyone)
    assert caught.value.slug == "idempotency-key-reused"
    assert len(book.all()) == 1


def test_keys_are_each_callers_own(local: Place) -> None:
    book = book_at(local)
    first, _ = book.create(asked(ANN, idempotency_key="k", digest="one"), anyone)
    second, is_replay = book.create(asked(BOB, idempotency_key="k", digest="two"), anyone)
    assert (first != second, is_replay) == (True, False)


def test_a_key_that_came_to_nothing_is_as_good_as_new(local: Place) -> None:
    lost, again = (asked(idempotency_key="k", digest="d") for _ in range(2))
    book_at(local).create(lost, anyone)
    local.output.delete(request_key(lost.id))
    assert book_at(local).create(again, anyone) == (again.id, False)


def test_an_archive_that_was_asked_for_again_elsewhere_is_void(local: Place) -> None:
    """The request came to lie in the store, but its caller was told that it could not be taken."""
    lost, again = (asked(idempotency_key="k", digest="d") for _ in range(2))
    book_at(local).create(again, anyone)
    local.output.write_bytes(request_key(lost.id), lost.to_json())
    assert [record.id for record in book_at(local).all()] == [again.id]


def test_the_same_call_again_makes_no_second_archive(local: Place) -> None:
    book, request = book_at(local), asked()
    assert book.create(request, anyone) == book.create(request, anyone) == (request.id, False)


def test_where_there_is_no_room_nothing_is_written(local: Place) -> None:
    def nobody(records: Sequence[ArchiveRecord]) -> None:
        raise Problem("too-many-archives", "It is full.")

    with pytest.raises(Problem):
        book_at(local).create(asked(idempotency_key="k"), nobody)
    assert local.output.list() == []


def test_history_is_read_back(place: Place) -> None:
    book = book_at(place)
    ids = [book.create(asked(), anyone)[0] for _ in range(3)]
    book.change(ids[0], "running", started_at="2026-11-29T04:25:00Z")
    book.change(ids[0], "completed")
    book.change(ids[1], "running")
    assert book_at(place).all() == book.all()
    assert [record.state for record in book_at(place).all()] == ["completed", "running", "queued"]


def test_archives_are_their_callers_own(local: Place) -> None:
    book = book_at(local)
    archive_id, _ = book.create(asked(ANN), anyone)
    assert book.find(archive_id, "ann").id == archive_id
    for stranger in (book, book_at(local)):
        with pytest.raises(Problem) as caught:
            stranger.find(archive_id, "bob")
        assert caught.value.slug == "not-found"


def test_what_has_ended_never_changes(local: Place) -> None:
    book = book_at(local)
    archive_id, _ = book.create(asked(), anyone)
    ended = book.change(archive_id, "cancelled")
    assert ended.standing.ended_at
    for state in ("queued", "running", "cancelling", "cancelled", "completed"):
        with pytest.raises(Problem) as caught:
            book.change(archive_id, state)
        assert caught.value.slug == "conflict"
    assert book.find(archive_id) == ended


def test_what_is_being_cancelled_does_not_run_again(local: Place) -> None:
    book = book_at(local)
    archive_id, _ = book.create(asked(), anyone)
    book.change(archive_id, "running")
    book.change(archive_id, "cancelling")
    with pytest.raises(Problem):
        book.change(archive_id, "running")


def test_a_runner_that_does_not_lead_writes_nothing(local: Place) -> None:
    archive_id, _ = book_at(local).create(asked(), anyone)
    late = ArchiveBook(local.output, NeverHeld())
    late.load()
    with pytest.raises(LeaseLost):
        late.change(archive_id, "running")
    with pytest.raises(LeaseLost):
        late.create(asked(), anyone)
    assert not local.output.exists(standing_key(archive_id))
    assert len(local.output.list(REQUESTS)) == 1


def test_damaged_entries_are_left_out_and_told(local: Place, caplog: pytest.LogCaptureFixture) -> None:
    book = book_at(local)
    first, second = (book.create(asked(), anyone)[0] for _ in range(2))
    local.output.write_bytes(request_key(first), b"{}")
    local.output.write_bytes(standing_key(second), b"no json")
    assert [(record.id, record.state) for record in book_at(local).all()] == [(second, "queued")]
    assert caplog.text.count("is damaged and left out") == 2
