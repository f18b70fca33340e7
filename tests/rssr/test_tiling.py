import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.errors import ConfigError
from rssr.tiling import Tile, TilePlan, blend, output_size, plan_tiles

relaxed = settings(deadline=None, max_examples=60)  # a busy machine is no failure
side = st.integers(1, 150)
sizes = st.tuples(side, side)
scales = st.sampled_from([1.0, 2.0, 3.0, 4.0, 8.0, 1.5, 3.4, 2.7182818, 7.99])


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    lr_size = draw(sizes)
    halo = draw(st.integers(0, 9))
    tile_size = draw(st.integers(2 * halo + 1, 70))
    return plan_tiles(lr_size, output_size(lr_size, draw(scales)), tile_size, halo)


def assembled(plan: TilePlan, pieces: list[np.ndarray]) -> np.ndarray:
    strips = list(blend(plan, pieces))
    assert [row for row, _ in strips] == np.cumsum([0, *(strip.shape[1] for _, strip in strips)]).tolist()[:-1]
    return np.concatenate([strip for _, strip in strips], axis=1)


@relaxed
@given(plan=plans())
def test_weights_add_to_one_at_every_pixel(plan: TilePlan) -> None:
    total = np.zeros(plan.sr_size)
    for tile in plan.tiles:
        total[tile.sr] += tile.weight
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert all((tile.weight >= 0).all() for tile in plan.tiles)


@relaxed
@given(plan=plans())
def test_tiles_cover_the_lr_scene_and_stay_inside(plan: TilePlan) -> None:
    seen = np.zeros(plan.lr_size, np.bool_)
    for tile in plan.tiles:
        assert 0 <= tile.rows.lr[0] < tile.rows.lr[1] <= plan.lr_size[0]
        assert 0 <= tile.columns.lr[0] < tile.columns.lr[1] <= plan.lr_size[1]
        seen[tile.lr] = True
    assert seen.all()
    assert len(list(plan.tiles)) == len(plan)


@relaxed
@given(size=sizes, halo=st.integers(0, 9), extra=st.integers(1, 40))
def test_identity_model_returns_the_scene(size: tuple[int, int], halo: int, extra: int) -> None:
    scene = np.random.default_rng(0).normal(0, 1, (2, *size)).astype(np.float32)
    plan = plan_tiles(size, size, 2 * halo + extra, halo)
    pieces = [scene[:, *tile.lr] for tile in plan.tiles]
    np.testing.assert_allclose(assembled(plan, pieces), scene, atol=1e-5)


@relaxed
@given(size=sizes, scale=st.sampled_from([2, 3, 4]), halo=st.integers(0, 9), extra=st.integers(1, 40))
def test_pixel_repetition_returns_the_repeated_scene(size: tuple[int, int], scale: int, halo: int, extra: int) -> None:
    scene = np.random.default_rng(0).normal(0, 1, (1, *size)).astype(np.float32)
    plan = plan_tiles(size, output_size(size, scale), 2 * halo + extra, halo)
    pieces = [scene[:, *tile.lr].repeat(scale, 1).repeat(scale, 2) for tile in plan.tiles]
    np.testing.assert_allclose(assembled(plan, pieces), scene.repeat(scale, 1).repeat(scale, 2), atol=1e-5)


@relaxed
@given(plan=plans())
def test_a_constant_stays_constant(plan: TilePlan) -> None:
    pieces = [np.full((1, *tile.sr_size), 0.7, np.float32) for tile in plan.tiles]
    np.testing.assert_allclose(assembled(plan, pieces), 0.7, atol=1e-5)


@relaxed
@given(size=sizes, halo=st.integers(1, 9), extra=st.integers(1, 40), scale=st.sampled_from([1, 2, 4]))
def test_what_counts_has_half_a_halo_of_context(size: tuple[int, int], halo: int, extra: int, scale: int) -> None:
    plan = plan_tiles(size, output_size(size, scale), 4 * halo + extra, halo)
    for axis, length in ((plan.rows, size[0]), (plan.columns, size[1])):
        for span in axis:
            counting = np.nonzero(span.weight > 0)[0]
            if span.lr[0] > 0:
                assert counting[0] / scale >= halo / 2 - 1
            if span.lr[1] < length:
                assert (len(span.weight) - 1 - counting[-1]) / scale >= halo / 2 - 1


def test_a_local_model_gives_the_same_result_for_any_tile_size() -> None:
    """A model that looks 3 pixels around, tiled with a halo of 8, equals the model on the whole scene."""
    scene = np.random.default_rng(1).normal(0, 1, (1, 101, 67)).astype(np.float32)

    def model(part: np.ndarray) -> np.ndarray:
        padded = np.pad(part, ((0, 0), (3, 3), (3, 3)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
        return np.median(windows, axis=(3, 4)).astype(np.float32)

    whole = model(scene)
    for tile_size in (17, 33, 40, 64, 200):
        plan = plan_tiles((101, 67), (101, 67), tile_size, 8)
        tiled = assembled(plan, [model(scene[:, *tile.lr]) for tile in plan.tiles])
        np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_the_halo_changes_pixels_near_tile_borders_only() -> None:
    """Wrong values along the border of every tile disappear, and elsewhere nothing moves."""
    plan = plan_tiles((120, 90), (120, 90), 40, 8)
    pieces = []
    for tile in plan.tiles:
        piece = np.zeros((1, *tile.sr_size), np.float32)
        piece[:, :3] = piece[:, -3:] = piece[:, :, :3] = piece[:, :, -3:] = 1
        pieces.append(piece)
    result = assembled(plan, pieces)[0]
    assert (result[4:-4, 4:-4] == 0).all()
    assert (result[:3] == 1).any()  # the scene's own border has no neighbour to take over


def test_the_grid_is_anchored_to_the_scene() -> None:
    small, large = plan_tiles((200, 300), (800, 1200), 64, 8), plan_tiles((500, 900), (2000, 3600), 64, 8)
    for one, other in zip(small.rows[:-1], large.rows, strict=False):
        assert one.lr == other.lr


@pytest.mark.parametrize("scale", [3.4, 2.5, 1.2])
def test_tiles_of_fractional_scales_begin_on_whole_pixels_where_they_can(scale: float) -> None:
    plan = plan_tiles((500, 500), output_size((500, 500), scale), 64, 8)
    for span in plan.rows[:-1]:
        assert span.sr[0] == pytest.approx(span.lr[0] * scale, abs=1e-6)


@relaxed
@given(size=sizes, scale=scales)
def test_output_size_is_the_rounded_product(size: tuple[int, int], scale: float) -> None:
    for lr, sr in zip(size, output_size(size, scale), strict=True):
        assert sr >= 1
        assert abs(sr - lr * scale) <= 0.5


@pytest.mark.parametrize(("tile_size", "halo"), [(16, 8), (0, 0), (10, -1)])
def test_a_halo_that_eats_the_tile_is_refused(tile_size: int, halo: int) -> None:
    with pytest.raises(ConfigError, match="halo"):
        plan_tiles((100, 100), (100, 100), tile_size, halo)


def test_a_piece_of_the_wrong_size_is_noticed() -> None:
    plan = plan_tiles((20, 20), (40, 40), 12, 2)
    tile: Tile = next(plan.tiles)
    with pytest.raises(ValueError, match="came back"):
        list(blend(plan, [np.zeros((1, *tile.lr[0].indices(20)[1:2], 3), np.float32)]))
