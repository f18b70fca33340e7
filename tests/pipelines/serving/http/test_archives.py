"""Archives as callers see them, over HTTP."""

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from pipelines.serving.archives.api import ChosenModel
from pipelines.serving.archives.calls import CalledArchives, calls_here
from pipelines.serving.archives.records import REQUESTS, UPLOADS
from pipelines.serving.http.archive_requests import UPLOAD_PART, form_fields
from pipelines.serving.http.archives import ArchiveDoor, archive_routes
from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.guard import Guard
from pipelines.serving.http.uploads import received
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.keys import Keys
from pipelines.storage import StorageSettings, Store
from rssr.service_keys import key_digest, new_key
from tests.pipelines.bulk.imagery import Place, png, zipped
from tests.pipelines.serving.archives.made_archives import plan_at, running
from tests.pipelines.serving.http.live import Answer, Live, live

PATH = "/v1/archives"
ANN_KEY, BOB_KEY = new_key(), new_key()
ENDED = ("completed", "completed_with_failures", "failed", "cancelled")


@dataclass(frozen=True)
class OpenPlaces:
    """Everything but one prefix."""

    closed: str

    def check_read(self, uri: str, caller: str) -> None:
        if uri.startswith(self.closed) or caller not in ("ann", "bob"):
            raise Problem("forbidden-place", "This place is closed.")

    def check_write(self, uri: str) -> None:
        self.check_read(uri, "ann")


@dataclass(frozen=True)
class Scene:
    """A running service, its own place, and scenes to name."""

    server: Live
    root: Store
    uri: str

    def ask(self, method: str, path: str, body: Any = None, key: str = ANN_KEY, **headers: str) -> Answer:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        kind = {"content_type": "application/json"} if isinstance(body, dict) else {}
        return self.server.ask(method, path, data, authorization=f"Bearer {key}", **{**kind, **headers})

    def until_ended(self, archive_id: str) -> dict[str, Any]:
        while (archive := self.ask("GET", f"{PATH}/{archive_id}").document)["state"] not in ENDED:
            time.sleep(0.1)
        return archive


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "in").mkdir()
    place = Place(str(folder), StorageSettings())
    place.put("a.png", png())
    plan = plan_at(place, max_queued_per_caller=6)
    limits = LimitsConfig(max_upload_bytes=100_000, scratch_folder=str(folder))
    keys = Keys(lines=f"ann:{key_digest(ANN_KEY)},bob:{key_digest(BOB_KEY)}")

    async def choose(name: str | None) -> ChosenModel:
        if name not in (None, "bicubic"):
            raise Problem("model-unknown", "There is no such model.")
        return ChosenModel("bicubic", "bicubic", 2.0)

    def check(path: Path, ending: str) -> None:
        if path.stat().st_size > limits.max_upload_bytes // 2:
            raise Problem("body-too-large", "Too much in it.")

    with running(plan) as archives:
        app = FastAPI()
        receive = partial(received, limits=limits, part=UPLOAD_PART, fields=form_fields(), max_bytes=100_000)
        api = CalledArchives(calls_here(archives))
        app.include_router(
            archive_routes(ArchiveDoor(api, plan.root, OpenPlaces("/etc"), choose, receive, check, place.settings))
        )
        install_errors(app)
        app.add_middleware(Guard, keys=keys, limits=limits)
        with live(app) as server:
            yield Scene(server, plan.root, place.uri)


