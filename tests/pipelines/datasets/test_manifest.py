import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.datasets import ImageRecord, Manifest, Skipped, read_manifest, write_manifest
from pipelines.storage import ObjectMissing, open_store
from rssr.errors import DataError

RECORDS = (
    ImageRecord("a/1.png", 0, "train", "a", 64, 48, 1000, "0" * 64),
    ImageRecord("2.png", 1, "test", None, 32, 48, 10, "1" * 64),
)
MANIFEST = Manifest(
    ("/data", "s3://bucket/x"), RECORDS, (Skipped("b.jpg", "b.jpg is empty.", 1),), {"gray-to-rgb": 2}, "abc"
)


def test_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_manifest(MANIFEST, store, "some/key")
    back = read_manifest(store, "some/key")
    assert back == MANIFEST
    assert back.digest == MANIFEST.digest


@pytest.mark.parametrize("change", [{"key": "a/3.png"}, {"sha256": "2" * 64}, {"split": "test"}])
def test_digest_sees_what_matters(change: dict[str, str]) -> None:
    changed = replace(MANIFEST, records=(replace(RECORDS[0], **change), RECORDS[1]))
    assert changed.digest != MANIFEST.digest
    assert replace(MANIFEST, sources=("/moved", "s3://elsewhere")).digest == MANIFEST.digest


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing, match=r"none/manifest\.json"):
        read_manifest(open_store(str(tmp_path)), "none")


@pytest.mark.parametrize("damage", ["truncate", "json", "swap", "remove", "version"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    store = open_store(str(tmp_path))
    write_manifest(MANIFEST, store, "m")
    table = next(tmp_path.glob("m/*.parquet"))
    summary = tmp_path / "m" / "manifest.json"
    if damage == "truncate":
        table.write_bytes(table.read_bytes()[:-20])
    elif damage == "json":
        summary.write_bytes(summary.read_bytes()[:-20])
    elif damage == "remove":
        table.unlink()
    elif damage == "swap":
        write_manifest(replace(MANIFEST, records=RECORDS[:1]), store, "other")
        table.write_bytes(next(tmp_path.glob("other/*.parquet")).read_bytes())
    else:
        summary.write_text(json.dumps(json.loads(summary.read_text()) | {"format_version": 99}))
    with pytest.raises(DataError, match="manifest"):
        read_manifest(store, "m")
