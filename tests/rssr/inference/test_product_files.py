"""What a product's files are made of: pixels and tags, and nothing of the time, place or order of their making."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rssr.errors import ConfigError
from rssr.inference import (
    ComputedWindows,
    SceneFiles,
    SceneOptions,
    ScenePrologue,
    SceneRun,
    SideProducts,
    TilingOptions,
    open_scene,
    super_resolve_scene,
)
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws
from rssr.raster import CogOptions, write_geotiff
from rssr.scenes import write_scene_geotiff
from rssr.windows import TileWindow
from tests.rssr.inference.test_finishing import land
from tests.rssr.inference.test_scene import REFLECTANCE, doubtful

OPTIONS = SceneOptions(TilingOptions(48, 6, "scene"), Draws(), with_deviation=True, project=True, other_bands=True)
TAGS = {"RSSR_RUN": "5f3a", "RSSR_PLANNED_AT": "2026-01-02T03:04:05Z", "RSSR_SOURCE_URI": "s3://in/a & b.tif"}


def model() -> LoadedModel:
    card = {**REFLECTANCE, "bands": ["nir", "green", "red"]}
    return doubtful(**card)


def computed(source: Path, order: Sequence[int] | None = None) -> ComputedWindows:
    """All windows, each by a run of its own, the last ones in this order first."""
    strips = {}
    with open_scene(source) as reader:
        run = SceneRun.prepare(reader, model(), 4, OPTIONS, "lr.tif")
        windows = run.windows(2)
        for number in order or range(len(windows)):
            other, window = SceneRun.prepare(reader, model(), 4, OPTIONS, "lr.tif"), windows[number]
            strips[window.key] = other.engine.run_window(other.scene, other.plan, window)
        prologue = ScenePrologue.from_json(run.engine.prologue(run.scene, run.plan).to_json())

    def fetch(window: TileWindow, row: int) -> np.ndarray:
        return strips[window.key][row - window.rows[0]].copy()

    return ComputedWindows(prologue, windows, fetch)


def product(folder: Path, source: Path, windows: ComputedWindows | None, tags: dict[str, str]) -> dict[str, bytes]:
    files = SceneFiles(source, folder / "sr.tif", beside=SideProducts(folder / "doubt.tif", folder / "error.tif"))
    with open_scene(source) as reader:
        run = SceneRun.prepare(reader, model(), 4, OPTIONS, "lr.tif")
        run.write(files, lambda finished, total: None, windows, tags=tags)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_files_are_the_same_to_the_byte_whoever_wrote_them_where_and_in_which_order(tmp_path: Path) -> None:
    scene = land(size=(150, 170))
    scene.valid_mask[20:60, 30:40] = False
    write_geotiff(tmp_path / "lr.tif", scene)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "copy.tif").write_bytes((tmp_path / "lr.tif").read_bytes())
    first = product(tmp_path / "one", tmp_path / "lr.tif", None, TAGS)
    assert sorted(first) == ["doubt.tif", "error.tif", "sr.tif"]
    shuffled = list(range(len(computed(tmp_path / "lr.tif").windows)))
    random.Random(1).shuffle(shuffled)
    for number, order in enumerate((None, shuffled)):
        windows = computed(tmp_path / "elsewhere" / "copy.tif", order)
        windows = replace(windows, windows=tuple(reversed(windows.windows)))
        folder = tmp_path / f"a folder of another name {number}"
        reversed_tags = dict(reversed(TAGS.items()))
        assert product(folder, tmp_path / "elsewhere" / "copy.tif", windows, reversed_tags) == first


def test_tags_of_the_caller_are_in_all_files_beside_our_own(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "lr.tif", land())
    product(tmp_path / "out", tmp_path / "lr.tif", None, {**TAGS, "RSSR_MODEL": "another"})
    for name in ("sr.tif", "doubt.tif", "error.tif"):
        with rasterio.open(tmp_path / "out" / name) as file:
            assert TAGS.items() <= file.tags().items()
            assert file.tags()["RSSR_MODEL"] == "doubtful"


def test_no_file_tells_where_it_was_made(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "lr.tif", land())
    for data in product(tmp_path / "out", tmp_path / "lr.tif", None, TAGS).values():
        assert tmp_path.name.encode() not in data
        assert b".rows" not in data


@pytest.mark.parametrize("compression", [CogOptions("deflate", 9), CogOptions("zstd", 19)])
def test_the_caller_chooses_the_compression_of_all_files(tmp_path: Path, compression: CogOptions) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 2, 90, 80)
    paths = {"uncertainty_path": tmp_path / "doubt.tif", "consistency_path": tmp_path / "error.tif"}
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "fast.tif", doubtful(), 4)
    super_resolve_scene(
        tmp_path / "lr.tif", tmp_path / "sr.tif", doubtful(), 4, compression=compression, tags=TAGS, **paths
    )
    for name in ("sr.tif", "doubt.tif", "error.tif"):
        with rasterio.open(tmp_path / name) as file:
            assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == compression.compression.upper()
            assert file.tags()["RSSR_RUN"] == "5f3a"
    assert (tmp_path / "sr.tif").stat().st_size < (tmp_path / "fast.tif").stat().st_size


@pytest.mark.parametrize(("compression", "level"), [("zstd", 23), ("deflate", 10), ("zstd", 0), ("lzw", 1)])
def test_compressions_that_do_not_exist_are_refused(compression: str, level: int) -> None:
    with pytest.raises(ConfigError, match=r"Give 1 to (22|9)|Use zstd or deflate"):
        CogOptions(compression, level)  # type: ignore[arg-type]  # what a caller may write
