"""A proxy between clients and a real S3 server that makes trouble as it is told.

Requests are passed on as they are, so signatures stay valid, and so are answers, unless a rule spoils them. What a
rule does is one of the faults below; which requests it meets is told by method and path, and how often by a count.

One thing is set right on the way: rclone answers a request for a range with status 200 instead of 206 (RFC 9110,
15.3.7). S3 does not, and GDAL takes what such an answer holds for the whole object.
"""

import http.client
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import unquote, urlsplit

from pipelines.storage import StorageSettings

_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "expect", "content-length")
_PIECES_A_SECOND = 20
_UPSTREAM_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Answer:
    """A whole answer; `length` is what Content-Length says."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    length: int


class Client:
    """The connection to whoever asks."""

    def __init__(self, handler: "_Handler") -> None:
        self._handler = handler

    def send(self, answer: Answer) -> None:
        """All of an answer."""
        self.send_head(answer)
        self.write(answer.body)

    def send_head(self, answer: Answer) -> None:
        """Status and headers alone."""
        self._handler.send_response_only(answer.status)
        for name, value in answer.headers:
            self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(answer.length))
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        """Bytes of a body."""
        self._handler.wfile.write(data)

    def hang_up(self) -> None:
        """End the connection in an orderly manner, whatever was promised."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """End the connection as a crash does: what asks sees `ECONNRESET`."""
        self._handler.close_connection = True
        linger = struct.pack("ii", 1, 0)  # closing with this option sends RST instead of FIN
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        os.close(self._handler.connection.detach())


class Fault(Protocol):
    """One kind of trouble."""

    def answer(self, client: Client, forward: Callable[[], Answer]) -> None:
        """Answer a request that `forward` would pass on."""


@dataclass(frozen=True)
class Refusal:
    """The server's own refusal; the request is not passed on."""

    status: int
    code: str

    def answer(self, client: Client, forward: Callable[[], Answer]) -> None:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{self.code}</Code>'
            "<Message>Please reduce your request rate.</Message><RequestId>0</RequestId></Error>"
        ).encode()
        client.send(Answer(self.status, (("Content-Type", "application/xml"),), body, len(body)))


@dataclass(frozen=True)
class Reset:
    """A connection that breaks: before the server sees the request, after it did all, or inside the answer."""

    when: str = "before the request"

    def answer(self, client: Client, forward: Callable[[], Answer]) -> None:
        if self.when != "before the request":
            answer = forward()
            if self.when == "after the headers":
                client.send_head(answer)
                client.write(answer.body[: len(answer.body) // 3])
            else:
                assert self.when == "before the answer", self.when
        client.reset()


@dataclass(frozen=True)
class Truncated:
    """A body shorter than its Content-Length, on a connection that ends in good order."""

    share: float = 0.5

    def answer(self, client: Client, forward: Callable[[], Answer]) -> None:
        answer = forward()
        client.send_head(answer)
        client.write(answer.body[: int(self.share * len(answer.body))])
        client.hang_up()


@dataclass(frozen=True)
class Slow:
    """A body that comes a few bytes at a time."""

    bytes_per_s: float

    def answer(self, client: Client, forward: Callable[[], Answer]) -> None:
        answer = forward()
        client.send_head(answer)
        piece = max(1, int(self.bytes_per_s / _PIECES_A_SECOND))
        for first in range(0, len(answer.body), piece):
            client.write(answer.body[first : first + piece])
            time.sleep(piece / self.bytes_per_s)


@dataclass(frozen=True)
class Stalled:
    """Nothing at all for a while, then the end of the connection."""

    pause_s: float

    def answer(self, client: Client, forward: Callable[[], Answer]) -> None:
        time.sleep(self.pause_s)
        client.reset()


SLOW_DOWN = Refusal(503, "SlowDown")
INTERNAL_ERROR = Refusal(500, "InternalError")
EXPIRED_TOKEN = Refusal(403, "ExpiredToken")
ACCESS_DENIED = Refusal(403, "AccessDenied")


@dataclass
class Rule:
    """Which requests meet a fault.

    Attributes:
        fault: What happens to them.
        method: GET, PUT and so on, as a regular expression.
        path: Searched for in the path and query, percent-decoded.
        skip: So many requests that fit pass unharmed first.
        times: So many meet the fault after that; None is all.
        met: How many have.
        seen: How many fitted.
    """

    fault: Fault
    method: str
    path: str
    skip: int
    times: int | None
    met: int = 0
    seen: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Whether this request meets the fault; counts it."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, unquote(path)):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.met >= self.times):
            return False
        self.met += 1
        return True


@dataclass(frozen=True)
class Request:
    """What was asked and when, in seconds of the monotonic clock."""

    method: str
    path: str
    at_s: float


@dataclass
class FaultProxy:
    """A running proxy.

    Attributes:
        settings: How to reach the server through it.
        requests: All requests so far.
    """

    settings: StorageSettings
    upstream: str
    requests: list[Request] = field(default_factory=list)
    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def inject(
        self, fault: Fault, path: str = "", *, method: str = "GET", times: int | None = 1, skip: int = 0
    ) -> Rule:
        """Let requests that fit meet a fault; of several rules the first that fits is taken."""
        rule = Rule(fault, method, path, skip, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def asked(self, path: str, method: str = "GET") -> list[Request]:
        """The requests whose method is this and whose path fits."""
        return [one for one in self.requests if one.method == method and re.search(path, unquote(one.path))]

    def _fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(Request(method, path, time.monotonic()))
            return next((rule.fault for rule in self._rules if rule.takes(method, path)), None)

    def _forward(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.upstream, timeout=_UPSTREAM_TIMEOUT_S)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in _OF_ONE_CONNECTION:
                    connection.putheader(name, value)
            if body or method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
            length = int(response.getheader("Content-Length") or 0) if method == "HEAD" else len(content)
            kept = tuple((name, value) for name, value in response.getheaders() if _is_kept(name))
            is_part = response.status == 200 and response.getheader("Content-Range") is not None
            return Answer(206 if is_part else response.status, kept, content, length)
        finally:
            connection.close()


@contextmanager
def fault_proxy(upstream: StorageSettings) -> Iterator[FaultProxy]:
    """A proxy before the server that the settings name, without any rule yet."""
    server = _Server(("127.0.0.1", 0), _Handler)
    settings = replace(upstream, endpoint_url=f"http://127.0.0.1:{server.server_address[1]}")
    server.proxy = FaultProxy(settings, urlsplit(str(upstream.endpoint_url)).netloc)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # idle connections of clients outlive their test
    request_queue_size = 128
    proxy: FaultProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up in the middle are nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart, and clients acknowledge late
    server: _Server

    def do_GET(self) -> None:
        body = self._body()
        client = Client(self)

        def forward() -> Answer:
            return self.server.proxy._forward(self.command, self.path, list(self.headers.items()), body)

        fault = self.server.proxy._fault_of(self.command, self.path)
        if fault is None:
            client.send(forward())
        else:
            fault.answer(client, forward)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def log_message(self, format: str, *args: object) -> None:
        pass


def _is_kept(name: str) -> bool:
    return name.lower() not in _OF_ONE_CONNECTION
