"""An application behind a real server, and a plain way to ask it."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from tests.conftest import free_port

_PATIENCE_S = 120.0  # on a busy machine a replica takes its time to be replaced


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def slug(self) -> str:
        """Name of the problem, whose document must be whole."""
        assert self.headers["content-type"] == "application/problem+json"
        document = self.document
        assert document["status"] == self.status
        assert document["request_id"] == self.headers["x-request-id"]
        assert document["detail"] and document["title"] and document["remedy"]
        return str(document["type"]).removeprefix("/problems/")


@dataclass(frozen=True)
class Live:
    """A server that answers at a port of this machine."""

    port: int

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; `x_request_id=...` sets the header X-Request-Id."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            return answer_of(connection.getresponse())

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A bare connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S) as connection:
            yield connection


def answer_of(response: http.client.HTTPResponse) -> Answer:
    """All of an answer."""
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@contextmanager
def live(app: ASGIApp) -> Iterator[Live]:
    """Serve an application within this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + _PATIENCE_S
    while not server.started:
        assert time.monotonic() < deadline and thread.is_alive(), "the server does not start"
        time.sleep(0.01)
    try:
        yield Live(port)
    finally:
        server.should_exit = True
        thread.join()
