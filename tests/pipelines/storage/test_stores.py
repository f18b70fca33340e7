"""What every store promises, on local disk and on two S3 servers."""

import hashlib
import pickle
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.storage import Entry, ObjectMissing, Store, open_store
from rssr.errors import StorageError

KINDS = ("local", "rclone", "moto", "fsspec")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield open_store(str(tmp_path / "store"))
    elif request.param == "fsspec":
        yield open_store(f"memory://root/{tmp_path.name}")
    else:
        server = request.getfixturevalue("s3_server" if request.param == "rclone" else "moto_server")
        yield open_store(f"{server.make_bucket()}/some/folder", server.settings)


@pytest.mark.parametrize("data", [b"", b"\x00\xff text", bytes(300_000)])
def test_what_is_written_is_read(store: Store, data: bytes) -> None:
    store.write_bytes("a/b c+%é#.bin", data)
    assert store.read_bytes("a/b c+%é#.bin") == data


@pytest.mark.parametrize(("start", "num_bytes"), [(0, 3), (4, 5), (8, 100), (10, 1), (50, 5), (2, 0)])
def test_a_range_is_what_slicing_gives(store: Store, start: int, num_bytes: int) -> None:
    store.write_bytes("a/b c é.bin", b"0123456789")
    assert store.read_range("a/b c é.bin", start, num_bytes) == b"0123456789"[start : start + num_bytes]


def test_a_range_of_nothing_is_missing(store: Store) -> None:
    with pytest.raises(ObjectMissing, match="none"):
        store.read_range("none", 0, 4)


def test_stat_says_what_the_listing_says(store: Store) -> None:
    store.write_bytes("a/b c é.bin", b"0123456789")
    assert [store.stat("a/b c é.bin")] == store.list()
    for absent in ("a", "none"):
        with pytest.raises(ObjectMissing, match=absent):
            store.stat(absent)


def test_writing_again_replaces(store: Store) -> None:
    store.write_bytes("key", b"old, and longer")
    before = store.list()
    store.write_bytes("key", b"new")
    assert store.read_bytes("key") == b"new"
    assert store.list() != before


def test_list_is_sorted_and_knows_folders(store: Store) -> None:
    keys = ["b/2", "a/x/y", "ab/1", "a/z", "top"]
    for key in keys:
        store.write_bytes(key, key.encode())
    assert [entry.key for entry in store.list()] == sorted(keys)
    assert [(entry.key, entry.num_bytes) for entry in store.list("a")] == [("a/x/y", 5), ("a/z", 3)]
    assert store.list("none") == []


def test_listing_is_stable_and_sees_changes(store: Store) -> None:
    store.write_bytes("key", b"1")
    first = store.list()
    assert store.list() == first
    store.write_bytes("key", b"22")
    assert store.list()[0].version != first[0].version


def test_child_sees_the_same_objects(store: Store) -> None:
    store.write_bytes("a/b/c", b"1")
    child = store.child("a/b")
    assert child.read_bytes("c") == b"1"
    assert child.uri == f"{store.uri}/a/b"
    assert [entry.key for entry in child.list()] == ["c"]


def test_exists_means_an_object_not_a_folder(store: Store) -> None:
    store.write_bytes("folder/key", b"1")
    assert store.exists("folder/key")
    assert not store.exists("folder")
    assert not store.exists("folder/other")


def test_missing_object_is_named(store: Store) -> None:
    with pytest.raises(ObjectMissing, match="nothing/here"):
        store.read_bytes("nothing/here")


def test_delete_is_idempotent(store: Store) -> None:
    store.write_bytes("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    assert store.list() == []


def test_delete_prefix_leaves_neighbours(store: Store) -> None:
    for key in ("a/1", "a/2/3", "ab"):
        store.write_bytes(key, b"1")
    assert store.delete_prefix("a") == 2
    assert [entry.key for entry in store.list()] == ["ab"]


def test_delete_prefix_refuses_whole_stores(store: Store) -> None:
    with pytest.raises(ValueError, match="prefix"):
        store.delete_prefix("")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../../b", "a//b", "."])
def test_keys_stay_inside(store: Store, key: str) -> None:
    with pytest.raises(StorageError, match="key"):
        store.write_bytes(key, b"1")


def test_put_if_absent_keeps_the_first(store: Store) -> None:
    assert store.put_if_absent("a/key", b"first")
    assert not store.put_if_absent("a/key", b"second")
    assert store.read_bytes("a/key") == b"first"
    assert [entry.key for entry in store.list()] == ["a/key"], "the probe must leave nothing"


def test_probe_tells_what_is_enforced(store: Store, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["store"]
    assert store.enforces_conditional_put() == {"local": True, "moto": True, "rclone": False, "fsspec": True}[kind]


def test_one_of_many_writers_wins_where_enforced(store: Store) -> None:
    if not store.enforces_conditional_put():
        store.write_bytes("race", b"taken")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: store.put_if_absent("race", b"%d" % number), range(8)))
    assert won.count(True) == (1 if store.enforces_conditional_put() else 0)
    if any(won):
        assert store.read_bytes("race") == b"%d" % won.index(True)


