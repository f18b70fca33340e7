"""A list of files is a store, which is how images on the web are found."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.storage import ObjectMissing, open_store
from rssr.errors import StorageError
from tests.web import WebServer

FILES = {"a/1.jpg": b"1", "a b/Ödland #2%.jpg": b"22", "c.jpg": b"333"}


def publish(folder: Path, text: str = "\r\n".join([*FILES, "", "c.jpg"])) -> None:
    for key, data in FILES.items():
        (folder / "data" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / key).write_bytes(data)
    (folder / "data" / "files.txt").write_text(text, encoding="utf-8-sig", newline="")


@pytest.mark.parametrize("place", ["web", "local"])
def test_the_files_of_a_list_are_a_store(place: str, web: WebServer, tmp_path: Path) -> None:
    publish(web.folder if place == "web" else tmp_path)
    base = web.uri if place == "web" else str(tmp_path)
    store = open_store(f"{base}/data/files.txt")
    entries = store.list()
    assert {entry.key: entry.num_bytes for entry in entries} == {key: len(data) for key, data in FILES.items()}
    assert [entry.key for entry in entries] == sorted(FILES)
    assert {key: store.read_bytes(key) for key in FILES} == FILES
    assert store.read_range("c.jpg", 1, 5) == b"33"
    assert store.stat("a/1.jpg") == next(entry for entry in entries if entry.key == "a/1.jpg")
    assert [entry.key for entry in store.list("a")] == ["a/1.jpg"]
    assert (store.exists("c.jpg"), store.exists("files.txt"), store.has_folder()) == (True, False, True)
    assert (store.uri, store.describe("c.jpg")) == (f"{base}/data/files.txt", f"{base}/data/c.jpg")
    assert pickle.loads(pickle.dumps(store)).read_bytes("c.jpg") == b"333"
    with pytest.raises(ObjectMissing, match="does not name files"):
        store.read_bytes("files.txt")
    with pytest.raises(StorageError, match="read-only"):
        store.write_bytes("x", b"")


def test_lists_lie_on_s3_too(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = request.getfixturevalue("s3_server")
    server.use(monkeypatch)
    uri = server.make_bucket()
    publish(tmp_path)
    open_store(uri).upload_folder(tmp_path / "data", "")
    store = open_store(f"{uri}/files.txt")
    assert {entry.key: store.read_bytes(entry.key) for entry in store.list()} == FILES


def test_a_listed_file_that_is_not_there_is_named(web: WebServer) -> None:
    publish(web.folder, "c.jpg\nnone.jpg\n")
    with pytest.raises(ObjectMissing, match=r"data/none\.jpg"):
        open_store(f"{web.uri}/data/files.txt").list()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("c.jpg\n../../etc/passwd\n", r"Line 2 of the list .*files\.txt is no key: '\.\./"),
        ("/etc/passwd", "Line 1 "),
        ("http://elsewhere/c.jpg", "Line 1 "),
        ("c.jpg\0", "is no list of files"),
    ],
)
def test_lists_that_lead_elsewhere_are_refused(web: WebServer, text: str, why: str) -> None:
    publish(web.folder, text)
    with pytest.raises(StorageError, match=why):
        open_store(f"{web.uri}/data/files.txt").list()


def test_an_image_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(StorageError, match="is no list of files"):
        open_store(str(tmp_path / "photo.txt")).list()


def test_a_missing_list_is_named(web: WebServer) -> None:
    with pytest.raises(ObjectMissing, match=r"none\.txt"):
        open_store(f"{web.uri}/none.txt").list()


def test_a_folder_called_like_a_list_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    (tmp_path / "a.txt" / "1.jpg").write_bytes(b"1")
    write: Callable[[str, bytes], None] = open_store(str(tmp_path / "a.txt")).write_bytes
    write("2.jpg", b"2")
    assert [entry.key for entry in open_store(str(tmp_path / "a.txt")).list()] == ["1.jpg", "2.jpg"]