def form(archive: bytes, **fields: str) -> tuple[bytes, str]:
    """A form and its type."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(b'name="archive"; filename="mine.exe"\r\nContent-Type: text/plain\r\n\r\n' + archive)
    body = b"".join(b"--edge0\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return body + b"--edge0--\r\n", "multipart/form-data; boundary=edge0"


def test_an_uploaded_archive_is_run_watched_and_fetched(service: Scene) -> None:
    body, kind = form(zipped({"x/one.png": png(), "two.png": png(seed=1), "bad.png": b""}), scale="3", consistency="no")
    key = uuid.uuid4().hex
    made = service.ask("POST", PATH, body, content_type=kind, idempotency_key=key, x_request_id="req-7")
    archive = made.document
    assert (made.status, made.headers["location"]) == (201, f"{PATH}/{archive['id']}")
    assert (archive["model"], archive["scale"], archive["input"], archive["output"]) == ("bicubic", 3, [], None)
    early = service.ask("GET", archive["links"]["report"])
    assert (early.status, early.slug, "retry-after" in early.headers) == (409, "conflict", True)
    ended = service.until_ended(archive["id"])
    assert (ended["state"], ended["progress"]) == ("completed_with_failures", 100)
    assert ended["counts"]["scenes"]["published"] == 2
    again = service.ask("POST", PATH, body, content_type=kind, idempotency_key=key)
    assert (again.status, again.headers["idempotency-replayed"], again.document) == (201, "true", ended)
    first = service.ask("GET", f"{archive['links']['items']}?limit=2")
    assert [item["name"] for item in first.document["items"]] == ["bad", "two"]
    assert first.headers["link"] == f'<{first.document["next"]}>; rel="next"'
    rest = service.ask("GET", first.document["next"]).document
    assert ([item["name"] for item in rest["items"]], rest["next"]) == (["x/one"], None)
    refused = service.ask("GET", f"{archive['links']['items']}?state=refused").document["items"]
    assert [(item["name"], item["state"]) for item in refused] == [("bad", "refused")]
    check_files(service, rest["items"][0]["files"])
    report = service.ask("GET", archive["links"]["report"])
    assert report.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in report.headers["content-security-policy"]
    for told in (made.body, first.body, report.body):
        assert service.root.uri.encode() not in told and service.uri.encode() not in told
    assert service.root.list(UPLOADS) == []


def check_files(service: Scene, files: list[dict[str, Any]]) -> None:
    """Whole, in parts, and to their owner alone."""
    assert [file["role"] for file in files] == ["data", "thumbnail", "metadata"]
    href, size = files[0]["href"], files[0]["bytes"]
    whole = service.ask("GET", href)
    assert (whole.status, whole.headers["content-type"], len(whole.body)) == (200, "image/tiff", size)
    assert hashlib.sha256(whole.body).hexdigest() == files[0]["sha256"]
    assert "one.tif" in whole.headers["content-disposition"]
    part = service.ask("GET", href, range="bytes=10-19")
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{size}"
    assert service.ask("GET", href, range="bytes=-5").body == whole.body[-5:]
    assert service.ask("GET", href, range=f"bytes={size - 3}-").body == whole.body[-3:]
    assert service.ask("GET", href, range="bytes=5-1").body == whole.body
    assert service.ask("GET", href, range="bytes=0-1", if_range='"other"').body == whole.body
    behind = service.ask("GET", href, range=f"bytes={size}-")
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{size}")
    assert service.ask("GET", href, if_none_match=whole.headers["etag"]).status == 304
    head = service.ask("HEAD", href)
    assert (head.status, head.headers["content-length"], head.body) == (200, str(size), b"")
    assert service.ask("GET", href, key=BOB_KEY).slug == "not-found"
    assert service.ask("GET", href.replace("one.tif", "other.tif")).slug == "not-found"
    assert service.ask("GET", href.replace("x/one.tif", "..%2F_run%2Frun.json")).slug == "not-found"


def test_one_key_sent_many_times_at_once_makes_one_archive(service: Scene) -> None:
    key, before = uuid.uuid4().hex, len(service.root.list(REQUESTS))
    body = {"input": service.uri, "options": {"licence": "CC0-1.0"}}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.ask("POST", PATH, body, idempotency_key=key), range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.document["id"] for answer in answers}) == 1
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == [""] + ["true"] * 7
    assert len(service.root.list(REQUESTS)) == before + 1
    other = service.ask("POST", PATH, {**body, "scale": 4}, idempotency_key=key)
    assert (other.status, other.slug) == (422, "idempotency-key-reused")
    service.ask("DELETE", answers[0].headers["location"])


def test_who_sends_too_many_is_told_when_to_come_back_and_others_are_not_held_up(service: Scene) -> None:
    body = {"input": [service.uri]}
    answers = [service.ask("POST", PATH, body) for _ in range(12)]
    made = [answer.document["id"] for answer in answers if answer.status == 201]
    refused = answers[-1]
    assert (refused.status, refused.slug) == (429, "too-many-archives")
    assert int(refused.headers["retry-after"]) >= 5
    upload, kind = form(zipped({"one.png": png()}))
    assert service.ask("POST", PATH, upload, content_type=kind).status == 429
    assert service.ask("POST", PATH, body, key=BOB_KEY).status == 201
    listed = service.ask("GET", f"{PATH}?limit=3&state=queued").document
    assert len(listed["archives"]) == 3 and {one["state"] for one in listed["archives"]} == {"queued"}
    following = service.ask("GET", listed["next"]).document["archives"]
    assert {one["id"] for one in following}.isdisjoint(one["id"] for one in listed["archives"])
    positions = [one["queue_position"] for one in (*listed["archives"], *following)]
    assert positions == sorted(positions, reverse=True)
    for archive_id in made:
        assert service.ask("DELETE", f"{PATH}/{archive_id}").document["state"] in ("cancelling", "cancelled")
        assert service.ask("DELETE", f"{PATH}/{archive_id}").status == 200
    assert [service.until_ended(archive_id)["state"] for archive_id in made] == ["cancelled"] * len(made)


@pytest.mark.parametrize(
    ("body", "slug", "word"),
    [
        ({}, "invalid-request", "input"),
        ({"input": []}, "invalid-request", "no scenes"),
        ({"input": "/in", "scale": 0.5}, "invalid-request", "scale"),
        ({"input": "/in", "colour": "red"}, "invalid-request", "colour"),
        ({"input": "/in", "options": {"licence": "a b"}}, "invalid-request", "options.licence"),
        ({"input": "/in", "model": "other"}, "model-unknown", ""),
        ({"input": "/etc/passwd"}, "forbidden-place", ""),
        ({"input": "/in", "output": "/etc"}, "forbidden-place", ""),
        ({"input": "s3://"}, "invalid-request", ""),
        (b"{", "invalid-request", "JSON"),
        (b"\xff\xfe", "invalid-request", ""),
    ],
)
def test_requests_that_cannot_be_used_are_told_why(
    service: Scene, body: dict[str, Any] | bytes, slug: str, word: str
) -> None:
    answer = service.ask("POST", PATH, body, content_type="application/json")
    assert (answer.slug, word in answer.document["detail"]) == (slug, True)


def test_the_services_own_place_is_closed(service: Scene) -> None:
    for uri in (service.root.uri, f"{service.root.uri}/archive-uploads", "/", f"{service.root.uri}/../state/*.zip"):
        assert service.ask("POST", PATH, {"input": uri}).slug == "forbidden-place"
        assert service.ask("POST", PATH, {"input": service.uri, "output": uri}).slug == "forbidden-place"


@pytest.mark.parametrize(
    ("archive", "slug"),
    [
        (b"no archive", "unsupported-media-type"),
        (b"PK\x03\x04" + bytes(60_000), "body-too-large"),
        (b"", "invalid-request"),
    ],
)
def test_uploads_that_cannot_be_used_leave_nothing(service: Scene, archive: bytes, slug: str) -> None:
    body, kind = form(archive)
    assert service.ask("POST", PATH, body, content_type=kind).slug == slug
    assert service.root.list(UPLOADS) == []


def test_other_kinds_of_bodies_and_keys_are_refused(service: Scene) -> None:
    assert service.ask("POST", PATH, b"x", content_type="text/plain").slug == "unsupported-media-type"
    for key in ("", "x" * 256, "two words"):
        assert service.ask("POST", PATH, {"input": "/in"}, idempotency_key=key).slug == "invalid-request"


@pytest.mark.parametrize("path", ["", "/items", "/report", "/files/a.tif"])
@pytest.mark.parametrize("archive_id", ["ar_1", "..", "ar_" + "0" * 26, "%00", "x" * 500])
def test_what_is_not_there_is_not_found(service: Scene, archive_id: str, path: str) -> None:
    assert service.ask("GET", f"{PATH}/{archive_id}{path}").status == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "state=odd", "cursor=x"])
def test_pages_that_cannot_be_are_refused(service: Scene, query: str) -> None:
    assert service.ask("GET", f"{PATH}?{query}").slug == "invalid-request"
