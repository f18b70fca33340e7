"""What happens when S3 is slow, busy, locked or not there."""

import logging
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.storage import (
    ObjectMissing,
    StorageSettings,
    StoreUnavailable,
    open_store,
    pyarrow_filesystem,
    ray_filesystem,
    s3,
)
from pipelines.storage.retries import RetryPolicy
from pipelines.storage.uris import parse_uri
from rssr.errors import ExitCode, StorageError
from tests.conftest import S3Server


class FlakyHandler(BaseHTTPRequestHandler):
    """Breaks in turn in every way, then answers."""

    protocol_version = "HTTP/1.1"
    failures: list[str]

    def do_GET(self) -> None:
        how = self.failures.pop(0) if self.failures else "fine"
        if how == "reset":
            self.close_connection = True
        elif how == "cut":
            self._answer(200, b"full ", declared=12)
            self.close_connection = True
        elif how == "fine":
            self._answer(200, b"full content")
        else:
            self._answer(int(how), b"<html>busy</html>")

    def _answer(self, status: int, body: bytes, declared: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(declared or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def flaky() -> Iterator[tuple[StorageSettings, list[str]]]:
    handler = type("Handler", (FlakyHandler,), {"failures": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    yield _settings(address), handler.failures  # type: ignore[attr-defined]  # set three lines above
    server.shutdown()
    server.server_close()


def _settings(endpoint_url: str) -> StorageSettings:
    return StorageSettings(endpoint_url, "us-east-1", "the-key-id", "the-secret", "the-token")


@pytest.mark.parametrize("failures", [["503"], ["500", "429"], ["reset"], ["cut"]])
def test_passing_trouble_is_outlasted(flaky: tuple[StorageSettings, list[str]], failures: list[str]) -> None:
    settings, pending = flaky
    pending.extend(failures)
    assert open_store("s3://bucket", settings).read_bytes("key") == b"full content"
    assert not pending


def test_lasting_refusal_is_not_repeated(flaky: tuple[StorageSettings, list[str]]) -> None:
    settings, pending = flaky
    pending.extend(["403"] * 5)
    with pytest.raises(StorageError, match="refuses access to s3://bucket/key") as caught:
        open_store("s3://bucket", settings).read_bytes("key")
    assert not isinstance(caught.value, StoreUnavailable)  # other objects may be read
    assert len(pending) == 4


def test_unreachable_endpoint_is_reported_soon(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    started = time.monotonic()
    store = s3.S3Store(parse_uri("s3://bucket/folder"), _settings("http://127.0.0.1:9"), RetryPolicy(unreachable_s=1))
    with pytest.raises(StoreUnavailable) as caught:
        store.list()
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert "s3://bucket/folder" in message
    assert "http://127.0.0.1:9" in message
    assert "AWS_ENDPOINT_URL_S3" in message
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    shown = message + repr(caught.value) + caplog.text
    assert not any(secret in shown for secret in ("the-key-id", "the-secret", "the-token"))


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_missing_bucket_is_named(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store = open_store("s3://no-such-bucket/a", request.getfixturevalue(name).settings)
    (tmp_path / "file").write_bytes(b"1")
    attempts = [
        store.list,
        lambda: store.read_bytes("key"),
        lambda: store.write_bytes("key", b"1"),
        lambda: store.exists("key"),
        lambda: store.put_if_absent("key", b"1"),
        lambda: store.upload_file(tmp_path / "file", "key"),
    ]
    for attempt in attempts:
        with pytest.raises(StorageError, match="no-such-bucket"):
            attempt()


def test_wrong_credentials_are_named_but_not_shown(s3_server: "object", request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("s3_server")
    for wrong in ({"secret_access_key": "mistyped-secret"}, {"access_key_id": "mistyped-key"}):
        store = open_store(server.make_bucket(), replace(server.settings, **wrong))
        with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID") as caught:
            store.read_bytes("key")
        assert "mistyped" not in str(caught.value)
        assert "mistyped" not in repr(caught.value)


def test_absent_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreUnavailable, match="no credentials"):
        open_store("s3://bucket", StorageSettings("http://127.0.0.1:9")).read_bytes("key")


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_many_pages_are_listed_whole(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAGE_SIZE", 3)
    server = request.getfixturevalue(name)
    store = open_store(server.make_bucket(), server.settings)
    keys = [f"f/{number % 3}/{number:02d}" for number in range(14)]
    for key in keys:
        store.write_bytes(key, b"")
    assert [entry.key for entry in store.list("f")] == sorted(keys)


def test_lost_answer_to_a_put_is_recognised(moto_server: "object", request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("moto_server")
    store = open_store(server.make_bucket(), server.settings)
    assert store.put_if_absent("key", b"mine")
    assert store._create("key", b"mine", 1), "a second attempt that finds its own data has won"
    assert not store._create("key", b"other", 1)
    assert not store._create("key", b"mine", 0)


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_pyarrow_reads_what_a_store_writes(name: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(name)
    uri = f"{server.make_bucket()}/folder"
    open_store(uri, server.settings).write_bytes("a/b", b"content")
    filesystem, path = pyarrow_filesystem(uri, server.settings)
    with filesystem.open_input_stream(f"{path}/a/b") as stream:
        assert stream.read() == b"content"
    with filesystem.open_output_stream(f"{path}/c") as stream:
        stream.write(b"from arrow")
    assert open_store(uri, server.settings).read_bytes("c") == b"from arrow"


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_s3fs_reads_what_a_store_writes(name: str, request: pytest.FixtureRequest) -> None:
    import fsspec

    server = request.getfixturevalue(name)
    uri = server.make_bucket()
    open_store(uri, server.settings).write_bytes("a", b"content")
    with fsspec.open(f"{uri}/a", "rb", **server.settings.s3fs_options()) as stream:
        assert stream.read() == b"content"


@pytest.mark.parametrize("name", ["s3_server", "moto_server"])
def test_gdal_reads_what_a_store_writes(name: str, request: pytest.FixtureRequest) -> None:
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.session import AWSSession

    server = request.getfixturevalue(name)
    uri = server.make_bucket()
    with MemoryFile() as memory:
        transform = rasterio.transform.from_origin(7, 50, 2, 2)
        with memory.open(driver="GTiff", width=3, height=2, count=1, dtype="uint8", transform=transform):
            pass
        open_store(uri, server.settings).write_bytes("a.tif", memory.read())
    session = AWSSession(**server.settings.aws_session_options())
    with rasterio.Env(session, **server.settings.gdal_options()), rasterio.open(f"{uri}/a.tif") as raster:
        assert (raster.width, raster.height) == (3, 2)


def test_missing_object_is_its_own_error(s3_server: "object", request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("s3_server")
    with pytest.raises(ObjectMissing, match="absent"):
        open_store(server.make_bucket(), server.settings).read_bytes("absent")


def test_ray_makes_folders_where_objects_lie_already(s3_server: S3Server) -> None:
    uri = f"{s3_server.make_bucket()}/runs"
    open_store(uri, s3_server.settings).write_bytes("manifests/a", b"1")
    filesystem, path = pickle.loads(pickle.dumps(ray_filesystem(f"{uri}/ray-train/x", s3_server.settings)))
    filesystem.create_dir(path)
    with filesystem.open_output_stream(f"{path}/marker") as stream:
        stream.write(b"here")
    assert open_store(uri, s3_server.settings).read_bytes("ray-train/x/marker") == b"here"
