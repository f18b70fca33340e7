"""Archives from request to products, with real runs in real processes."""

import hashlib
import os
import signal

import pytest

from pipelines.bulk.commits.ledger import Ledger
from pipelines.serving.archives.api import PageQuery
from pipelines.serving.archives.ids import new_archive_id
from pipelines.serving.archives.order import BulkSettings
from pipelines.serving.archives.records import UPLOADS, ArchiveRecord
from pipelines.serving.archives.service import ArchiveService
from pipelines.serving.problems import Problem
from pipelines.storage import open_store
from tests.pipelines.bulk.imagery import Place, png, tif, zipped
from tests.pipelines.serving.archives.made_archives import (
    ANN,
    BOB,
    SLOW,
    asked,
    eventually,
    plan_at,
    running,
    until,
    until_ended,
    until_working,
)

ALL = PageQuery(None, 100)
SLOWLY = BulkSettings(tiling=SLOW)


def test_archives_become_products_where_their_caller_wants_them_or_say_why_not(bucket: Place) -> None:
    bucket.put("a.png", png())
    bucket.put("b/c.tif", tif())
    bucket.put("broken.png", b"no picture")
    output = f"{bucket.root}/products"
    with running(plan_at(bucket)) as service:
        bad = service.create(asked(input=(f"{bucket.root}/nothing",), request_id="r-1")).archive.id
        made = service.create(asked(input=(bucket.uri,), output=output)).archive
        assert (made.state, made.progress) == ("queued", 0)
        ended, failed = until_ended(service, made.id), until_ended(service, bad)
        page = service.items(ANN, made.id, ALL)
    assert (ended.state, ended.progress, ended.problem) == ("completed_with_failures", 100, None)
    assert ended.created_at <= str(ended.started_at) <= str(ended.ended_at)
    counts = ended.counts.scenes
    assert (counts.total, counts.published, counts.refused, counts.waiting) == (3, 2, 1, 0)
    assert [(item.name, item.state) for item in page.items] == [("a", "done"), ("b/c", "done"), ("broken", "refused")]
    assert "no picture" not in str(page.items[2].reason) and "can be read" in str(page.items[2].reason)
    store = open_store(output, bucket.settings)
    files = [file for item in page.items for file in item.files]
    assert len(files) == 8
    for file in files:
        assert (file.href, file.uri) == (None, store.describe(file.name))
        assert hashlib.sha256(store.read_bytes(file.name)).hexdigest() == file.sha256
    assert failed.state == "failed" and failed.problem is not None
    assert failed.problem["type"] == "/problems/invalid-request"
    assert (failed.problem["request_id"], failed.problem["instance"]) == ("r-1", f"/v1/archives/{bad}")
    assert "does not exist" in failed.problem["detail"]


def test_an_upload_becomes_products_that_the_service_keeps(local: Place) -> None:
    plan, name = plan_at(local), new_archive_id()
    request = asked(id=name, input=(), upload=f"{UPLOADS}/{name}.zip")
    plan.root.write_bytes(request.upload, zipped({"one.png": png(), "two.png": png(seed=2)}))
    with running(plan) as service:
        service.create(request)
        with pytest.raises(Problem) as early:
            service.report(ANN, request.id)
        assert (early.value.slug, "Retry-After" in early.value.headers) == ("conflict", True)
        assert until_ended(service, request.id).state == "completed"
        item = service.items(ANN, request.id, ALL).items[1]
        file = service.file(ANN, request.id, "two.tif")
        report = service.report(ANN, request.id).decode()
        strangers = ["three.tif", "two", "_run/run.json", "../x", f"{UPLOADS}/{request.id}.zip", "", "/etc/passwd"]
        for path in strangers:
            with pytest.raises(Problem):
                service.file(ANN, request.id, path)
        with pytest.raises(Problem):
            service.file(BOB, request.id, "two.tif")
        with pytest.raises(Problem) as late:
            service.cancel(ANN, request.id)
        assert late.value.slug == "conflict"
    assert (item.name, item.files[0].href) == ("two", f"/v1/archives/{request.id}/files/two.tif")
    content = open_store(file.location, plan.storage).read_bytes(file.key)
    assert hashlib.sha256(content).hexdigest() == file.sha256 == item.files[0].sha256
    assert "two" in report and plan.root.uri not in report
    metadata = open_store(file.location, plan.storage).read_bytes("two.json")
    assert b"upload://" in metadata
    assert all(plan.root.uri.encode() not in said for said in (content, metadata)), (
        "products tell nothing of the server"
    )
    assert plan.root.list(UPLOADS) == []


