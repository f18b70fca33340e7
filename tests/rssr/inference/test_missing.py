"""Windows that could not be computed: holes in all files, and in no figure."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from torch import Tensor

from rssr.errors import ImageError
from rssr.inference import (
    ComputedWindows,
    Engine,
    SceneFiles,
    SceneOptions,
    ScenePrologue,
    SceneReport,
    SceneRun,
    SideProducts,
    TilingOptions,
    open_scene,
)
from rssr.inference.arrays import ArrayScene
from rssr.inference.missing import MissingPixels
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws
from rssr.raster import Radiometry, Raster, read_raster, write_geotiff
from rssr.scenes import generate_scene, write_scene_geotiff
from rssr.tiling import nearest_lr, output_size, plan_tiles
from rssr.windows import TileWindow, assemble, plan_windows
from tests.rssr.inference.test_finishing import land, lr_means
from tests.rssr.inference.test_scene import CARD, REFLECTANCE, CubicResolver, doubtful

TILES_A_SIDE = 2
FAILED = (1, 3)  # numbers of windows: at the upper edge, and at the left one


def scene_of(dtype: str) -> tuple[Raster, LoadedModel]:
    """A scene with holes of its own, and a model for it."""
    scene = land("float32" if dtype == "float32" else "uint16", (110, 100))
    nodata: float | None = {"uint8": None, "uint16": 0.0, "int16": None, "float32": float("nan")}[dtype]
    card: dict[str, Any] = {**REFLECTANCE, "dtype": dtype, "value_range": (0.0, 10000.0)}
    if dtype == "uint8":
        scene = replace(scene, pixels=(scene.pixels // 24).astype(dtype), radiometry=Radiometry.undeclared(4))
        card["value_range"] = (0.0, 255.0)
    if dtype == "float32":
        card["value_range"] = (0.0, 1.0)
    scene.valid_mask[60:70, 15:80] = False
    if nodata is not None:
        scene.pixels[:, ~scene.valid_mask] = nodata
    return replace(scene, nodata=nodata), doubtful(**card)


def run(
    folder: Path, model: LoadedModel, scale: float, failed: Sequence[int], **options: Any
) -> tuple[SceneRun, SceneReport, list[TileWindow]]:
    """Written from windows; those that failed are not there to be read."""
    tiling = TilingOptions(32, 6, options.pop("color_match", "none"))
    how = SceneOptions(tiling, Draws(), with_deviation=True, **options)
    files = SceneFiles(folder / "lr.tif", folder / "sr.tif", True, SideProducts(folder / "d.tif", folder / "e.tif"))
    with open_scene(files.source) as reader:
        run = SceneRun.prepare(reader, model, scale, how, "lr.tif")
        windows = run.windows(TILES_A_SIDE)
        lost = [windows[number] for number in failed]
        strips = {
            window.key: run.engine.run_window(run.scene, run.plan, window) for window in windows if window not in lost
        }
        fetch = lambda window, row: strips[window.key][row - window.rows[0]].copy()  # noqa: E731  # short
        prologue = run.prologue(windows, fetch, lost)
        run.write(files, lambda finished, total: None, ComputedWindows(prologue, windows, fetch, lost))
        return run, run.report(), lost


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("scale", [4, 3.4])
def test_all_that_a_failed_window_contributes_to_is_masked_and_nothing_else(
    tmp_path: Path, dtype: str, scale: float
) -> None:
    scene, model = scene_of(dtype)
    write_geotiff(tmp_path / "lr.tif", scene)
    run(tmp_path, model, scale, ())
    whole, doubt = read_raster(tmp_path / "sr.tif"), read_raster(tmp_path / "d.tif")
    made, report, lost = run(tmp_path, model, scale, FAILED)
    expected = whole.valid_mask.copy()
    for window in lost:
        expected[window.sr(made.plan)] = False
    assert 0.1 < expected.mean() < 0.8 * whole.valid_mask.mean()
    sr, deviation = read_raster(tmp_path / "sr.tif"), read_raster(tmp_path / "d.tif")
    for layer, other in ((sr, whole), (deviation, doubt)):
        np.testing.assert_array_equal(layer.valid_mask, expected)
        np.testing.assert_array_equal(layer.pixels[:, expected], other.pixels[:, expected])
    for layer in (sr, deviation):
        hole = layer.pixels[:, ~expected]
        assert np.isnan(hole).all() if layer.pixels.dtype == np.float32 else (hole == 0).all()
    assert report.valid_share == pytest.approx(expected.mean())
    assert report.failed_windows == ("r0000c0001", "r0001c0000")
    for name in ("sr.tif", "d.tif", "e.tif"):
        with rasterio.open(tmp_path / name) as file:
            assert file.tags()["RSSR_FAILED_WINDOWS"] == "r0000c0001 r0001c0000"


@pytest.mark.parametrize("scale", [4, 3.4])
def test_the_error_on_the_lr_grid_is_known_where_it_does_not_look_into_the_hole(tmp_path: Path, scale: float) -> None:
    scene, model = scene_of("uint16")
    write_geotiff(tmp_path / "lr.tif", scene)
    run(tmp_path, model, scale, ())
    whole = read_raster(tmp_path / "e.tif")
    made, _, lost = run(tmp_path, model, scale, FAILED)
    layer = read_raster(tmp_path / "e.tif")
    known = layer.valid_mask
    np.testing.assert_array_equal(layer.pixels[:, known], whole.pixels[:, known])
    assert np.isnan(layer.pixels[:, ~known]).all()
    far = whole.valid_mask.copy()
    for window in lost:
        rows, columns = window.lr(made.plan)
        assert not known[rows, columns].any()
        far[max(rows.start - 3, 0) : rows.stop + 3, max(columns.start - 3, 0) : columns.stop + 3] = False
    assert known[far].all()


@pytest.mark.parametrize("scale", [4, 3.4])
def test_projection_keeps_means_up_to_the_hole(tmp_path: Path, scale: float) -> None:
    """What was not computed would otherwise be made up for by its neighbours."""
    scene, _ = scene_of("float32")
    card = {**REFLECTANCE, "bands": ["nir", "green"], "dtype": "float32", "value_range": (0.0, 1.0)}
    write_geotiff(tmp_path / "lr.tif", scene)
    run(tmp_path, doubtful(**card), scale, FAILED, project=True, other_bands=True)
    sr = read_raster(tmp_path / "sr.tif")
    assert len(sr.pixels) == 4
    whole = lr_means(sr.valid_mask[None].astype(np.float64), scene.size)[0] > 1 - 1e-9
    means = lr_means(np.where(sr.valid_mask, sr.pixels, 0), scene.size)
    assert whole.mean() > 0.3
    assert np.abs(means - scene.pixels)[:, whole].max() < 1e-5


def test_the_hole_is_no_seam(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 4, 200, 190)
    _, whole, _ = run(tmp_path, doubtful(), 4, ())
    for failed in ((6,), (0, 5, 10), (5, 6, 9, 10)):
        _, report, _ = run(tmp_path, doubtful(), 4, failed)
        assert report.seam_score == pytest.approx(whole.seam_score, abs=0.02)
        assert report.valid_share < 0.95


class Faded(CubicResolver):
    """Halves contrast, gives no deviation, and cannot take what is very bright."""

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        if float(lr.max()) > 50:
            raise RuntimeError("too bright")
        return 0.5 * super().__call__(lr, output_size)


@pytest.mark.parametrize(("side", "from_all"), [(150, True), (260, False)])
def test_colours_are_matched_to_what_there_is(side: int, from_all: bool) -> None:
    """One window has values that the model fails on: they count neither for the scene's colours nor for the SR's."""
    pixels = generate_scene(2, side, side).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    engine = Engine(LoadedModel("faded", Faded(), None, {}, CARD), TilingOptions(32, 4, "scene").completed(CARD))
    plan = plan_tiles((side, side), (2 * side, 2 * side), 32, 4)
    assert engine.needs_all_rows(plan) == from_all
    clean = engine.prologue(ArrayScene(pixels, np.ones((side, side), np.bool_)), plan).match
    windows = plan_windows(plan, 3)
    rows, columns = (slice(one.start + 9, one.stop - 9) for one in windows[1].lr(plan))
    pixels[:, rows, columns] = 99
    scene = ArrayScene(pixels, np.ones((side, side), np.bool_))
    lost = [windows[1]]
    strips = {window.key: engine.run_window(scene, plan, window) for window in windows if window not in lost}

    def fetch(window: TileWindow, row: int) -> np.ndarray:
        if window.key in strips:
            return strips[window.key][row - window.rows[0]].copy()
        tiles = plan.rows[row].sr[1] - plan.rows[row].sr[0], window.sr_columns(plan)
        return np.full((3, tiles[0], tiles[1].stop - tiles[1].start), 7, np.float32)

    prologue = engine.prologue(scene, plan, assemble(plan, windows, fetch), lost)
    assert clean is not None
    assert prologue.match is not None
    np.testing.assert_allclose(prologue.match.gain, clean.gain, rtol=0.02)
    np.testing.assert_allclose(prologue.match.offset, clean.offset, atol=0.02)
    assert engine.prologue(scene, plan, None, lost) == prologue


def test_a_scene_of_which_nothing_could_be_computed_is_a_hole(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 4, 50, 60)
    _, report, lost = run(tmp_path, doubtful(), 2, range(2), color_match="scene", project=True)
    assert len(lost) == len(report.failed_windows) == 2
    assert report.valid_share == 0
    assert report.seam_score == 1
    assert not read_raster(tmp_path / "sr.tif").valid_mask.any()


def test_only_windows_of_the_scene_can_have_failed() -> None:
    plan = plan_tiles((90, 90), (180, 180), 32, 4)
    fetch = lambda window, row: np.zeros(0, np.float32)  # noqa: E731  # short
    with pytest.raises(ValueError, match="no windows of the scene: r0000c0000"):
        ComputedWindows(ScenePrologue(), plan_windows(plan, 2), fetch, plan_windows(plan, 1)[:1])


def test_a_picture_cannot_hold_the_hole(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 4, 50, 60)
    with open_scene(tmp_path / "lr.tif") as reader:
        run = SceneRun.prepare(reader, doubtful(), 2, SceneOptions(TilingOptions(32, 4), Draws()), "lr.tif")
        windows = run.windows(1)
        fetch = lambda window, row: run.engine.run_strip(run.scene, run.plan, window, row)  # noqa: E731  # short
        computed = ComputedWindows(run.prologue(windows, fetch), windows, fetch, windows[:1])
        with pytest.raises(ImageError, match="holes"):
            run.write(SceneFiles(tmp_path / "lr.tif", tmp_path / "sr.png"), lambda finished, total: None, computed)


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.4, 2.7182818, 1.01])
def test_lr_pixels_are_missing_whose_sr_pixels_are_not_all_there(scale: float) -> None:
    size = (97, 61)
    plan = plan_tiles(size, output_size(size, scale), 20, 3)
    rows, columns = (nearest_lr(lr, sr) for lr, sr in zip(size, plan.sr_size, strict=True))
    for window in plan_windows(plan, 2):
        missing = MissingPixels.of(plan, [window])
        known = missing.known_sr(np.ones(plan.sr_size, np.bool_), 0)
        assert (~known).sum() == np.prod([part.stop - part.start for part in window.sr(plan)])
        lr_known = missing.known_lr(np.ones(size, np.bool_), 0)
        touched = np.zeros(size, np.bool_)
        touched[rows[:, None].repeat(len(columns), 1)[~known], columns[None].repeat(len(rows), 0)[~known]] = True
        np.testing.assert_array_equal(lr_known, ~touched)
        for first in range(0, size[0], 7):
            part = missing.known_lr(np.ones((min(7, size[0] - first), size[1]), np.bool_), first)
            np.testing.assert_array_equal(part, lr_known[first : first + 7])
