"""Web servers lead to allowed places only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.storage import StorageSettings, open_store
from pipelines.storage.allowed import AllowedPlaces, PlaceRefused
from tests.web import WebServer


@contextmanager
def leading_to(address: str) -> Iterator[str]:
    """A server that answers everything with a redirection; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def secret(web: WebServer) -> str:
    (web.folder / "secret.tif").write_bytes(b"secret")
    return f"{web.uri}/secret.tif"


def test_redirections_out_are_not_followed(web: WebServer, secret: str) -> None:
    with leading_to(secret) as address:
        store = open_store(f"{address}/in/", StorageSettings(places=AllowedPlaces((f"{address}/in",))))
        for ask in (store.read_bytes, store.stat, lambda key: store.read_range(key, 0, 3)):
            with pytest.raises(PlaceRefused, match="no place"):
                ask("a.tif")
        assert web.num_sent == 0
        assert open_store(f"{address}/in/").read_bytes("a.tif") == b"secret"


def test_redirections_to_allowed_places_are(web: WebServer, secret: str) -> None:
    with leading_to(secret) as address:
        places = AllowedPlaces((f"{address}/in", web.uri))
        assert open_store(f"{address}/in/", StorageSettings(places=places)).read_bytes("a.tif") == b"secret"


def test_names_that_lead_inside_are_not_connected_to(
    web: WebServer, secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import socket

    real = socket.getaddrinfo

    def resolved(host: str, *arguments: object, **options: object) -> object:
        return real("127.0.0.1" if host == "data.example.org" else host, *arguments, **options)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(socket, "getaddrinfo", resolved)  # nobody's name server leads here
    address = web.uri.replace("127.0.0.1", "data.example.org")
    places = AllowedPlaces((address,))
    with pytest.raises(PlaceRefused, match="own network"):
        open_store(f"{address}/", StorageSettings(places=places)).read_bytes("secret.tif")
    assert web.num_sent == 0
    inner = AllowedPlaces((address,), ("data.example.org",))
    assert open_store(f"{address}/", StorageSettings(places=inner)).read_bytes("secret.tif") == b"secret"
