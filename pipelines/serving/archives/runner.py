"""The archive runner: begins archives in turn, each in a process of its own, and writes down what comes of them."""

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.leases.lease import LeaseLost
from pipelines.serving.archives.config import ArchivesConfig
from pipelines.serving.archives.counts import LiveProgress, live_progress
from pipelines.serving.archives.endings import NOT_BEGUN, ending_of
from pipelines.serving.archives.history import HistoryRemover
from pipelines.serving.archives.order import BulkSettings, Order
from pipelines.serving.archives.process import ArchiveProcess
from pipelines.serving.archives.queue import next_to_begin
from pipelines.serving.archives.records import ArchiveRecord, Counts
from pipelines.serving.archives.state import ArchiveBook
from pipelines.serving.archives.uploads import sweep_uploads
from pipelines.serving.problems import Problem
from pipelines.storage import StorageSettings, Store, open_store
from pipelines.timestamps import timestamp
from rssr.errors import RssrError

log = logging.getLogger(__name__)

_LOOK_S = 1.0  # between two readings of what a run tells of itself
_SWEEP_S = 60.0
_PAUSE_S = 1.0  # after something that failed
_END_PAUSE_S = 0.05


class ArchiveMetrics(Protocol):
    """What is counted."""

    def archives_are(self, by_state: Mapping[str, int]) -> None:
        """So many archives there are, by state."""

    def archive_scenes_done(self, outcome: str, number: int = 1) -> None:
        """So many more scenes of archives have ended like this."""


class NoMetrics:
    """Counts nothing."""

    def archives_are(self, by_state: Mapping[str, int]) -> None:
        """Not counted."""

    def archive_scenes_done(self, outcome: str, number: int = 1) -> None:
        """Not counted."""


@dataclass(frozen=True)
class RunnerPlan:
    """What a runner works with.

    Attributes:
        root: The service's own place.
        storage: How to reach S3.
        config: How many archives at a time, and how.
        bulk: What their runs have in common.
        metrics: Counts.
    """

    root: Store
    storage: StorageSettings | None = None
    config: ArchivesConfig = field(default_factory=ArchivesConfig)
    bulk: BulkSettings = field(default_factory=BulkSettings)
    metrics: ArchiveMetrics = field(default_factory=NoMetrics)

    def output_of(self, record: ArchiveRecord) -> Store:
        """Where an archive's products lie."""
        if record.request.output is None:
            return self.root.child(str(record.request.products))
        return open_store(record.request.output, self.storage)


