"""Planted duplicates are found, within a dataset and between two, and nothing else is."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.ingest import IngestConfig, run_ingest
from pipelines.stages.read import oriented
from rssr.errors import DataError
from rssr.scenes import SCENE_KINDS, generate_scene
from tests.pipelines.ingest.conftest import Pixels, picture, write_image

Configure = Callable[..., IngestConfig]
Pairs = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def scenes() -> list[Pixels]:
    """Procedural scenes, the most real-looking pictures at hand."""
    return [generate_scene(seed, 160, 160, gsd_m=0.5, kind=kind) for kind in SCENE_KINDS for seed in range(3)]


def ingested(folder: Path, shards: Path, *against: Path, **values: Any) -> Pairs:
    settings = {"input": {"uri": str(folder)}, "output": {"uri": str(shards)}, "against": [str(uri) for uri in against]}
    run_ingest(IngestConfig.model_validate({**settings, **values}))
    rows = pq.read_table(shards / "duplicates.parquet").to_pylist()
    return {(row["key"], row["other_key"]): row for row in rows}


def write_scenes(folder: Path, scenes: list[Pixels]) -> None:
    for number, pixels in enumerate(scenes):
        write_image(folder / f"class{number % 3}" / f"{number:02d}.png", pixels)


def write_jpeg(path: Path, pixels: Pixels, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, quality=quality)


def test_scenes_that_differ_are_no_duplicates(scenes: list[Pixels], tmp_path: Path) -> None:
    write_scenes(tmp_path / "raw", scenes)
    assert ingested(tmp_path / "raw", tmp_path / "shards") == {}


def test_copies_are_found_whatever_was_done_to_them(scenes: list[Pixels], tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_scenes(raw, scenes)
    write_image(raw / "copies" / "same bytes.png", scenes[0])
    write_jpeg(raw / "copies" / "jpeg 60.jpg", scenes[1], 60)
    write_jpeg(raw / "copies" / "smaller.jpg", cv2.resize(scenes[2], (100, 100), interpolation=cv2.INTER_AREA), 90)
    write_jpeg(raw / "copies" / "larger.jpg", cv2.resize(scenes[3], (333, 333), interpolation=cv2.INTER_CUBIC), 90)
    for orientation in range(1, 8):
        write_jpeg(raw / "copies" / f"turned {orientation}.jpg", oriented(scenes[3 + orientation], orientation), 85)
    pairs = ingested(raw, tmp_path / "shards")
    originals = {"same bytes.png": 0, "jpeg 60.jpg": 1, "smaller.jpg": 2, "larger.jpg": 3}
    originals |= {f"turned {orientation}.jpg": 3 + orientation for orientation in range(1, 8)}
    expected = {frozenset((f"copies/{name}", f"class{n % 3}/{n:02d}.png")) for name, n in originals.items()}
    assert {frozenset(pair) for pair in pairs} == expected
    assert [pair for pair, row in pairs.items() if row["kind"] == "exact"] == [
        ("copies/same bytes.png", "class0/00.png")
    ]
    assert all(row["distance"] <= 11 and row["correlation"] >= 0.9 for row in pairs.values() if row["kind"] == "near")
    assert all(row["other_dataset"] == "" for row in pairs.values())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "shards" / "duplicates.csv").read_text())))
    assert {(row["key"], row["other_key"]) for row in rows} == set(pairs)
    assert {row["orientation"] for row in rows} > {"as it is", "turned by 180 degrees", "transposed"}


def test_crops_are_found(scenes: list[Pixels], tmp_path: Path) -> None:
    """Of which 95 % of the area is left, cut off at two sides or at all."""
    write_scenes(tmp_path / "raw", scenes)
    for number, pixels in enumerate(scenes):
        top, left = (number * 4 % 5, number * 3 % 5)
        write_jpeg(tmp_path / "raw" / "crops" / f"{number:02d}.jpg", pixels[top : top + 156, left : left + 156], 85)
    pairs = ingested(tmp_path / "raw", tmp_path / "shards")
    expected = {frozenset((f"crops/{n:02d}.jpg", f"class{n % 3}/{n:02d}.png")) for n in range(len(scenes))}
    assert {frozenset(pair) for pair in pairs} <= expected
    assert len(pairs) >= 0.95 * len(expected)


def test_two_datasets_are_compared(scenes: list[Pixels], tmp_path: Path) -> None:
    write_scenes(tmp_path / "one", scenes[:6])
    write_scenes(tmp_path / "two", scenes[6:12])
    write_image(tmp_path / "two" / "copy.png", scenes[4])
    write_jpeg(tmp_path / "two" / "near.jpg", np.rot90(scenes[5]), 80)
    ingested(tmp_path / "one", tmp_path / "shards one")
    pairs = ingested(tmp_path / "two", tmp_path / "shards two", tmp_path / "shards one")
    assert {(*pair, row["kind"]) for pair, row in pairs.items()} == {
        ("copy.png", "class1/04.png", "exact"),
        ("near.jpg", "class2/05.png", "near"),
    }
    assert {row["other_dataset"] for row in pairs.values()} == {str(tmp_path / "shards one")}
    without = ingested(tmp_path / "two", tmp_path / "shards two")
    assert without == {}, "another question is another answer, and the shards stay"


def test_what_is_no_shard_folder_cannot_be_compared_with(configure: Configure, raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw data holds no shards"):
        run_ingest(configure(against=[str(raw)]))
    assert not (tmp_path / "shards").exists()
    run_ingest(configure())
    with pytest.raises(DataError, match=r"is output\.uri itself"):
        run_ingest(configure(against=[str(tmp_path / "shards")]))


def test_flat_pictures_are_told_apart_by_their_bytes_only(tmp_path: Path) -> None:
    for level in (100, 101, 100):
        write_image(
            tmp_path / "raw" / f"flat {len(list(tmp_path.rglob('*.png')))}.png", np.full((64, 64, 3), level, np.uint8)
        )
    pairs = ingested(tmp_path / "raw", tmp_path / "shards")
    assert {(*pair, row["kind"]) for pair, row in pairs.items()} == {("flat 2.png", "flat 0.png", "exact")}


def test_many_copies_give_one_pair_each(tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path / "raw" / f"{number}.png", picture("copied"))
    write_jpeg(tmp_path / "raw" / "near.jpg", picture("copied"), 90)
    pairs = ingested(tmp_path / "raw", tmp_path / "shards")
    assert sorted(pairs) == [("0.png", "near.jpg"), *((f"{number}.png", "0.png") for number in range(1, 6))]
