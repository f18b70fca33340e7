"""What scenes ask for, told from their plans, against plans that are carried out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.estimate.workload import Layers, raw_bytes, scene_work
from rssr.inference.engine import Engine
from rssr.inference.options import TilingOptions
from rssr.models.loaded import load_model
from rssr.tiling import TilePlan, plan_tiles
from rssr.windows import plan_windows
from tests.pipelines.estimate.planned_scenes import cut, planned

_SIDES = st.integers(1, 700)


class Flat:
    """A scene without content."""

    def __init__(self, num_bands: int, size: tuple[int, int]) -> None:
        self._pixels, self._mask = np.zeros((num_bands, *size), np.float32), np.ones(size, np.bool_)

    def read(self, part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        return self._pixels[:, *part], self._mask[part]


def num_read_pixels(plan: TilePlan) -> int:
    return sum((tile.rows.lr[1] - tile.rows.lr[0]) * (tile.columns.lr[1] - tile.columns.lr[0]) for tile in plan.tiles)


@given(_SIDES, _SIDES, st.sampled_from([1.0, 2.0, 3.4, 4.0]), st.sampled_from([(64, 8), (96, 16), (50, 0), (65, 7)]))
def test_tiles_are_counted_by_the_pixels_that_they_read(
    height: int, width: int, scale: float, tiling: tuple[int, int]
) -> None:
    plan = cut((height, width), scale, *tiling)
    work = scene_work(planned(plan, halo=tiling[1]), plan, Layers(tile_size=tiling[0]))
    assert work.num_tiles == len(plan)
    assert work.whole_tiles * tiling[0] ** 2 == pytest.approx(num_read_pixels(plan), rel=1e-9)
    assert work.read_share * height * width == pytest.approx(num_read_pixels(plan), rel=1e-9)


@given(_SIDES, _SIDES, st.integers(1, 9), st.sampled_from([2.0, 3.4, 4.0]))
def test_windows_take_as_many_bytes_as_their_strips(height: int, width: int, tiles_a_side: int, scale: float) -> None:
    plan = cut((height, width), scale)
    windows = plan_windows(plan, tiles_a_side)
    num_values = sum(
        (plan.rows[row].sr[1] - plan.rows[row].sr[0]) * (place.stop - place.start)
        for window in windows
        for place in [window.sr_columns(plan)]
        for row in window.rows
    )
    work = scene_work(planned(plan, tiles_a_side=tiles_a_side, num_bands=3), Layers(tile_size=64))
    assert work.num_windows == len(windows)
    assert work.work_bytes == pytest.approx(4 * 3 * num_values, rel=0.01, abs=12 * (plan.sr_size[0] + plan.sr_size[1]))


def test_a_scene_that_is_computed_leaves_as_much_as_was_told() -> None:
    plan, model = cut((150, 230), 2.0), load_model("bicubic")
    engine = Engine(model, TilingOptions(tile_size=64, halo=8).completed(None))
    strips = [
        strip for window in plan_windows(plan, 2) for strip in engine.run_window(Flat(3, plan.lr_size), plan, window)
    ]
    work = scene_work(planned(plan, tiles_a_side=2, num_bands=3), Layers(tile_size=64))
    assert work.work_bytes == sum(strip.nbytes for strip in strips)


def test_only_bands_of_the_model_lie_in_windows_and_deviations_as_well() -> None:
    scene = planned(cut((100, 100)), num_bands=6)
    plain = scene_work(scene, Layers(tile_size=64, num_model_bands=3))
    with_doubt = scene_work(scene, Layers(tile_size=64, num_model_bands=3, uncertainty=True))
    assert scene_work(scene, Layers(tile_size=64)).work_bytes == pytest.approx(2 * plain.work_bytes)
    assert with_doubt.work_bytes == pytest.approx(2 * plain.work_bytes)
    assert plain.sr_values == 400 * 400 * 6


def test_products_are_as_large_as_their_layers() -> None:
    scene = planned(cut((100, 200)), num_bands=4)
    lr, sr = 100 * 200, 400 * 800
    image, deviation, consistency = sr * 4 * 2, sr * 3 * 4, lr * 4
    plain = Layers(tile_size=64, num_model_bands=3, consistency=False)
    every = Layers(tile_size=64, num_model_bands=3, consistency=True, uncertainty=True)
    assert raw_bytes(scene, plain) == pytest.approx(image * 4 / 3)
    assert raw_bytes(scene, every) == pytest.approx((image + deviation + consistency) * 4 / 3)
    assert scene_work(scene, every).scratch_bytes(0.5) == pytest.approx(raw_bytes(scene, every) * 1.5)


def test_colours_of_large_scenes_take_a_few_tiles_more() -> None:
    small, large = planned(cut((300, 300))), planned(cut((1000, 1000)))
    assert large.num_tiles > 128
    for scene in (small, large):
        assert scene_work(scene, Layers(tile_size=64)).extra_tiles == 0
    matched = Layers(tile_size=64, matches_scene=True)
    assert scene_work(small, matched).extra_tiles == 0
    work = scene_work(large, matched)
    assert work.extra_tiles / work.whole_tiles == pytest.approx(1 / -(-large.num_tiles // 64))
    assert 32 < work.extra_tiles <= 64


def test_ground_is_told_where_it_is_known() -> None:
    scene = planned(cut((1000, 500)))
    assert scene_work(scene, Layers(tile_size=64)).area_km2 == pytest.approx(10 * 5)


def test_tiles_that_a_network_wants_on_its_grid_are_counted_too() -> None:
    from fractions import Fraction

    from rssr.tiling import SrGrid

    plan = plan_tiles((400, 333), (1360, 1132), 64, 8, SrGrid(8, Fraction(17, 5)))
    work = scene_work(planned(plan), Layers(tile_size=64))
    assert work.whole_tiles * 64**2 == pytest.approx(num_read_pixels(plan), rel=0.02)
