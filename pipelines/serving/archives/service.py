"""Archives as a service: takes them, tells of them, and leads their runner while it holds the lease."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.bulk.records import REPORT_KEY
from pipelines.leases.lease import Lease, LeaseHeld
from pipelines.serving.archives.api import (
    Archive,
    ArchivePage,
    CreatedArchive,
    ItemPage,
    PageQuery,
    StoredFile,
)
from pipelines.serving.archives.items import ItemReader, Place
from pipelines.serving.archives.queue import in_turn, require_room
from pipelines.serving.archives.records import LEADER, ArchiveRecord, ArchiveRequest
from pipelines.serving.archives.runner import ArchiveRunner, RunnerPlan
from pipelines.serving.archives.state import ArchiveBook
from pipelines.serving.archives.view import archive_answer, path_of, shown, shown_page
from pipelines.serving.caller import Caller
from pipelines.serving.problems import Problem
from pipelines.storage import ObjectMissing
from pipelines.timestamps import timestamp
from rssr.errors import RssrError

log = logging.getLogger(__name__)

Records = Sequence[ArchiveRecord]

_PATIENCE_S = 5.0  # how long a request waits for a runner that is about to lead
_RETRY_S = 5
_PAUSE_S = 0.5
_ENDS_S = 30.0


@dataclass(frozen=True)
class _Leading:
    """What there is while this process leads."""

    book: ArchiveBook
    runner: ArchiveRunner


class ArchiveService:
    """Keeps and runs archives; methods are those of `ArchiveApi`, and safe to call from several threads.

    Several may be started on one place, e.g. while one replaces another: one leads, and the others wait for it to end.

    Args:
        plan: What it works with.
    """

    def __init__(self, plan: RunnerPlan) -> None:
        self._plan = plan
        self._items = ItemReader()
        self._leading: _Leading | None = None
        self._leads = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._lead_always, name="archive runner", daemon=True)

    def start(self) -> None:
        """Lead as soon as nobody else does. What was running goes on."""
        self._thread.start()

    def stop(self) -> None:
        """End what runs, so that another runner can go on with it, and let that one lead. Again is no error."""
        self._stopping.set()
        if self._leading is not None:
            self._leading.runner.woken.set()
        if self._thread.ident is not None:
            self._thread.join(self._plan.config.stop_s + _ENDS_S)

    @property
    def is_alive(self) -> bool:
        """Whether it leads or waits for that."""
        return self._thread.is_alive()

    def admit(self, caller: Caller, idempotency_key: str) -> None:
        """See `ArchiveApi.admit`."""
        leading = self._lead()
        if leading.book.known_key(caller.name, idempotency_key) is None:
            self._require_room(leading, caller.name, leading.book.open())

    def create(self, request: ArchiveRequest) -> CreatedArchive:
        """See `ArchiveApi.create`."""
        leading = self._lead()
        dated = request if request.created_at else replace(request, created_at=timestamp())
        archive_id, is_replay = leading.book.create(
            dated, lambda records: self._require_room(leading, request.caller, records)
        )
        leading.runner.woken.set()
        return CreatedArchive(self._answer(leading, leading.book.find(archive_id)), is_replay)

    def show(self, caller: Caller, archive_id: str) -> Archive:
        """See `ArchiveApi.show`."""
        leading = self._lead()
        return self._answer(leading, leading.book.find(archive_id, caller.name))

    def list(self, caller: Caller, query: PageQuery) -> ArchivePage:
        """See `ArchiveApi.list`."""
        leading = self._lead()
        own = (record for record in reversed(leading.book.all()) if record.caller == caller.name)
        wanted = [
            record
            for record in own
            if query.state in (None, record.state) and (not query.cursor or record.id < query.cursor)
        ]
        page = wanted[: query.limit]
        positions = _positions(leading)
        answers = [self._answer(leading, record, positions) for record in page]
        return ArchivePage(archives=answers, next=page[-1].id if len(wanted) > len(page) else None)

    def items(self, caller: Caller, archive_id: str, query: PageQuery) -> ItemPage:
        """See `ArchiveApi.items`."""
        record = self._lead().book.find(archive_id, caller.name)
        found, cursor = self._items.page(self._place(record), query)
        return ItemPage(items=found, next=cursor or None)

    def file(self, caller: Caller, archive_id: str, path: str) -> StoredFile:
        """See `ArchiveApi.file`."""
        record = self._lead().book.find(archive_id, caller.name)
        place = self._place(record)
        found = None if place.href is None else self._items.file(place, path)
        if found is None:
            raise Problem("not-found", "No product of this archive has such a file.", "Its items name the files.")
        return StoredFile(place.store.uri, found.key, found.num_bytes, found.sha256)

    def report(self, caller: Caller, archive_id: str) -> bytes:
        """See `ArchiveApi.report`."""
        record = self._lead().book.find(archive_id, caller.name)
        try:
            page = self._plan.output_of(record).read_bytes(REPORT_KEY)
        except ObjectMissing:
            if record.standing.has_ended:
                raise Problem("not-found", "This archive ended without a report.", "Its problem tells why.") from None
            raise Problem(
                "conflict",
                f"The archive is {record.state}; its report is written at the end.",
                "Ask again when it has ended.",
                {"Retry-After": str(_RETRY_S)},
            ) from None
        return shown_page(page.decode(), self._plan.root, record.request.model_source).encode()

    def cancel(self, caller: Caller, archive_id: str) -> Archive:
        """See `ArchiveApi.cancel`."""
        leading = self._lead()
        record = leading.book.find(archive_id, caller.name)
        if record.state == "queued":
            record = leading.book.change(archive_id, "cancelled")
        elif record.state == "running":
            record = leading.book.change(archive_id, "cancelling")
        elif record.state not in ("cancelling", "cancelled"):
            raise Problem(
                "conflict", f"The archive is {record.state}: nothing is left to cancel.", "It stays as it is."
            )
        leading.runner.woken.set()
        return self._answer(leading, record)

    def _lead(self) -> _Leading:
        self._leads.wait(_PATIENCE_S)
        leading = self._leading
        if leading is None:
            raise Problem(
                "starting",
                "The archive runner is starting.",
                f"Send it again in {_RETRY_S} s.",
                {"Retry-After": str(_RETRY_S)},
            )
        return leading

    def _answer(self, leading: _Leading, record: ArchiveRecord, positions: Mapping[str, int] | None = None) -> Archive:
        position = None
        if record.state == "queued":
            position = (_positions(leading) if positions is None else positions).get(record.id)
        return archive_answer(record, self._plan.root, position, leading.runner.live(record.id))

    def _place(self, record: ArchiveRecord) -> Place:
        href = None if record.request.output is not None else f"{path_of(record.id)}/files"
        store, root = self._plan.output_of(record), self._plan.root
        return Place(store, href, lambda text: shown(text, root), record.standing.has_ended)

    def _require_room(self, leading: _Leading, caller: str, records: Records) -> None:
        live = (leading.runner.live(record.id) for record in records if record.caller == caller)
        etas = [progress.eta_s for progress in live if progress is not None and progress.eta_s is not None]
        require_room(caller, records, self._plan.config, min(etas, default=None))

    def _lead_always(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._lease() as lease:
                    book = ArchiveBook(self._plan.root, lease)
                    book.load()
                    self._lead_with(_Leading(book, ArchiveRunner(book, self._plan)))
            except LeaseHeld as error:
                log.debug("Another archive runner leads: %s", error)
            except RssrError as error:
                log.info("The archive runner waits: %s", error)
            except Exception:
                log.exception("The archive runner stumbled.")
            self._stopping.wait(_PAUSE_S)

    def _lead_with(self, leading: _Leading) -> None:
        self._leading = leading
        self._leads.set()
        try:
            leading.runner.run(self._stopping)
        finally:
            self._leads.clear()
            self._leading = None

    def _lease(self) -> Lease:
        return Lease(self._plan.root, LEADER, "the archive runner", self._plan.config.lease_s)


def _positions(leading: _Leading) -> dict[str, int]:
    """Places in the queue, from 1."""
    return {record.id: place for place, record in enumerate(in_turn(leading.book.open()), 1)}