def test_archives_are_cancelled_queued_or_running(local: Place) -> None:
    local.put("a.png", png())
    local.put("large.png", png((160, 160)))
    plan = plan_at(local, SLOWLY)
    first, second, third = (asked(input=(local.uri,)) for _ in range(3))
    with running(plan) as service:
        for request in (first, second, third):
            service.create(request)
        until_working(plan, first, 20)
        assert [service.show(ANN, request.id).queue_position for request in (first, second, third)] == [None, 1, 2]
        assert service.cancel(ANN, second.id).state == "cancelled"
        assert service.show(ANN, third.id).queue_position == 1
        assert service.cancel(ANN, first.id).state == "cancelling"
        assert service.cancel(ANN, first.id).state in ("cancelling", "cancelled")
        stopped = until_ended(service, first.id)
        assert service.cancel(ANN, first.id).state == "cancelled"
        assert until(service, third.id, "running").state == "running"
        assert service.cancel(ANN, third.id).state == "cancelling"
        until_ended(service, third.id)
        never = service.show(ANN, second.id)
        with pytest.raises(Problem):
            service.cancel(BOB, first.id)
    assert (stopped.state, stopped.problem) == ("cancelled", None)
    assert "stay" in str(stopped.note)
    assert (never.started_at, never.note) == (None, None)
    assert plan.output_of(ArchiveRecord(first)).list("_work") != []


def test_an_archive_whose_process_dies_each_time_fails(local: Place) -> None:
    local.put("large.png", png((160, 160)))
    plan, request = plan_at(local, SLOWLY, max_attempts=1), asked(input=(local.uri,))
    with running(plan) as service:
        service.create(request)
        until_working(plan, request)
        os.kill(pid_of(service, request.id), signal.SIGKILL)
        failed = until_ended(service, request.id)
    assert failed.problem is not None and "signal 9" in failed.problem["detail"]


def test_history_and_what_runs_outlive_the_service(bucket: Place) -> None:
    bucket.put("large.png", png((96, 96)))
    plan = plan_at(bucket, SLOWLY)
    slow, other, cancelled = (asked(caller, input=(bucket.uri,)) for caller in (ANN, BOB, ANN))
    with running(plan) as service:
        for request in (slow, other, cancelled):
            service.create(request)
        before = service.cancel(ANN, cancelled.id)
        until_working(plan, slow, 10)
        process = pid_of(service, slow.id)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    kept = len(plan.output_of(ArchiveRecord(slow)).list("_work"))
    with running(plan) as service:
        assert service.show(ANN, cancelled.id) == before
        assert [archive.id for archive in service.list(ANN, PageQuery(None, 10)).archives] == [cancelled.id, slow.id]
        assert until_ended(service, slow.id).state == "completed"
        assert until_ended(service, other.id, BOB).state == "completed"
    assert kept >= 10
    assert len(Ledger(plan.output_of(ArchiveRecord(slow))).read_all()) == 1


def test_only_one_of_two_services_leads_and_the_other_takes_over(local: Place) -> None:
    plan, page = plan_at(local), PageQuery(None, 1)
    with running(plan) as first:
        assert first.list(ANN, page).archives == []
        with running(plan) as second:
            with pytest.raises(Problem) as caught:
                second.list(ANN, page)
            assert (caught.value.slug, "Retry-After" in caught.value.headers) == ("starting", True)
            first.stop()
            eventually(lambda: second._leading is not None)
            assert second.list(ANN, page).archives == []


def test_lists_are_the_callers_own_and_come_in_pages(local: Place) -> None:
    with running(plan_at(local, max_running=1)) as service:
        ids = [service.create(asked(input=(f"{local.root}/nothing",))).archive.id for _ in range(3)]
        other = service.create(asked(BOB, input=(f"{local.root}/nothing",))).archive.id
        first = service.list(ANN, PageQuery(None, 2))
        rest = service.list(ANN, PageQuery(None, 2, str(first.next)))
        assert [archive.id for archive in (*first.archives, *rest.archives)] == sorted(ids, reverse=True)
        assert rest.next is None
        assert [archive.id for archive in service.list(BOB, PageQuery(None, 2)).archives] == [other]
        assert service.list(ANN, PageQuery("completed", 2)).archives == []


def pid_of(service: ArchiveService, archive_id: str) -> int:
    """The process of an archive that runs."""
    leading = service._leading
    assert leading is not None
    return leading.runner._processes[archive_id].pid
