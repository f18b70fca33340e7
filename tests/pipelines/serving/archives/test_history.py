"""Archives that ended long ago are removed, whole in the end, whatever cuts that off."""

import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from pipelines.leases.lease import LeaseLost
from pipelines.serving.archives.history import remove_old
from pipelines.serving.archives.ids import new_archive_id
from pipelines.serving.archives.records import KEPT, UPLOADS, ArchiveRecord, ArchiveState
from pipelines.serving.archives.state import ArchiveBook
from pipelines.serving.problems import Problem
from pipelines.storage import Store
from pipelines.timestamps import timestamp
from tests.pipelines.bulk.imagery import Place
from tests.pipelines.bulk.made_run import AlwaysHeld
from tests.pipelines.serving.archives.made_archives import ANN, asked, plan_at, running
from tests.processes import run_python, wait_until

DAYS = 30.0
NUM_FILES = 300  # more than are removed between two looks at the lease
REMOVER = """
import os, signal, sys
from pipelines.serving.archives.history import remove_old
from pipelines.serving.archives.state import ArchiveBook
from pipelines.storage import open_store

class HeldToDeath:
    num_left = int(sys.argv[2])

    def require_held(self):
        if self.num_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.num_left -= 1

root = open_store(sys.argv[1])
book = ArchiveBook(root, HeldToDeath())
book.load()
remove_old(book, root, 30.0)
"""


class HeldFor:
    """A lease that is lost after some looks at it."""

    def __init__(self, num_looks: int) -> None:
        self.num_left = num_looks

    def require_held(self) -> None:
        self.num_left -= 1
        if self.num_left < 0:
            raise LeaseLost("Another one leads.")


def anyone(records: Sequence[ArchiveRecord]) -> None:
    """There is always room."""


def book_at(root: Store, held: AlwaysHeld | HeldFor | None = None) -> ArchiveBook:
    book = ArchiveBook(root, held or AlwaysHeld())
    book.load()
    return book


def made(root: Store, state: ArchiveState, days_ago: float, num_files: int = 3, **values: str) -> ArchiveRecord:
    """An archive in a state, with an upload, a key and products that the service keeps."""
    archive_id = new_archive_id()
    request = asked(
        id=archive_id, upload=f"{UPLOADS}/{archive_id}.zip", idempotency_key=archive_id, digest="d", **values
    )
    book = book_at(root)
    book.create(request, anyone)
    if state != "queued":
        book.change(request.id, "running")
    if state not in ("queued", "running"):
        ended_at = timestamp(datetime.now(UTC) - timedelta(days=days_ago))
        book.change(request.id, state, ended_at=ended_at)
    for key in (request.upload, *(f"{KEPT}/{request.id}/products/{number}.tif" for number in range(num_files))):
        root.write_bytes(key, b"x")
    return book.find(request.id)


def about(root: Store, archive: ArchiveRecord) -> list[str]:
    return [entry.key for entry in root.list() if archive.id in entry.key]


def test_what_ended_long_ago_goes_with_all_that_is_kept_of_it_and_nothing_else(place: Place) -> None:
    root = place.output
    old = [made(root, state, 31) for state in ("completed", "failed", "cancelled")]
    kept = [made(root, "completed_with_failures", 29), made(root, "running", 99), made(root, "queued", 99)]
    before = [about(root, archive) for archive in kept]
    assert remove_old(book_at(root), root, DAYS) == 3
    assert [about(root, archive) for archive in old] == [[], [], []]
    assert [about(root, archive) for archive in kept] == before
    assert len(root.list("archive-records/keys")) == len(kept)
    assert {record.id for record in book_at(root).all()} == {archive.id for archive in kept}


def test_products_in_a_callers_own_output_stay(local: Place, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "a.tif").write_bytes(b"x")
    made(local.output, "completed", 31, num_files=0, output=str(theirs))
    assert remove_old(book_at(local.output), local.output, DAYS) == 1
    assert (theirs / "a.tif").read_bytes() == b"x"
    assert local.output.list() == []


def test_without_a_number_of_days_everything_is_kept(local: Place) -> None:
    old = made(local.output, "completed", 9999)
    assert remove_old(book_at(local.output), local.output, None) == 0
    assert book_at(local.output).find(old.id) == old


def test_what_is_removed_is_not_there_from_the_beginning_of_that_on(local: Place) -> None:
    old, book = made(local.output, "completed", 31), book_at(local.output)
    book.begin_removal(old.id)
    for reader in (book, book_at(local.output)):
        with pytest.raises(Problem) as caught:
            reader.find(old.id)
        assert caught.value.slug == "not-found"
        assert reader.by_state() == {}
        assert reader.known_key(ANN.name, old.request.idempotency_key) is None
    assert about(local.output, old) != []


def test_what_has_not_ended_is_not_removed(local: Place) -> None:
    for archive in (made(local.output, "queued", 0), made(local.output, "running", 0)):
        with pytest.raises(Problem):
            book_at(local.output).begin_removal(archive.id)
    assert len(book_at(local.output).all()) == 2


@pytest.mark.parametrize("num_looks", range(3))
def test_a_removal_that_is_cut_off_is_ended_by_the_next_runner(local: Place, num_looks: int) -> None:
    root, old = local.output, made(local.output, "completed", 31)
    with pytest.raises(LeaseLost):
        remove_old(book_at(root, HeldFor(num_looks)), root, DAYS)
    is_there = [record.id for record in book_at(root).all()] == [old.id]
    assert is_there == (num_looks == 0)
    remove_old(book_at(root), root, None if num_looks else DAYS)
    assert root.list() == []


def test_a_removal_outlives_the_death_of_its_process(local: Place) -> None:
    root = local.output
    archives = [made(root, "completed", 31, NUM_FILES) for _ in range(2)]
    young = made(root, "completed", 1)
    with pytest.raises(CalledProcessError) as caught:
        run_python(REMOVER, root.uri, 3)  # both are marked, and some files of the first are gone
    assert caught.value.returncode == -signal.SIGKILL
    assert 0 < len(about(root, archives[0])) < NUM_FILES < len(about(root, archives[1]))
    book = book_at(root)
    assert [record.id for record in book.all()] == [young.id], "what is half removed is not there"
    remove_old(book, root, None)
    assert [about(root, archive) for archive in archives] == [[], []]
    assert len(about(root, young)) == 6


def test_a_key_that_was_sent_again_meanwhile_stays_with_the_new_archive(local: Place) -> None:
    old, book = made(local.output, "completed", 31), book_at(local.output)
    book.begin_removal(old.id)
    again = asked(digest="d", idempotency_key=old.request.idempotency_key)
    assert book.create(again, anyone) == (again.id, False)
    remove_old(book, local.output, DAYS)
    assert book_at(local.output).create(replace(again, id=asked().id), anyone) == (again.id, True)


def test_a_service_removes_what_is_due_by_itself(local: Place) -> None:
    plan = plan_at(local, keep_days=DAYS)
    old = made(plan.root, "completed", 31)
    with running(plan) as service:
        wait_until(lambda: about(plan.root, old) == [])
        with pytest.raises(Problem) as caught:
            service.show(ANN, old.id)
    assert caught.value.slug == "not-found"
