"""Files out of bodies and forms, under limits, and gone afterwards."""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.guard import Guard
from pipelines.serving.http.uploads import forget_leftovers, received
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.keys import Keys
from tests.pipelines.serving.http.live import Live, live

DATA = os.urandom(300_000) + b"\r\n--edge\r\n" + os.urandom(10)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def limits(scratch: Path) -> LimitsConfig:
    return LimitsConfig(max_body_bytes=400_000, max_field_bytes=100, idle_timeout_s=0.3, scratch_folder=str(scratch))


@pytest.fixture(scope="module")
def server(limits: LimitsConfig) -> Iterator[Live]:
    app = FastAPI()

    @app.post("/v1/super-resolve")
    async def take(request: Request) -> dict[str, Any]:
        async with received(request, limits, fields=("scale", "model")) as upload:
            data = await asyncio.to_thread(upload.path.read_bytes)
            if upload.fields.get("model") == "broken":
                raise ZeroDivisionError
            facts = {"type": upload.media_type, "name": upload.file_name, "fields": dict(upload.fields)}
            return {**facts, "sha256": upload.sha256, "same": hashlib.sha256(data).hexdigest() == upload.sha256}

    install_errors(app)
    app.add_middleware(Guard, keys=Keys(), limits=limits)
    with live(app) as server:
        yield server


def form(*parts: tuple[str, bytes], end: bytes = b"--edge0--\r\n") -> bytes:
    """A form whose boundary is `edge0`; parts are (headers, content)."""
    return b"".join(b"--edge0\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + end


def part(name: str, data: bytes, more: str = "") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"{more}', data


def ask(server: Live, body: Any) -> Any:
    return server.ask("POST", "/v1/super-resolve", body, content_type="multipart/form-data; boundary=edge0")


IMAGE = part("image", DATA, '; filename="C:\\\\a.png"\r\nContent-Type: image/PNG; x=y')


def test_a_body_is_the_file(server: Live, scratch: Path) -> None:
    answer = server.ask("POST", "/v1/super-resolve", DATA, content_type="image/tiff; a=b").document
    assert answer["same"] and answer["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert (answer["type"], answer["name"], answer["fields"]) == ("image/tiff", "", {})
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_form_brings_a_file_and_fields_however_it_is_cut(server: Live, scratch: Path, pieces: int) -> None:
    body = form(part("scale", b"4"), IMAGE, part("model", "größe".encode()))
    step = max(len(body) // pieces, 1)
    answer = ask(server, iter([body[start : start + step] for start in range(0, len(body), step)])).document
    assert answer["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert answer["type"] == "image/png"
    assert answer["fields"] == {"scale": "4", "model": "größe"}
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (form(part("scale", b"4")), "no part 'image'"),
        (form(part("image", b"x"), part("image", b"x")), "twice"),
        (form(IMAGE, part("scael", b"4")), "'scael'"),
        (form(IMAGE, part("scale", b"4"), part("scale", b"5")), "twice"),
        (form(part("scale", b"4" * 101), IMAGE), "100 bytes"),
        (form(part("scale", b"\xff"), IMAGE), "UTF-8"),
        (form(IMAGE, end=b""), "cut off"),
        (form(IMAGE)[:-4000], "cut off"),
        (form(part("image", b"")), "empty"),
        (form(("Content-Disposition: attachment", b"x")), "not known"),
        (form(("X: " + "y" * 5000, b"x")), "no form"),
        (form(("\r\n".join(f"X{number}: y" for number in range(20)), b"x")), "no form"),
        (b"nonsense", "no form"),
        (b"", "cut off"),
    ],
)
def test_forms_that_are_none_are_refused(server: Live, scratch: Path, body: bytes, word: str) -> None:
    answer = ask(server, body)
    assert answer.slug == "invalid-request"
    assert word in answer.document["detail"]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/mixed; boundary=edge0", f"multipart/form-data; boundary={'x' * 999}"]
)
def test_forms_without_a_boundary_are_refused(server: Live, kind: str) -> None:
    assert server.ask("POST", "/v1/super-resolve", form(IMAGE), content_type=kind).slug == "invalid-request"


def test_larger_files_than_allowed_are_refused_and_leave_nothing(server: Live, scratch: Path) -> None:
    large = bytes(400_001)
    assert server.ask("POST", "/v1/super-resolve", large).slug == "body-too-large"
    assert ask(server, form(part("image", large))).slug == "body-too-large"
    assert server.ask("POST", "/v1/super-resolve", b"").slug == "invalid-request"
    assert list(scratch.iterdir()) == []


def test_whatever_happens_to_the_request_its_file_is_removed(server: Live, scratch: Path) -> None:
    assert ask(server, form(IMAGE, part("model", b"broken"))).slug == "internal"
    with server.connected() as connection:
        connection.sendall(b"POST /v1/super-resolve HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\nabc")
        assert b"timed-out" in connection.recv(4000)
    with server.connected() as connection:
        connection.sendall(b"POST /v1/super-resolve HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\nabc")
    server.ask("POST", "/v1/super-resolve", DATA)
    deadline = 100
    while list(scratch.iterdir()) and (deadline := deadline - 1):
        server.ask("GET", "/nothing")
    assert list(scratch.iterdir()) == []


def test_a_service_without_room_says_so(server: Live, limits: LimitsConfig, scratch: Path) -> None:
    elsewhere = scratch.with_name("moved")
    scratch.rename(elsewhere)
    try:
        answer = server.ask("POST", "/v1/super-resolve", DATA)
        assert answer.slug == "busy"
        assert str(scratch).encode() not in answer.body
    finally:
        elsewhere.rename(scratch)


def test_what_killed_processes_left_is_removed_when_nobody_can_be_using_it(limits: LimitsConfig, scratch: Path) -> None:
    old, fresh, other = (scratch / name for name in ("rssr-upload-old", "rssr-upload-new", "other"))
    for path in (old, fresh, other):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    assert forget_leftovers(limits) == 1
    assert sorted(scratch.iterdir()) == [other, fresh]
    for path in (fresh, other):
        path.unlink()
