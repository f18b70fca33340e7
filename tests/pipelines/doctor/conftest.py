"""Small web servers, good and bad, and an environment that names none."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

SERVERS = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")

StartServer = Callable[..., str]


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's is looked at."""
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start web servers that answer as told; gives their addresses."""
    with ExitStack() as running:
        yield lambda **answer: running.enter_context(_server(**answer))


@contextmanager
def _server(status: int = 200, body: bytes = b"", clock_s: float | None = 0.0, silent: bool = False) -> Iterator[str]:
    """A server.

    Args:
        status: Of all answers.
        body: Of all answers.
        clock_s: By how much its clock is ahead; None for a server that does not tell the time.
        silent: Whether it takes requests and never answers.
    """
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if silent:
                released.wait(60)
                return
            self.send_response_only(status)
            if clock_s is not None:
                self.send_header("Date", formatdate(time.time() + clock_s, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            released.set()
            server.shutdown()
            thread.join()
