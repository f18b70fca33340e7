"""Squares of products as the images of a manifest."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import DataConfig, Manifest
from pipelines.datasets.scenes import load_or_build_scene_manifest, parse_square_key, square_key
from pipelines.storage import open_store
from rssr.errors import DataError
from rssr.raster import Window
from tests.sentinel2_products import imagined_numbers, write_safe


def config(**changes: object) -> DataConfig:
    scenes = {"tile_size": 64} | {name: changes.pop(name) for name in ("max_nodata_fraction",) if name in changes}
    return DataConfig.model_validate(
        {"uri": "x", "scale": 4, "degradation": "sentinel2", "scenes": scenes, "num_test": 2} | changes
    )


def build(folder: Path, chosen: DataConfig, output: Path) -> Manifest:
    return load_or_build_scene_manifest(
        open_store(str(output)), "manifest", [str(folder)], chosen, 0, lambda done, total: None
    )


def test_squares_that_hold_too_little_are_left_out(tmp_path: Path) -> None:
    numbers = imagined_numbers((192, 160))
    numbers["B04"][70:80, 10:20] = 0  # a 41st of the square in row 64, column 0
    write_safe(tmp_path / "in", numbers)
    strict = build(tmp_path / "in", config(), tmp_path / "out")
    places = {parse_square_key(record.key)[1] for record in strict.records}
    assert places == {Window(row, column, 64, 64) for row in (0, 64, 128) for column in (0, 64)} - {
        Window(64, 0, 64, 64)
    }
    assert len(strict.split("test")) == 2
    assert {record.side for record in strict.records} == {64}
    lenient = build(tmp_path / "in", config(max_nodata_fraction=0.03), tmp_path / "out")
    assert len(lenient.records) == 6
    assert lenient.conversions["pixels-without-data-filled"] == 1


def test_the_manifest_is_reused_until_a_product_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_safe(tmp_path / "in", imagined_numbers((128, 128)))
    first = build(tmp_path / "in", config(), tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.datasets.scenes.open_sentinel2", None)
        assert build(tmp_path / "in", config(), tmp_path / "out") == first
    [path] = folder.rglob("*_B02_10m.jp2")
    path.unlink()
    write_safe(tmp_path / "in", imagined_numbers((128, 128), seed=1))
    assert build(tmp_path / "in", config(), tmp_path / "out").digest != first.digest


def test_a_bad_product_is_listed_with_its_reason_and_too_many_are_an_error(tmp_path: Path) -> None:
    write_safe(tmp_path, imagined_numbers((128, 128)))
    bad = imagined_numbers((128, 128), seed=1)
    del bad["B08"]
    write_safe(tmp_path, bad, tile="T33UUU")
    with pytest.raises(DataError, match="lacks B08"):
        build(tmp_path, config(), tmp_path / "out")
    lenient = build(tmp_path, config(max_corrupt_fraction=0.5), tmp_path / "out")
    [skipped] = lenient.skipped
    assert "T33UUU" in skipped.key
    assert "lacks B08" in skipped.reason
    assert len(lenient.records) == 4


def test_squares_larger_than_every_product_are_an_error(tmp_path: Path) -> None:
    write_safe(tmp_path, imagined_numbers((48, 48)))
    with pytest.raises(DataError, match="tile_size"):
        build(tmp_path, config(), tmp_path / "out")


def test_keys_of_squares_read_back() -> None:
    window = Window(512, 1024, 256, 256)
    assert parse_square_key(square_key("a#b/X.SAFE", window)) == ("a#b/X.SAFE", window)
    assert np.prod((window.height, window.width)) == 65_536