class ArchiveRunner:
    """Runs what the book holds, as long as it leads.

    Args:
        book: All archives.
        plan: What it works with.
    """

    def __init__(self, book: ArchiveBook, plan: RunnerPlan) -> None:
        self.woken = threading.Event()
        self._book = book
        self._plan = plan
        self._processes: dict[str, ArchiveProcess] = {}
        self._live: dict[str, LiveProgress] = {}
        self._begun_at: dict[str, str] = {}  # of the process at work
        self._looked_at: dict[str, float] = {}
        self._looks: dict[str, Future[LiveProgress | None]] = {}
        self._lookers = ThreadPoolExecutor(plan.config.max_running, "progress of archives")
        self._rests_until: dict[str, float] = {}
        self._swept_at = float("-inf")
        self._history = HistoryRemover(book, plan.root, plan.config.keep_days)

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop; what runs then is ended, and goes on with the next runner.

        One archive that fails stops no other, and storage that fails is waited for.

        Raises:
            LeaseLost: Another runner leads.
        """
        try:
            while not stopping.is_set():
                self.woken.clear()
                try:
                    self._step()
                    self.woken.wait(self._plan.config.poll_s)
                except LeaseLost:
                    raise
                except Problem as error:  # a caller was faster, e.g. cancelled what was about to begin
                    log.info("The archive runner looks again: %s", error.detail)
                except RssrError as error:
                    log.warning("The archive runner waits: %s", error)
                    self.woken.wait(_PAUSE_S)
                except Exception:
                    log.exception("The archive runner stumbled.")
                    self.woken.wait(_PAUSE_S)
        finally:
            self._end_all()

    def live(self, archive_id: str) -> LiveProgress | None:
        """How far a run is; None where it does not run, or has not told."""
        return self._live.get(archive_id)

    def _step(self) -> None:
        for archive_id in list(self._processes):
            self._attend(self._book.find(archive_id), self._processes[archive_id])
        for record in self._book.open():
            if record.state == "cancelling" and record.id not in self._processes:  # its process died with its runner
                self._book.change(record.id, "cancelled")
        while (following := self._next()) is not None:
            self._begin(following)
        self._plan.metrics.archives_are(self._book.by_state())
        if time.monotonic() - self._swept_at > _SWEEP_S:
            self._sweep()

    def _next(self) -> ArchiveRecord | None:
        moment = time.monotonic()
        resting = [archive_id for archive_id, until in self._rests_until.items() if until > moment]
        return next_to_begin(self._book.open(), self._processes, resting, self._plan.config)

    def _begin(self, record: ArchiveRecord) -> None:
        try:
            config = self._plan.bulk.config_of(record.request, self._plan.root)
        except ValueError:
            log.exception("Archive %s cannot be begun.", record.id)
            self._book.change(record.id, "failed", problem=NOT_BEGUN)
            return
        started_at = record.standing.started_at or timestamp()
        record = self._book.change(record.id, "running", started_at=started_at)
        order = Order(record.id, config.model_dump(mode="json"), self._plan.config.niceness)
        self._begun_at[record.id] = timestamp()
        self._looked_at[record.id] = time.monotonic()
        self._processes[record.id] = ArchiveProcess(order, self.woken.set)
        log.info("Archive %s begins.", record.id, extra={"archive_id": record.id})

    def _attend(self, record: ArchiveRecord, process: ArchiveProcess) -> None:
        if process.has_ended:
            self._settle(record, process)
            return
        if record.state == "cancelling":
            process.stop(self._plan.config.stop_s)
        else:
            self._look(record)

    def _look(self, record: ArchiveRecord) -> None:
        """Take up what another thread has read of a run's progress: its store may be slow, or not there at all."""
        look = self._looks.get(record.id)
        if look is not None and look.done():
            told = look.result()
            if told is not None:
                self._count(record, told.counts)
                self._live[record.id] = told
        moment = time.monotonic()
        if (look is None or look.done()) and moment - self._looked_at[record.id] > _LOOK_S:
            self._looked_at[record.id] = moment
            self._looks[record.id] = self._lookers.submit(self._told, record, self._begun_at[record.id])

    def _told(self, record: ArchiveRecord, since: str) -> LiveProgress | None:
        try:
            return live_progress(self._plan.output_of(record), since)
        except RssrError as error:
            log.info("The progress of archive %s cannot be read: %s", record.id, error)
            return None

    def _settle(self, record: ArchiveRecord, process: ArchiveProcess) -> None:
        outcome, config = process.outcome(), self._plan.config
        num_attempts = record.standing.num_attempts + 1
        is_cancelled = record.state == "cancelling"
        ending = ending_of(outcome, process.death(), is_cancelled, config.max_attempts - num_attempts)
        changes: dict[str, Any] = {"num_attempts": num_attempts, "problem": ending.problem}
        if outcome is not None and outcome.counts.scenes:
            changes |= {"counts": outcome.counts, "model_version": outcome.model_version}
        elif record.id in self._live:
            changes["counts"] = self._live[record.id].counts
        if "counts" in changes:
            self._count(record, changes["counts"])
        after = self._book.change(record.id, ending.state or record.state, **changes)
        del self._processes[record.id]
        self._live.pop(record.id, None)
        self._looks.pop(record.id, None)
        if ending.state is None:
            self._rests_until[record.id] = time.monotonic() + config.retry_s * 2 ** (num_attempts - 1)
            log.warning("Archive %s will be tried again: its process %s.", record.id, process.death())
        log.info("Archive %s is %s.", after.id, after.state, extra={"archive_id": after.id})
        self._sweep()

    def _count(self, record: ArchiveRecord, counts: Counts) -> None:
        before = self._live[record.id].counts if record.id in self._live else record.standing.counts
        for outcome, number in counts.scenes.items():
            more = number - before.scenes.get(outcome, 0)
            if outcome not in ("waiting", "total") and more > 0:
                self._plan.metrics.archive_scenes_done(outcome, more)

    def _sweep(self) -> None:
        self._swept_at = time.monotonic()
        sweep_uploads(self._plan.root, self._book.all(), self._plan.config.keep_uploads_s)
        self._history.look()

    def _end_all(self) -> None:
        """End what runs; in the book it goes on running, and the next runner takes it up."""
        while running := [process for process in self._processes.values() if not process.has_ended]:
            for process in running:
                process.stop(self._plan.config.stop_s)
            time.sleep(_END_PAUSE_S)
        self._processes.clear()
        self._history.end()
        self._lookers.shutdown(wait=False, cancel_futures=True)
