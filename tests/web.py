"""A web server over a folder, with or without ranges, that refuses in turn as it is told."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class WebServer:
    """A running server.

    Attributes:
        folder: What it serves.
        with_ranges: Whether it gives parts of files; without, it gives the whole whatever is asked for.
        failures: Answers to the next requests: a status, or `cut` for a body that breaks off.
        num_sent: Bytes of bodies sent so far.
    """

    folder: Path
    with_ranges: bool = True
    failures: list[str] = field(default_factory=list)
    num_sent: int = 0
    uri: str = ""


@contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """Serve a folder on a free port."""
    state = WebServer(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.uri = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: WebServer

    def do_GET(self) -> None:
        failure = self.state.failures.pop(0) if self.state.failures else ""
        if failure.isdigit():
            self._answer(int(failure), b"<html>refused</html>")
            return
        path = self.state.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if not path.is_file():
            self._answer(404, b"<html>not found</html>")
            return
        data = path.read_bytes()
        asked = _RANGE.fullmatch(self.headers.get("Range", "")) if self.state.with_ranges else None
        if asked is None:
            self._answer(200, data, is_cut=failure == "cut")
        elif int(asked[1]) >= len(data):
            self._answer(416, b"")
        else:
            part = data[int(asked[1]) : int(asked[2]) + 1]
            self._answer(206, part, f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}", failure == "cut")

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, content_range: str = "", is_cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hash(body)}"')
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command != "GET":
            return
        sent = body[: len(body) // 2] if is_cut else body
        with suppress(ConnectionError):
            self.wfile.write(sent)
        self.state.num_sent += len(sent)
        self.close_connection = is_cut

    def log_message(self, format: str, *args: object) -> None:
        pass
