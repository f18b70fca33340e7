"""Memory that is too short for a tile: smaller ones take its place, and are counted and told."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from torch import Tensor
from torch.nn import functional as F

import rssr.inference.engine as engine_module
from rssr.errors import ModelError
from rssr.inference import Engine, TileCounts, TilingOptions, super_resolve_scene
from rssr.inference.planning import plan_scene
from rssr.methods.ldcsr.inference import LDCSRResolver
from rssr.models.loaded import LoadedModel
from rssr.models.registry import create_model
from rssr.models.resolver import Draws
from rssr.raster import read_raster
from rssr.scenes import write_scene_geotiff
from rssr.windows import assemble, plan_windows
from tests.rssr.inference.test_engine import cut_scene
from tests.rssr.inference.test_scene import CARD
from tests.rssr.methods.tiny_latent import TINY_ARCHITECTURE

TILING: dict[str, Any] = {"tile_size": 80, "halo": 6, "batch_size": 2}


class Cubic:
    """Bicubic enlargement, with a doubt, on an accelerator whose memory holds so many LR pixels."""

    gives_deviation = True

    def __init__(self, most: int = 10**9) -> None:
        self.most = most
        self.attempts: list[tuple[int, int, int]] = []

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        self.attempts.append((lr.shape[0], lr.shape[2], lr.shape[3]))
        if lr.shape[0] * lr.shape[2] * lr.shape[3] > self.most:
            raise torch.cuda.OutOfMemoryError("too many pixels")
        return F.interpolate(lr, size=output_size, mode="bicubic", align_corners=False)

    def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        sr = self(lr, output_size)
        return sr, 0.1 + 0.05 * sr.abs()


def cubic(most: int = 10**9) -> LoadedModel:
    return LoadedModel("cubic", Cubic(most), None, {}, CARD)


@pytest.fixture(autouse=True)
def as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine_module, "runs_batches", lambda device: True)
    yield


def run(
    model: LoadedModel, scale: float = 4, size: tuple[int, int] = (110, 190), **options: Any
) -> tuple[np.ndarray, TileCounts]:
    complete = TilingOptions(**{**TILING, **options}).completed(None)
    engine = Engine(model, complete, with_deviation=isinstance(model.resolver, Cubic), draws=Draws(3))
    plan, scene = plan_scene(model, size, scale, complete), cut_scene(*size)
    windows = plan_windows(plan, 2)
    strips = {window.key: engine.run_window(scene, plan, window) for window in windows}
    rows = assemble(plan, windows, lambda window, row: strips[window.key][row - window.rows[0]])
    return np.concatenate([strip for _, strip in rows], axis=1), engine.take_counts()


@pytest.mark.parametrize("matching", ["none", "local", "authors"])
@pytest.mark.parametrize("scale", [2, 3.4])
def test_a_local_network_gives_the_same_in_smaller_tiles(matching: Any, scale: float) -> None:
    whole, counts = run(cubic(), scale, color_match=matching, halo=10)
    assert (counts.num_splits, counts.num_smaller_tiles) == (0, 0)
    parts, counts = run(cubic(2000), scale, color_match=matching, halo=10)
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert counts.num_tiles == counts.num_smaller_tiles > 5


def test_batches_are_halved_first_then_tiles_and_later_ones_go_straight_there(caplog: pytest.LogCaptureFixture) -> None:
    model = cubic(45 * 45)
    resolver = model.resolver
    assert isinstance(resolver, Cubic)
    with caplog.at_level(logging.WARNING):
        _, counts = run(model)
    assert resolver.attempts[:3] == [(2, 80, 80), (1, 80, 80), (1, 40, 40)]
    assert all(attempt[0] == 1 and max(attempt) <= 40 for attempt in resolver.attempts[2:])
    assert counts.num_splits == 2
    assert counts.num_smaller_tiles == counts.num_tiles
    assert [record.message.partition(":")[2].strip()[:22] for record in caplog.records] == [
        "going on with 1 tiles ",
        "going on with 40. Pixe",
    ]


def test_tiles_at_the_edge_that_fit_stay_whole() -> None:
    """Of tiles that are 80 or 32 high, and 80 or 22 wide, one alone is no larger than 40."""
    _, counts = run(cubic(70 * 70), size=(100, 90))
    assert (counts.num_tiles, counts.num_smaller_tiles) == (4, 3)


def test_smaller_tiles_get_smaller_still_and_each_tile_has_one_size() -> None:
    model = cubic(34 * 34)
    whole, _ = run(cubic(), size=(130, 130), tile_size=130)
    parts, counts = run(model, size=(130, 130), tile_size=130)
    resolver = model.resolver
    assert isinstance(resolver, Cubic)
    assert resolver.attempts[:4] == [(1, 130, 130), (1, 65, 65), (1, 32, 32), (1, 32, 32)]
    assert max(max(attempt) for attempt in resolver.attempts[2:]) == 32
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert (counts.num_splits, counts.num_smaller_tiles) == (2, 1)


@pytest.mark.parametrize(("tile_size", "halo"), [(80, 6), (80, 30), (30, 4)])
def test_where_not_even_a_small_tile_fits_it_is_an_error_that_names_the_place(tile_size: int, halo: int) -> None:
    with pytest.raises(ModelError, match=r"too small for one tile of \d+ LR .*window r0000c0000.*--device cpu"):
        run(cubic(0), tile_size=tile_size, halo=halo)


def test_counts_of_windows_add_up() -> None:
    assert TileCounts(1, 2, 3, 4) + TileCounts(10, 20, 30, 40) == TileCounts(11, 22, 33, 44)


def test_products_say_which_tiles_were_smaller(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 100, 90)
    paths = tmp_path / "doubt.tif", tmp_path / "error.tif"
    for name, most in (("sr.tif", 50 * 50), ("whole.tif", 10**9)):
        report = super_resolve_scene(
            tmp_path / "lr.tif",
            tmp_path / name,
            cubic(most),
            2,
            tile_size=80,
            halo=6,
            overwrite=True,
            uncertainty_path=paths[0],
            consistency_path=paths[1],
        )
        tags = [rasterio.open(path).tags() for path in (tmp_path / name, *paths)]
        if name == "sr.tif":
            assert (report.num_tiles, report.num_smaller_tiles, report.num_splits) == (4, 3, 1)
            assert [tag["RSSR_SMALLER_TILES"] for tag in tags] == ["3"] * 3
        else:
            assert not any("RSSR_SMALLER_TILES" in tag for tag in tags)
    sr, whole = (read_raster(tmp_path / name).pixels.astype(int) for name in ("sr.tif", "whole.tif"))
    assert np.abs(sr - whole).max() <= 1


class Cramped(LDCSRResolver):
    """LDCSR where memory holds so many LR pixels."""

    most = 10**9

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        assert self.places is not None
        assert all(origin % self.sr_grid == 0 for place in self.places for origin in place.sr_origin)
        if lr.shape[0] * lr.shape[2] * lr.shape[3] > self.most:
            raise torch.cuda.OutOfMemoryError("too many pixels")
        return super().__call__(lr, output_size)


def latent_model(most: int = 10**9) -> LoadedModel:
    torch.manual_seed(0)
    resolver = Cramped(create_model("ldcsr", **TINY_ARCHITECTURE).eval())
    resolver.most = most
    return LoadedModel("ldcsr", resolver, None, {}, CARD)


@pytest.mark.parametrize("scale", [2, 1.6])
@pytest.mark.parametrize("tile_size", [72, 200])
def test_smaller_tiles_of_latent_networks_keep_to_their_grid_and_noise(scale: float, tile_size: int) -> None:
    """Normalising layers see other tiles, so values differ a little; with other noise they would differ as seeds do."""
    size = (80, 90)
    whole, _ = run(latent_model(), scale, size, tile_size=tile_size, halo=8)
    parts, counts = run(latent_model(50 * 50), scale, size, tile_size=tile_size, halo=8)
    assert counts.num_smaller_tiles > 0
    other = LoadedModel("ldcsr", latent_model().resolver, None, {}, CARD)
    complete = TilingOptions(tile_size=tile_size, halo=8).completed(None)
    engine = Engine(other, complete, draws=Draws(4))
    plan = plan_scene(other, size, scale, complete)
    reseeded = np.concatenate([rows.values for rows in engine.run(cut_scene(*size), plan)], axis=1)
    assert np.abs(parts - whole).mean() < 0.6 * np.abs(reseeded - whole).mean()


def test_a_latent_network_at_an_odd_scale_cannot_be_cut() -> None:
    with pytest.raises(ModelError, match=r"too small for one tile of 60 LR pixels"):
        run(latent_model(40 * 40), 1.4142, (60, 50))
