"""Images as files to read by ranges, and what files name, wherever that lies."""

from pathlib import Path

import pytest

from pipelines.storage import ObjectMissing, open_store
from pipelines.storage.product_files import StoredFiles, linked_place, raster_source
from rssr.errors import StorageError
from rssr.raster import ByteSource
from tests.conftest import S3Server
from tests.pipelines.storage.packing import ENDINGS, packed

DATA = bytes(range(256)) * 4_000


@pytest.mark.parametrize("ending", ENDINGS)
def test_members_of_archives_come_by_ranges_or_once(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"pack.{ending}").write_bytes(packed(ending, {"a.tif": DATA}))
    store = open_store(str(tmp_path / f"pack.{ending}"))
    whole: list[str] = []
    original = store.read_bytes
    monkeypatch.setattr(store, "read_bytes", lambda key: (whole.append(key), original(key))[1])
    source = raster_source(store, "a.tif")
    assert isinstance(source, ByteSource)
    for start in (0, 700_000, 300_000, len(DATA) - 10):
        assert source.read(start, 1_000) == DATA[start : start + 1_000]
    assert whole == ([] if ending == "tar" else ["a.tif"])


def test_local_files_are_paths_and_missing_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(DATA)
    store = open_store(str(tmp_path))
    assert raster_source(store, "a.tif") == str(tmp_path / "a.tif")
    with pytest.raises(ObjectMissing):
        raster_source(store, "b.tif")


def test_sizes_that_a_listing_told_are_not_asked_for(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(s3_server.make_bucket(), s3_server.settings)
    store.write_bytes("a.tif", DATA)
    monkeypatch.setattr(type(store), "stat", lambda self, key: pytest.fail("asked"))
    source = StoredFiles(store, ["a.tif"], "it", None, {"a.tif": len(DATA)}).raster_source("a.tif")
    assert isinstance(source, ByteSource)
    assert source.read(5, 3) == DATA[5:8]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("b.tif", "s3://b/x/items/y/b.tif"),
        ("./b.tif", "s3://b/x/items/y/b.tif"),
        ("../b.tif", "s3://b/x/items/b.tif"),
        ("../../z/b.tif", "s3://b/x/z/b.tif"),
        ("../../../b.tif", "s3://b/b.tif"),
        ("s3://other/z/b.tif", "s3://other/z/b.tif"),
        ("https://example.com/b.tif", "https://example.com/b.tif"),
        ("/data/b.tif", "/data/b.tif"),
    ],
)
def test_addresses_count_from_the_file_that_names_them(address: str, place: str) -> None:
    store, key = linked_place(open_store("s3://b/x/items"), "y/item.json", address)
    assert store.describe(key) == place


def test_local_addresses_may_climb(tmp_path: Path) -> None:
    store, key = linked_place(open_store(str(tmp_path / "items")), "item.json", "../images/b.tif")
    assert store.describe(key) == str(tmp_path / "images" / "b.tif")


@pytest.mark.parametrize(
    ("uri", "address"),
    [("s3://b/x", "../../b.tif"), ("s3://b", "../b.tif"), ("s3://b/pack.zip", "../b.tif"), ("s3://b", "s3://u:p@c/d")],
)
def test_addresses_that_lead_out_of_a_bucket_or_archive_are_refused(uri: str, address: str) -> None:
    with pytest.raises(StorageError):
        linked_place(open_store(uri), "item.json", address)
