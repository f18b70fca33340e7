"""Files as answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from pipelines.serving.archives.api import StoredFile
from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.file_answers import file_answer
from pipelines.serving.http.guard import Guard
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.keys import Keys
from tests.pipelines.serving.http.live import Live, live

CONTENT = bytes(range(200))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "there.tif").write_bytes(CONTENT)
    app = FastAPI()

    @app.get("/{name}")
    async def fetch(name: str, request: Request) -> Response:
        return file_answer(request, StoredFile(str(folder), name, len(CONTENT), "5ha"), None)

    install_errors(app)
    app.add_middleware(Guard, keys=Keys(), limits=LimitsConfig())
    with live(app) as server:
        yield server


def sent(is_head: bool, file: StoredFile) -> list[dict[str, Any]]:
    """What goes out in answer to a request for a file."""
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {"is_head": is_head}}
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return await asyncio.Future()  # the caller stays

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(file_answer(Request(scope), file, None)(scope, receive, send))
    return messages


def test_head_tells_the_length_without_reading_the_file(tmp_path: Path) -> None:
    file = StoredFile(str(tmp_path), "not-there.tif", 10**12, "5ha")
    start, body = sent(True, file)
    assert (start["status"], dict(start["headers"])[b"content-length"]) == (200, str(10**12).encode())
    assert body["body"] == b""
    with pytest.raises(Exception, match=r"not-there\.tif|unhandled errors"):
        sent(False, file)


def test_head_tells_what_get_would(server: Live) -> None:
    whole, head = server.ask("GET", "/there.tif"), server.ask("HEAD", "/there.tif")
    assert whole.body == CONTENT
    told = ("content-length", "content-type", "etag", "accept-ranges", "content-disposition", "cache-control")
    assert [head.headers[name] for name in told] == [whole.headers[name] for name in told]
    assert server.ask("HEAD", "/there.tif", if_none_match=whole.headers["etag"]).status == 304


def test_parts_are_for_get_alone(server: Live) -> None:
    assert server.ask("GET", "/there.tif", range="bytes=10-19").body == CONTENT[10:20]
    head = server.ask("HEAD", "/there.tif", range="bytes=10-19")
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))