def test_a_file_is_uploaded_unless_its_name_is_taken(store: Store, tmp_path: Path) -> None:
    first, second = write_file(tmp_path / "first", 300_000), write_file(tmp_path / "second", 300_000, seed=1)
    assert store.upload_file_if_absent(first, "a/b c é.tif")
    for again in (second, first):
        assert not store.upload_file_if_absent(again, "a/b c é.tif")
    assert store.read_bytes("a/b c é.tif") == first.read_bytes()
    assert [entry.key for entry in store.list()] == ["a/b c é.tif"], "probes and parts must leave nothing"


def test_one_of_many_uploads_wins_where_enforced(store: Store, tmp_path: Path) -> None:
    files = [write_file(tmp_path / str(number), 100_000, seed=number) for number in range(8)]
    if not store.enforces_conditional_upload():
        store.write_bytes("race", b"taken")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda file: store.upload_file_if_absent(file, "race"), files))
    assert won.count(True) == (1 if store.enforces_conditional_upload() else 0)
    if any(won):
        assert store.read_bytes("race") == files[won.index(True)].read_bytes()


def test_a_stream_is_written_as_one_object(store: Store) -> None:
    store.write_stream("a/streamed", (bytes([number]) * 100_000 for number in range(5)))
    store.write_stream("a/streamed", [b"first", memoryview(b"second"), bytearray(b"")])
    assert store.read_bytes("a/streamed") == b"firstsecond"
    assert [entry.key for entry in store.list()] == ["a/streamed"]


def test_a_stream_that_breaks_off_leaves_the_old_content(store: Store) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError("broken off")

    store.write_bytes("key", b"old")
    with pytest.raises(RuntimeError, match="broken off"):
        store.write_stream("key", breaking())
    assert store.read_bytes("key") == b"old"
    assert [entry.key for entry in store.list()] == ["key"]


@pytest.mark.parametrize("num_bytes", [0, 10, 100_000])
def test_digests_are_those_of_the_content(store: Store, num_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.storage.store._RANGE_BYTES", 30_001)
    data = bytes(range(256)) * (num_bytes // 256) + bytes(num_bytes % 256)
    store.write_bytes("key", data)
    assert store.sha256("key") == hashlib.sha256(data).hexdigest()
    with pytest.raises(ObjectMissing, match="none"):
        store.sha256("none")


def test_folders_travel_both_ways(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "one.txt").write_bytes(b"1")
    (source / "deep" / "two.bin").write_bytes(bytes(100_000))
    store.upload_folder(source, "copies/first")
    store.download_folder("copies/first", tmp_path / "back")
    assert sorted(path.relative_to(tmp_path / "back").as_posix() for path in (tmp_path / "back").rglob("*.*")) == [
        "deep/two.bin",
        "one.txt",
    ]
    assert (tmp_path / "back" / "deep" / "two.bin").read_bytes() == bytes(100_000)


def test_download_refuses_an_occupied_folder(store: Store, tmp_path: Path) -> None:
    store.write_bytes("model/config.json", b"{}")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_bytes(b"1")
    with pytest.raises(StorageError, match="taken"):
        store.download_folder("model", tmp_path / "taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]
    assert not list(tmp_path.glob(".taken*"))


def test_download_of_nothing_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing, match="nothing"):
        store.download_folder("nothing", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_stores_travel_to_other_processes(store: Store) -> None:
    store.write_bytes("key", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.uri == store.uri
    assert copy.read_bytes("key") == b"1"


def write_file(path: Path, num_bytes: int, seed: int = 0) -> Path:
    path.write_bytes(random.Random(seed).randbytes(num_bytes))
    return path


def test_entries_sort_by_key() -> None:
    assert sorted([Entry("b", 1, "x"), Entry("a", 2, "y")])[0].key == "a"
