import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rssr.client import Archive, Client, ServiceError
from rssr.errors import DataError
from tests.rssr.client.scripted import Reply, Scripted


def archive(state: str, **more: Any) -> dict[str, Any]:
    counts = {"scenes": {"total": 2, "published": 1}, "windows": {"total": 4, "done": 2, "failed": 0}}
    return {"id": "a1", "state": state, "progress": 50, "output": "s3://out", "counts": counts, **more}


def test_an_archive_is_submitted_under_one_key_however_often_it_is_tried(service: Scripted) -> None:
    service.replies = [
        Reply(0),
        Reply(503, headers={"Retry-After": "0"}),
        Reply(201, archive("queued", queue_position=1)),
    ]
    made = Client(service.url).archives.submit(["s3://in/a"], "s3://out", model="ldcsr", scale=4, uncertainty=True)
    assert (made.id, made.state, made.queue_position, made.counts.scenes["total"]) == ("a1", "queued", 1, 2)
    keys = {asked.headers["idempotency-key"] for asked in service.asked}
    assert len(service.asked) == 3 and len(keys) == 1
    assert json.loads(service.asked[0].body) == {
        "input": ["s3://in/a"],
        "output": "s3://out",
        "model": "ldcsr",
        "scale": 4,
        "options": {"uncertainty": True},
    }


def test_two_submissions_have_two_keys_unless_the_caller_gives_one(service: Scripted) -> None:
    service.replies = [Reply(201, archive("queued"))] * 3
    archives = Client(service.url).archives
    for key in (None, None, "mine"):
        archives.submit("s3://in", "s3://out", idempotency_key=key)
    keys = [asked.headers["idempotency-key"] for asked in service.asked]
    assert keys[2] == "mine" and len(set(keys)) == 3


def sent_names(body: bytes) -> list[str]:
    start = body.index(b"PK\x03\x04")
    return sorted(zipfile.ZipFile(io.BytesIO(body[start:])).namelist())


def test_folders_and_files_are_packed_and_archives_sent_as_they_are(service: Scripted, tmp_path: Path) -> None:
    (tmp_path / "in" / "north").mkdir(parents=True)
    for name in ("in/town.png", "in/north/lake.png", "ready.tar"):
        (tmp_path / name).write_bytes(name.encode())
    service.replies = [Reply(201, archive("queued"))] * 3
    archives = Client(service.url).archives
    archives.upload(tmp_path / "in", model="bicubic", scale=2)
    archives.upload([tmp_path / "in" / "town.png", str(tmp_path / "in" / "north" / "lake.png")])
    archives.upload(tmp_path / "ready.tar")
    assert sent_names(service.asked[0].body) == ["north/lake.png", "town.png"]
    assert sent_names(service.asked[1].body) == ["lake.png", "town.png"]
    for asked in service.asked:
        boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
        assert asked.body.endswith(b"\r\n--" + boundary + b"--\r\n")
    assert b'name="model"\r\n\r\nbicubic\r\n' in service.asked[0].body
    assert b'name="scale"\r\n\r\n2\r\n' in service.asked[0].body
    assert b'filename="ready.tar"' in service.asked[2].body and b"\r\n\r\nready.tar\r\n" in service.asked[2].body


def test_what_cannot_be_packed_is_refused_before_anything_is_sent(service: Scripted, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("town.png", "a/town.png"):
        (tmp_path / name).write_bytes(b"")
    archives = Client(service.url).archives
    with pytest.raises(DataError, match="same name"):
        archives.upload([tmp_path / "town.png", tmp_path / "a" / "town.png"])
    with pytest.raises(DataError, match="no images"):
        archives.upload(tmp_path / "empty")
    with pytest.raises(DataError, match="no file"):
        archives.upload(tmp_path / "none.zip")
    assert service.asked == []


def test_waiting_ends_with_the_archive_and_outlasts_a_restart(service: Scripted) -> None:
    away = Reply(503, headers={"Retry-After": "0"})
    service.replies = [Reply(200, archive("running")), away, away, Reply(200, archive("completed", progress=100))]
    seen: list[float] = []
    ended = Client(service.url, max_attempts=1).archives.wait("a1", lambda now: seen.append(now.progress))
    assert (ended.state, ended.has_ended, seen) == ("completed", True, [50, 100])


def test_waiting_for_what_is_gone_or_takes_too_long_ends(service: Scripted) -> None:
    service.replies = [Reply(404, {"detail": "Nothing is here."}), Reply(200, archive("running"))]
    archives = Client(service.url).archives
    with pytest.raises(ServiceError, match="Nothing is here"):
        archives.wait("a1")
    with pytest.raises(TimeoutError):
        archives.wait("a1", timeout_s=0)


def test_items_come_page_by_page(service: Scripted) -> None:
    def item(name: str) -> dict[str, Any]:
        file = {"name": f"{name}.tif", "bytes": 3, "sha256": "00", "href": None, "uri": f"s3://out/{name}.tif"}
        return {"name": name, "state": "published", "reason": None, "seam_score": 1.0, "files": [file]}

    service.replies = [
        Reply(200, {"items": [item("a")], "next": "http://behind.example/v1/archives/a1/items?cursor=1"}),
        Reply(200, {"items": [item("b")], "next": None}),
    ]
    items = Client(service.url).archives.items("a1", "published")
    assert next(items).name == "a" and len(service.asked) == 1
    second = next(items)
    assert (second.name, second.reason, second.files[0].uri) == ("b", "", "s3://out/b.tif")
    assert list(items) == []
    assert service.asked[0].params == {"state": "published"} and service.asked[1].params == {"cursor": "1"}


def test_archives_are_listed_looked_at_and_cancelled(service: Scripted) -> None:
    service.replies = [
        Reply(200, {"archives": [archive("running")], "next": None}),
        Reply(200, archive("running", eta_s=9.0)),
        Reply(200, archive("cancelling")),
        Reply(200, content=b"<html>"),
    ]
    archives = Client(service.url).archives
    (found,) = archives.all("running")
    assert isinstance(found, Archive) and archives.get(found).eta_s == 9.0
    assert archives.cancel(found).state == "cancelling"
    assert archives.report("a/1") == b"<html>"
    assert [asked.method for asked in service.asked] == ["GET", "GET", "DELETE", "GET"]


def test_ids_cannot_lead_elsewhere(service: Scripted) -> None:
    service.replies = [Reply(404)]
    with pytest.raises(ServiceError):
        Client(service.url).archives.get("../models?x=")
    assert service.asked[0].path == "/v1/archives/..%2Fmodels%3Fx%3D"
