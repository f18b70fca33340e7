"""What becomes of archives when the process of their runner is killed."""

import json
import os
import signal
from pathlib import Path

from pipelines.bulk.commits.ledger import Ledger
from pipelines.serving.archives.api import PageQuery
from pipelines.serving.archives.records import ArchiveRecord, standing_key
from pipelines.storage import Store
from tests.pipelines.bulk.imagery import Place, png
from tests.pipelines.serving.archives.made_archives import (
    ANN,
    BOB,
    SLOW,
    BulkSettings,
    asked,
    eventually,
    plan_at,
    running,
    until_ended,
    until_working,
)
from tests.processes import start_python

SERVICE = """
import sys, time
from pipelines.storage import StorageSettings
from tests.pipelines.bulk.imagery import Place
from tests.pipelines.serving.archives.made_archives import SLOW, BulkSettings, plan_at, running
with running(plan_at(Place(sys.argv[1], StorageSettings()), BulkSettings(tiling=SLOW))) as service:
    print("runs", flush=True)
    while True:
        time.sleep(1)
"""


def test_every_archive_completes_once_though_its_process_and_then_the_runner_are_killed(local: Place) -> None:
    """Neither is lost, and what was computed or published before is neither computed nor published again."""
    local.put("a.png", png())
    local.put("large.png", png((112, 112)))
    plan = plan_at(local, BulkSettings(tiling=SLOW))
    slow, waiting = asked(ANN, input=(local.uri,)), asked(BOB, input=(f"{local.uri}/a.png",))
    with running(plan) as service:
        service.create(slow)
        service.create(waiting)
    output = plan.output_of(ArchiveRecord(slow))
    with start_python(SERVICE, local.root) as runner:
        until_working(plan, slow, 5)
        first = driver_of(output)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: driver_of(output) not in (0, first))
        second = driver_of(output)
        until_working(plan, slow, 40)
        eventually(lambda: output.exists("a.tif"))
        runner.kill()
        runner.wait()
        eventually(lambda: not Path(f"/proc/{second}").exists() or is_zombie(second))
    assert b"running" in plan.root.read_bytes(standing_key(slow.id))
    published = Path(output.describe("a.tif")).stat().st_mtime_ns
    kept = {entry.key: entry.version for entry in output.list("_work/large")}
    with running(plan) as service:
        assert until_ended(service, slow.id).state == "completed"
        assert until_ended(service, waiting.id, BOB).state == "completed"
        items = service.items(ANN, slow.id, PageQuery(None, 10)).items
    assert [(item.name, item.state) for item in items] == [("a", "done"), ("large", "done")]
    assert Path(output.describe("a.tif")).stat().st_mtime_ns == published
    assert len(kept) >= 30
    assert sorted(Ledger(output).read_all()) == ["a", "large"]


def driver_of(output: Store) -> int:
    """The process that leads the run in an output, as its flag says; 0 for none."""
    flags = [json.loads(output.read_bytes(entry.key)) for entry in output.list("_run/driver")]
    alive = [flag["process"]["pid"] for flag in flags if Path(f"/proc/{flag['process']['pid']}").exists()]
    return int(max(alive, default=0))


def is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()
