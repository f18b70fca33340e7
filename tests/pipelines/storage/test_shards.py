"""Images in shards, read one by one."""

import json
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.datasets import DataConfig, build_manifest
from pipelines.datasets.manifest import Manifest
from pipelines.ingest import IngestConfig, run_ingest
from pipelines.ingest.config import InputConfig, ShardsOutputConfig
from pipelines.stages.read import ReadPatches
from pipelines.storage import ObjectMissing, open_store
from pipelines.storage.local import LocalStore
from pipelines.storage.shards import MARKER, ShardStore, open_images
from rssr.errors import RssrError, StorageError
from tests.conftest import S3Server
from tests.pipelines.ingest.conftest import picture, write_image

KEYS = ("a b/1.png", "a b/é.jpg", "c/2.png", "c/3.png", "top.png")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for number, key in enumerate(KEYS):
        write_image(tmp_path / "raw" / key, picture(key, height=40 + number))
    return tmp_path / "raw"


@pytest.fixture
def shards(raw: Path, tmp_path: Path) -> ShardStore:
    return made(raw, str(tmp_path / "shards"))


def made(raw: Path, uri: str) -> ShardStore:
    run_ingest(IngestConfig(input=InputConfig(uri=str(raw)), output=ShardsOutputConfig(uri=uri), shard_bytes=20_000))
    store = open_images(uri)
    assert isinstance(store, ShardStore)
    return store


def test_they_are_the_files_under_their_own_keys(shards: ShardStore, raw: Path) -> None:
    assert [entry.key for entry in shards.list()] == list(KEYS)
    assert {key: shards.read_bytes(key) for key in KEYS} == {key: (raw / key).read_bytes() for key in KEYS}
    assert [entry.key for entry in shards.list("c")] == ["c/2.png", "c/3.png"]
    assert shards.list("a") == []
    assert shards.exists("c/2.png")
    assert not shards.exists("c")
    with pytest.raises(ObjectMissing, match=r"no image none\.png"):
        shards.read_bytes("none.png")


def test_a_child_is_a_folder_of_them(shards: ShardStore, raw: Path) -> None:
    child = shards.child("a b")
    assert [entry.key for entry in child.list()] == ["1.png", "é.jpg"]
    assert child.read_bytes("é.jpg") == (raw / "a b" / "é.jpg").read_bytes()
    assert child.uri == f"{shards.uri}/a b"


def test_ranges_stay_within_an_image(shards: ShardStore, raw: Path) -> None:
    data = (raw / "c" / "2.png").read_bytes()
    for start, number in ((0, 8), (5, 100), (len(data) - 3, 100), (len(data) + 5, 4)):
        assert shards.read_range("c/2.png", start, number) == data[start : start + number]


def test_an_image_is_one_read_of_its_own_size(shards: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    shards.list()
    reads: list[int] = []
    read_range = LocalStore.read_range

    def counted(self: LocalStore, key: str, start: int, num_bytes: int) -> bytes:
        data = read_range(self, key, start, num_bytes)
        reads.append(len(data))
        return data

    monkeypatch.setattr(LocalStore, "read_range", counted)
    monkeypatch.setattr(LocalStore, "read_bytes", lambda *_: pytest.fail("a whole file is read"))
    sizes = [len(shards.read_bytes(key)) for key in KEYS]
    assert reads == sizes


def test_threads_and_processes_share_a_store(shards: ShardStore, raw: Path) -> None:
    again = pickle.loads(pickle.dumps(shards))
    barrier = threading.Barrier(4)

    def read(number: int) -> bytes:
        barrier.wait()
        return bytes(again.read_bytes(KEYS[number]))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [(raw / key).read_bytes() for key in KEYS[:4]]
    assert len(pickle.dumps(shards)) < 1000, "the index does not travel"


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.write_bytes("x", b""),
        lambda store: store.put_if_absent("x", b""),
        lambda store: store.delete("top.png"),
        lambda store: store.upload_file(Path("x"), "x"),
    ],
)
def test_they_are_read_only(shards: ShardStore, write: Callable[[ShardStore], None]) -> None:
    with pytest.raises(StorageError, match="read-only"):
        write(shards)


def test_a_damaged_shard_is_noticed(shards: ShardStore, tmp_path: Path) -> None:
    image = shards.image("c/2.png")
    path = tmp_path / "shards" / image.shard
    data = bytearray(path.read_bytes())
    data[image.offset + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"c/2\.png in .*shard-.* damaged.*fresh=true"):
        shards.read_bytes("c/2.png")
    path.unlink()
    with pytest.raises(StorageError, match=r"is gone"):
        shards.read_bytes("c/2.png")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format_version": 99}'])
def test_a_damaged_summary_is_named(shards: ShardStore, tmp_path: Path, text: str) -> None:
    (tmp_path / "shards" / MARKER).write_text(text)
    with pytest.raises(StorageError, match=r"shards\.json (is damaged|has format 99)"):
        open_images(str(tmp_path / "shards"))


def test_a_damaged_index_is_named(shards: ShardStore, tmp_path: Path) -> None:
    [index] = (tmp_path / "shards").glob("index-*")
    index.write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=r"index-.* is damaged"):
        open_images(str(tmp_path / "shards")).list()
    index.unlink()
    with pytest.raises(StorageError, match=r"index-.* is gone"):
        open_images(str(tmp_path / "shards")).list()


def test_anything_else_is_opened_as_ever(raw: Path, tmp_path: Path) -> None:
    assert not isinstance(open_images(str(raw)), ShardStore)
    assert open_images(str(tmp_path / "missing")).list() == []


def manifest_of(*uris: str) -> Manifest:
    config = DataConfig.model_validate({"scale": 2, "degradation": "bicubic", "num_test": 1})
    return build_manifest(uris, config, seed=3)


def test_the_manifest_is_that_of_the_folder_and_no_image_is_read(
    shards: ShardStore, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = manifest_of(str(raw))
    monkeypatch.setattr(ShardStore, "read_bytes", lambda *_: pytest.fail("an image is read"))
    found = manifest_of(shards.uri)
    assert found.records == expected.records
    assert found.digest == expected.digest
    assert found.sources == (shards.uri,)


def test_shards_and_folders_mix(shards: ShardStore, tmp_path: Path) -> None:
    write_image(tmp_path / "more" / "d" / "4.png", picture("more"))
    manifest = manifest_of(shards.uri, str(tmp_path / "more"))
    assert [(record.source, record.key) for record in manifest.records] == [*((0, key) for key in KEYS), (1, "d/4.png")]
    read = ReadPatches(manifest.records, manifest.sources)
    for number, record in enumerate(manifest.records):
        assert read.read_image(number).shape == (record.height, record.width, 3)


def test_on_s3_an_image_is_one_request(raw: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_server.use(monkeypatch)
    shards = made(raw, f"{s3_server.make_bucket()}/shards é")
    assert {key: shards.read_bytes(key) for key in KEYS} == {key: (raw / key).read_bytes() for key in KEYS}
    assert manifest_of(shards.uri).records == manifest_of(str(raw)).records
    with pytest.raises(RssrError, match="bucket of s3://no-such-bucket"):
        open_images("s3://no-such-bucket/x")


def test_the_summary_is_for_people_too(shards: ShardStore) -> None:
    summary = json.loads(open_store(shards.uri).read_bytes(MARKER))
    assert summary == shards.summary
    assert summary["num_images"] == len(KEYS)
    assert summary["classes"] == {"(none)": {"unassigned": 1}, "a b": {"unassigned": 2}, "c": {"unassigned": 2}}
