"""A web server that answers what it is told, also wrongly, and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: Of HTTP; 0 closes the connection without an answer.
        document: Sent as JSON.
        content: Sent as it is, where there is no document.
        headers: Further ones.
        cut: How many bytes of the body are sent before the connection breaks; None sends all.
        reads: Whether the request's body is read before the answer.
    """

    status: int = 200
    document: Any = None
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    reads: bool = True


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """The server: replies in turn, and requests as they came."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)


@contextmanager
def scripted_service() -> Iterator[Scripted]:
    """Serve until the block ends."""
    state = Scripted()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Scripted
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        state = self.state
        reply = state.replies.pop(0)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if reply.reads else b""
        url = urlsplit(self.path)
        params = {name: values[0] for name, values in parse_qs(url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        state.asked.append(Asked(self.command, url.path, params, headers, body))
        state.connections.add(self.client_address)
        if reply.status == 0:
            self.close_connection = True
            return
        content = reply.content if reply.document is None else json.dumps(reply.document).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content if reply.cut is None else content[: reply.cut])
        if reply.cut is not None or not reply.reads:
            self.close_connection = True

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""
