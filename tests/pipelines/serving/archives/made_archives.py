"""Archives that are small enough to be run for real, and services that run them."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.bulk.config import BulkTilingConfig
from pipelines.serving.archives.api import Archive
from pipelines.serving.archives.config import ArchivesConfig
from pipelines.serving.archives.ids import new_archive_id
from pipelines.serving.archives.order import BulkSettings
from pipelines.serving.archives.records import ENDED, ArchiveRecord, ArchiveRequest, ArchiveState, Standing
from pipelines.serving.archives.runner import RunnerPlan
from pipelines.serving.archives.service import ArchiveService
from pipelines.serving.caller import Caller
from tests.pipelines.bulk.imagery import Place

ANN, BOB = Caller("ann"), Caller("bob")

# Many small windows: an archive that can be caught while it runs.
SLOW = BulkTilingConfig(tile_size=16, halo=4, tiles_a_side=1)

_PATIENCE_S = 240.0
QUICK: dict[str, Any] = {"poll_s": 0.05, "retry_s": 0.1, "stop_s": 5.0, "lease_s": 3.0, "niceness": 0}
_MOMENTS = itertools.count(1_796_000_000)


def asked(caller: Caller = ANN, **values: Any) -> ArchiveRequest:
    """A request, later than the one before; bicubic x2 into the service's own place unless told otherwise."""
    told: dict[str, Any] = {"id": new_archive_id(next(_MOMENTS)), "input": ("/in",), "output": None, "model": "bicubic"}
    return ArchiveRequest(**{**told, "caller": caller.name, "model_source": "bicubic", "scale": 2.0, **values})


def record(caller: Caller = ANN, state: ArchiveState = "queued", **values: Any) -> ArchiveRecord:
    """An archive in a state."""
    return ArchiveRecord(asked(caller, **values), Standing(state))


def plan_at(place: Place, bulk: BulkSettings | None = None, **config: Any) -> RunnerPlan:
    """What a service at a place works with."""
    root = place.output.child("state")
    return RunnerPlan(root, place.settings, ArchivesConfig(**{**QUICK, **config}), bulk or BulkSettings())


@contextmanager
def running(plan: RunnerPlan) -> Iterator[ArchiveService]:
    """A service that leads; its processes are gone after the block."""
    service = ArchiveService(plan)
    service.start()
    try:
        yield service
    finally:
        service.stop()
        assert not service.is_alive


def until_ended(service: ArchiveService, archive_id: str, caller: Caller = ANN) -> Archive:
    """Wait for an archive."""
    return until(service, archive_id, *ENDED, caller=caller)


def until(service: ArchiveService, archive_id: str, *states: ArchiveState, caller: Caller = ANN) -> Archive:
    """Wait until it is in one of these states."""
    eventually(lambda: service.show(caller, archive_id).state in (*states, *ENDED))
    archive = service.show(caller, archive_id)
    assert archive.state in states, f"it is {archive.state}: {archive.problem}"
    return archive


def until_working(plan: RunnerPlan, request: ArchiveRequest, num_windows: int = 3) -> None:
    """Wait until an archive's run has kept some windows."""
    output = plan.output_of(ArchiveRecord(request))
    eventually(lambda: len(output.list("_work")) >= num_windows)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for something that processes do which take a while to begin."""
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
