import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets import ImageRecord, Manifest, Skipped, read_manifest, write_manifest
from pipelines.storage import ObjectMissing, open_store
from rssr.errors import DataError
from rssr.methods.training import TrainingConfig

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


def held_out(*classes: str, side: int = 64) -> Manifest:
    """A manifest that holds out one image a name, of the class that the name gives."""
    return Manifest(
        ("/data",),
        tuple(
            ImageRecord(f"{name}/{number:03}.png", 0, "test", name, side, side, 10, f"{number:064x}")
            for number, name in enumerate(classes)
        ),
    )


@settings(max_examples=40)
@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=40))
def test_halves_share_the_held_out_images_without_overlap_class_by_class(classes: list[str]) -> None:
    manifest = held_out(*classes)
    fit, report = manifest.half_of_test_images("fit"), manifest.half_of_test_images("report")
    assert sorted((*fit, *report), key=lambda image: image.key) == sorted(manifest.records, key=lambda image: image.key)
    assert 0 <= len(fit) - len(report) <= 1
    for name in "abc":
        assert abs(sum(i.class_name == name for i in fit) - sum(i.class_name == name for i in report)) <= 1
    again = replace(manifest, records=manifest.records[::-1])
    assert set(again.half_of_test_images("fit")) == set(fit)


def test_equal_images_are_in_the_same_half() -> None:
    manifest = held_out(*"aaaaaa")
    copies = tuple(replace(record, key=f"copy/{record.key}") for record in manifest.records)
    manifest = replace(manifest, records=(*manifest.records, *copies))
    fit, report = manifest.half_of_test_images("fit"), manifest.half_of_test_images("report")
    assert len(fit) == len(report) == 6
    assert not {image.sha256 for image in fit} & {image.sha256 for image in report}


def test_a_phase_learns_from_the_images_it_asks_for() -> None:
    training = tuple(replace(record, key=f"t{record.key}", split="train") for record in held_out(*"ab").records)
    manifest = held_out(*"aabb")
    manifest = replace(manifest, records=(*training, *manifest.records))
    usual = {"num_steps": 1, "batch_size": 1, "patch_size": 32, "learning_rate": 1}
    assert manifest.images_of_phase(TrainingConfig(**usual), 4) == (training, manifest.split("test"))

    class Fitted(TrainingConfig):
        fits_held_out: ClassVar[bool] = True

    learnt, validated = manifest.images_of_phase(Fitted(**usual), 4)
    assert learnt == manifest.half_of_test_images("fit")
    assert validated == manifest.half_of_test_images("report")


def test_where_lr_patches_are_fixed_training_images_hold_the_largest_hr_patch() -> None:
    manifest = held_out(*"aabb")
    manifest = replace(
        manifest, records=(*(replace(image, split="train") for image in manifest.records[:2]), *manifest.records[2:])
    )
    values = {"num_steps": 1, "batch_size": 1, "patch_size": 16, "learning_rate": 1}
    config = TrainingConfig(**values, lr_patch_size=16)
    assert all(map(len, manifest.images_of_phase(config, 4.0)))
    with pytest.raises(DataError, match="holds a patch of 66 pixels"):
        manifest.images_of_phase(config, 4.125)


@pytest.mark.parametrize(
    ("manifest", "patch_size", "word"),
    [(held_out("a"), 1, "1 distinct images are held out"), (held_out(*"ab"), 65, r"\('report' half\) images")],
)
def test_too_few_or_too_small_held_out_images_are_refused(manifest: Manifest, patch_size: int, word: str) -> None:
    with pytest.raises(DataError, match=word):
        manifest.half_of_test_images("report", patch_size)
