"""Files on the web, whatever the server makes of requests."""

import io
import zipfile
from pathlib import Path

import pytest

from pipelines.storage import ObjectMissing, StoreUnavailable, open_store
from rssr.errors import StorageError
from tests.web import WebServer


@pytest.fixture
def archive(web: WebServer) -> str:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for number in range(40):
            packed.writestr(f"{number}.bin", bytes([number]) * 100_000)
    (web.folder / "a.zip").write_bytes(out.getvalue())
    return f"{web.uri}/a.zip"


def test_a_place_on_the_web_is_not_listed(web: WebServer) -> None:
    (web.folder / "index.html").write_text('<a href="x.jpg">x</a>')
    with pytest.raises(StorageError, match=r"cannot be listed.*files\.txt"):
        open_store(web.uri).list()


def test_a_member_is_fetched_without_the_archive(web: WebServer, archive: str) -> None:
    assert open_store(archive).read_bytes("7.bin") == b"\x07" * 100_000
    assert web.num_sent < 300_000


def test_a_server_without_ranges_is_told(web: WebServer, archive: str) -> None:
    web.with_ranges = False
    with pytest.raises(StorageError, match=r"a\.zip gives whole files only.*Fetch it"):
        open_store(archive).list()
    assert open_store(web.uri).read_bytes("a.zip") == (web.folder / "a.zip").read_bytes()


@pytest.mark.parametrize("failures", [["503"], ["429", "500"], ["cut"]])
def test_passing_trouble_is_outlasted(web: WebServer, archive: str, failures: list[str]) -> None:
    store = open_store(archive)
    store.list()
    web.failures.extend(failures)
    assert store.read_bytes("7.bin") == b"\x07" * 100_000
    web.failures.extend(failures)
    assert open_store(web.uri).read_bytes("a.zip") == (web.folder / "a.zip").read_bytes()
    assert web.failures == []


@pytest.mark.parametrize("status", ["401", "403"])
def test_refused_access_is_told_from_a_missing_file(web: WebServer, archive: str, status: str) -> None:
    web.failures.extend([status] * 9)
    with pytest.raises(StorageError, match=r"Access to .*a\.zip is refused"):
        open_store(archive).list()
    web.failures.clear()
    with pytest.raises(ObjectMissing, match=r"none\.zip"):
        open_store(f"{web.uri}/none.zip").list()


def test_lasting_trouble_names_the_file(web: WebServer, archive: str) -> None:
    web.failures.extend(["503"] * 99)
    with pytest.raises(StoreUnavailable, match=r"a\.zip failed with status 503"):
        open_store(archive).list()


def test_signed_addresses_are_refused_unseen(web: WebServer) -> None:
    with pytest.raises(StorageError, match="has a query") as caught:
        open_store(f"{web.uri}/a.zip?X-Amz-Signature=secret")
    assert "secret" not in str(caught.value)


def test_stat_tells_folders_from_files(tmp_path: Path) -> None:
    store = open_store(f"memory://root/{tmp_path.name}")
    store.write_bytes("a/b.jpg", b"123")
    assert store.stat("a/b.jpg") == store.list()[0]
    with pytest.raises(ObjectMissing):
        store.stat("a")
