from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.images import decode_image, encode_jpeg
from rssr.metrics.seams import SEAM_LIMIT, SeamMeter, SeamScore
from rssr.resampling import upsample_bicubic
from rssr.scenes import generate_scene
from rssr.tiling import TilePlan, blend, nearest_lr, output_size, plan_tiles

SIDE, SCALE = 256, 4
PLAN = plan_tiles((SIDE, SIDE), (SIDE * SCALE, SIDE * SCALE), 64, 8)


@cache
def lr_scene(kind: str = "suburb") -> np.ndarray:
    return generate_scene(3, SIDE, SIDE, kind=kind).transpose(2, 0, 1)


@cache
def sr_scene(kind: str = "suburb", scale: float = SCALE) -> np.ndarray:
    """Bicubic enlargement, without any tiles; not rounded."""
    lr = torch.from_numpy(lr_scene(kind).astype(np.float32))[None]
    return upsample_bicubic(lr, output_size((SIDE, SIDE), scale))[0].numpy()


def levels(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def score(
    plan: TilePlan, image: np.ndarray, lr: np.ndarray | None = None, *, mask: np.ndarray | None = None, step: int = 90
) -> SeamScore:
    meter = SeamMeter(plan, len(image), whole_numbers=np.issubdtype(image.dtype, np.integer))
    mask = np.ones(image.shape[1:], np.bool_) if mask is None else mask
    nearest = nearest_lr(plan.lr_size[0], plan.sr_size[0])
    for row in range(0, image.shape[1], step):
        rows = image[:, row : row + step]
        first, stop = int(nearest[row]), int(nearest[row + rows.shape[1] - 1]) + 1
        meter.add(rows, mask[row : row + step], None if lr is None else (first, lr[:, first:stop]))
    return meter.result()


def with_steps(plan: TilePlan, image: np.ndarray, step: float) -> np.ndarray:
    """Every other tile brighter, up to the lines where tiles count for half each: a sharp seam."""
    rows, columns = (
        np.searchsorted([(one.sr[1] + other.sr[0]) // 2 for one, other in pairwise(axis)], np.arange(length), "right")
        for axis, length in ((plan.rows, image.shape[1]), (plan.columns, image.shape[2]))
    )
    return image + np.float32(step) * ((rows[:, None] + columns) % 2)


def with_faded_steps(plan: TilePlan, image: np.ndarray, step: float) -> np.ndarray:
    """Every other tile brighter, and blended as ever."""
    wide = len(plan.columns)
    brighter = [(index // wide + index % wide) % 2 for index in range(len(plan))]
    pieces = [image[:, *tile.sr] + np.float32(step * more) for tile, more in zip(plan.tiles, brighter, strict=True)]
    return np.concatenate([strip for _, strip in blend(plan, pieces)], axis=1)


@pytest.mark.parametrize("kind", ["suburb", "farmland", "coast", "forest"])
def test_without_seams_it_is_one(kind: str) -> None:
    found = score(PLAN, levels(sr_scene(kind)), lr_scene(kind))
    assert found.score <= 1.01
    assert found.ratio == pytest.approx(1, abs=0.15)
    assert found.num_segments > 50


@pytest.mark.parametrize("kind", ["suburb", "farmland", "coast", "forest"])
def test_steps_of_one_and_three_grey_levels_are_found_in_any_texture(kind: str) -> None:
    one, three = (score(PLAN, levels(with_steps(PLAN, sr_scene(kind), step)), lr_scene(kind)) for step in (1, 3))
    assert SEAM_LIMIT < one.score < three.score


@settings(max_examples=15, deadline=None)
@given(tile_size=st.integers(48, 90), halo=st.integers(1, 10), scale=st.sampled_from([2, 3, 4, 3.4]))
def test_it_does_not_depend_on_where_the_tiles_lie(tile_size: int, halo: int, scale: float) -> None:
    plan = plan_tiles((SIDE, SIDE), output_size((SIDE, SIDE), scale), tile_size, halo)
    image = sr_scene("suburb", scale)
    assert score(plan, levels(image), lr_scene()).score <= 1.03
    assert score(plan, levels(with_steps(plan, image, 4)), lr_scene()).score > SEAM_LIMIT


def test_other_brightness_that_the_fading_hides_is_found_where_it_shows() -> None:
    """On still water, with waves of two grey levels, ten levels show; without LR pixels that is told less surely."""
    rng = np.random.default_rng(0)
    lr = (60 + rng.normal(0, 2, (1, SIDE, SIDE))).astype(np.float32)
    water = upsample_bicubic(torch.from_numpy(lr)[None], PLAN.sr_size)[0].numpy()
    dark, bright = levels(water), levels(with_faded_steps(PLAN, water, 10))
    assert score(PLAN, dark, lr).score <= 1.01
    assert score(PLAN, bright, lr).score > SEAM_LIMIT
    assert score(PLAN, bright).score > 1
    town = levels(with_faded_steps(PLAN, sr_scene("suburb"), 2))
    assert score(PLAN, town, lr_scene("suburb")).score < SEAM_LIMIT


def test_what_is_masked_counts_for_nothing() -> None:
    image, lr = levels(with_steps(PLAN, sr_scene(), 3)), lr_scene().copy()
    holes = np.zeros((SIDE, SIDE), np.bool_)
    holes[40:90, 20:150] = True
    mask = ~holes.repeat(SCALE, 0).repeat(SCALE, 1)
    lr[:, holes] = 0
    found = score(PLAN, np.where(mask, image, 255), lr, mask=mask)
    assert found == score(PLAN, np.where(mask, image, 0), lr, mask=mask)
    assert found.num_segments < score(PLAN, image, lr_scene()).num_segments
    assert found.score > SEAM_LIMIT
    assert score(PLAN, image, lr, mask=np.zeros_like(mask)) == SeamScore(1.0, 1.0, 0)


def test_it_is_the_same_however_rows_come() -> None:
    image = levels(with_steps(PLAN, sr_scene(), 1))
    first = score(PLAN, image, lr_scene(), step=1000)
    assert score(PLAN, image, lr_scene(), step=7) == first
    assert score(PLAN, image, lr_scene(), step=64) == first


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_it_does_not_depend_on_the_unit(factor: float) -> None:
    """Reflectance, whether as a fraction or times 10,000."""
    image, lr = with_steps(PLAN, sr_scene(), 3) * np.float32(factor), lr_scene() * np.float32(factor)
    plain = score(PLAN, with_steps(PLAN, sr_scene(), 3), lr_scene().astype(np.float32))
    assert score(PLAN, image, lr).score == pytest.approx(plain.score, rel=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (40, 500), (500, 3), (70, 70), (64, 64)])
def test_small_and_thin_scenes_tell_nothing_or_little(size: tuple[int, int]) -> None:
    plan = plan_tiles(size, (size[0] * 2, size[1] * 2), 50, 8)
    image = np.random.default_rng(0).integers(0, 255, (1, *plan.sr_size)).astype(np.uint8)
    found = score(plan, image, image[:, ::2, ::2])
    assert found.score <= 1.05
    assert np.isfinite(found.ratio)


def test_a_flat_scene_has_no_seams() -> None:
    flat = np.full((2, *PLAN.sr_size), 7, np.uint16)
    assert score(PLAN, flat, flat[:, ::4, ::4]).score == 1


def test_blocks_of_a_jpeg_under_the_lines_are_no_seams() -> None:
    side = 512
    plan = plan_tiles((side, side), (side * SCALE, side * SCALE), 128, 16)
    pixels = decode_image(encode_jpeg(generate_scene(3, side, side), quality=20), "blocks").pixels
    lr = pixels.transpose(2, 0, 1)
    image = levels(upsample_bicubic(torch.from_numpy(lr.astype(np.float32))[None], plan.sr_size)[0].numpy())
    assert any((one.lr[1] + other.lr[0]) // 2 % 8 == 0 for one, other in pairwise(plan.columns))
    assert score(plan, image, lr).score < SEAM_LIMIT
    assert score(plan, levels(with_steps(plan, image, 6.0)), lr).score > SEAM_LIMIT
