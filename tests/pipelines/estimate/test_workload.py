"""What scenes ask for, told from their plans, against plans that are carried out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.estimate.workload import Layers, raw_bytes
from rssr.inference.engine import Engine
from rssr.inference.options import TilingOptions
from rssr.models.loaded import load_model
from rssr.windows import plan_windows
from tests.pipelines.estimate.planned_scenes import HALO, TILE_SIZE, cut, planned, work_of

_SIDES = st.integers(1, 700)


class Flat:
    """A scene without content."""

    def __init__(self, num_bands: int, size: tuple[int, int]) -> None:
        self._pixels, self._mask = np.zeros((num_bands, *size), np.float32), np.ones(size, np.bool_)

    def read(self, part: tuple[slice, slice]) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._pixels[:, part[0], part[1]], self._mask[part]


@given(_SIDES, _SIDES, st.sampled_from([1.0, 2.0, 3.4, 4.0]))
def test_tiles_are_counted_by_the_pixels_that_they_read(height: int, width: int, scale: float) -> None:
    plan = cut((height, width), scale)
    read = sum((tile.lr[0].stop - tile.lr[0].start) * (tile.lr[1].stop - tile.lr[1].start) for tile in plan.tiles)
    work = work_of(plan)
    assert work.num_tiles == len(plan)
    assert work.whole_tiles == pytest.approx(read / TILE_SIZE**2)
    assert work.read_share == pytest.approx(read / (height * width))
    assert work.whole_tiles <= work.num_tiles


@pytest.mark.parametrize("tiles_a_side", [1, 2, 4])
@pytest.mark.parametrize("scale", [2.0, 3.4])
def test_a_scene_that_is_computed_leaves_as_many_bytes_as_were_told(tiles_a_side: int, scale: float) -> None:
    plan, model = cut((150, 230), scale), load_model("bicubic")
    engine = Engine(model, TilingOptions(tile_size=TILE_SIZE, halo=HALO).completed(None))
    windows = plan_windows(plan, tiles_a_side)
    strips = [strip for window in windows for strip in engine.run_window(Flat(3, plan.lr_size), plan, window)]
    work = work_of(plan, Layers(TILE_SIZE, tiles_a_side), num_bands=3)
    assert work.num_windows == len(windows)
    assert work.work_bytes == sum(strip.nbytes for strip in strips)
    assert work_of(plan, Layers(TILE_SIZE, tiles_a_side=5)).work_bytes == 0, "one window, which is not kept"
    assert work_of(plan, Layers(TILE_SIZE, tiles_a_side, keeps_windows=False)).is_whole


def test_only_bands_of_the_model_lie_in_windows_and_deviations_as_well() -> None:
    plan = cut((900, 100))
    plain = work_of(plan, Layers(TILE_SIZE, num_model_bands=3), num_bands=6)
    with_doubt = work_of(plan, Layers(TILE_SIZE, num_model_bands=3, uncertainty=True), num_bands=6)
    assert work_of(plan, Layers(TILE_SIZE), num_bands=6).work_bytes == 2 * plain.work_bytes
    assert with_doubt.work_bytes == 2 * plain.work_bytes
    assert plain.work_bytes > 0
    assert plain.sr_values == 3600 * 400 * 6


def test_products_are_as_large_as_their_layers() -> None:
    plan = cut((100, 200))
    lr, sr = 100 * 200, 400 * 800
    image, deviation, consistency = sr * 4 * 2, sr * 3 * 4, lr * 4
    plain = Layers(TILE_SIZE, num_model_bands=3, consistency=False)
    every = Layers(TILE_SIZE, num_model_bands=3, consistency=True, uncertainty=True)
    assert raw_bytes(planned(plan), plain) == pytest.approx(image * 4 / 3)
    assert raw_bytes(planned(plan), every) == pytest.approx((image + deviation + consistency) * 4 / 3)
    assert work_of(plan, every).scratch_bytes(0.5) == pytest.approx(raw_bytes(planned(plan), every) * 1.5)


def test_colours_of_large_scenes_take_a_few_tiles_more() -> None:
    small, large = cut((300, 300)), cut((1000, 1000))
    assert len(large) > 128
    assert work_of(small).extra_tiles == work_of(large).extra_tiles == 0
    matched = Layers(TILE_SIZE, matches_scene=True)
    assert work_of(small, matched).extra_tiles == 0
    work = work_of(large, matched)
    assert work.extra_tiles / work.whole_tiles == pytest.approx(1 / -(-len(large) // 64))
    assert 32 < work.extra_tiles <= 64


def test_ground_is_told_where_it_is_known() -> None:
    assert work_of(cut((1000, 500))).area_km2 == pytest.approx(10 * 5)
