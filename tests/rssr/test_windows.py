import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.errors import ConfigError
from rssr.tiling import TilePlan, blend, output_size, plan_tiles, sum_of_row
from rssr.windows import TileWindow, assemble, plan_windows

relaxed = settings(deadline=None, max_examples=60)  # a busy machine is no failure
side = st.integers(1, 120)


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    """Halos of up to nearly half a tile too, where many tiles count at one pixel."""
    lr_size = draw(st.tuples(side, side))
    halo = draw(st.integers(0, 9))
    tile_size = draw(st.integers(2 * halo + 1, 60))
    scale = draw(st.sampled_from([1.0, 2.0, 4.0, 1.5, 3.4, 2.7182818]))
    return plan_tiles(lr_size, output_size(lr_size, scale), tile_size, halo)


def some_pieces(plan: TilePlan) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, (2, *tile.sr_size)).astype(np.float32) for tile in plan.tiles]


def strips_of(plan: TilePlan, pieces: list[np.ndarray], window: TileWindow) -> dict[int, np.ndarray]:
    """A window's result, from its own tiles alone."""
    wide = len(plan.columns)
    own = iter([pieces[row * wide + column] for row in window.rows for column in window.columns])
    return {row: sum_of_row(plan, row, window.columns, own) for row in window.rows}


def joined(rows: list[tuple[int, np.ndarray]]) -> np.ndarray:
    assert [row for row, _ in rows] == np.cumsum([0, *(strip.shape[1] for _, strip in rows)]).tolist()[:-1]
    return np.concatenate([strip for _, strip in rows], axis=1)


@relaxed
@given(plan=plans(), tiles_a_side=st.integers(1, 9), seed=st.integers(0, 9))
def test_windows_of_any_size_in_any_order_come_to_the_same_bits(plan: TilePlan, tiles_a_side: int, seed: int) -> None:
    pieces = some_pieces(plan)
    windows = list(plan_windows(plan, tiles_a_side))
    random.Random(seed).shuffle(windows)
    made = {window.key: strips_of(plan, pieces, window) for window in windows}
    result = joined(list(assemble(plan, windows, lambda window, row: made[window.key][row])))
    expected = joined(list(blend(plan, pieces)))
    assert result.tobytes() == expected.tobytes()


@relaxed
@given(plan=plans(), tiles_a_side=st.integers(1, 9))
def test_every_tile_lies_in_one_window(plan: TilePlan, tiles_a_side: int) -> None:
    windows = plan_windows(plan, tiles_a_side)
    tiles = [(row, column) for window in windows for row in window.rows for column in window.columns]
    assert sorted(tiles) == [(row, column) for row in range(len(plan.rows)) for column in range(len(plan.columns))]
    assert sum(map(len, windows)) == len(plan)
    keys = [window.key for window in windows]
    assert keys == sorted(set(keys))
    for window in windows:
        rows, columns = window.lr(plan)
        seen = np.zeros(plan.lr_size, np.bool_)
        for tile in window.tiles(plan):
            seen[tile.lr] = True
        assert seen[rows, columns].all()
        assert seen.sum() == seen[rows, columns].size


def test_keys_name_places_and_stay_the_same() -> None:
    plan = plan_tiles((500, 700), (1000, 1400), 64, 8)
    keys = [window.key for window in plan_windows(plan, 4)]
    assert keys == ["r0000c0000", "r0000c0001", "r0000c0002", "r0000c0003"] + [
        f"r{row:04d}c{column:04d}" for row in (1, 2) for column in range(4)
    ]
    assert keys == [window.key for window in plan_windows(plan, 4)]


def test_strips_are_asked_for_row_by_row_each_once_and_no_earlier_than_needed() -> None:
    plan = plan_tiles((200, 200), (200, 200), 40, 4)
    pieces, windows, asked = some_pieces(plan), plan_windows(plan, 3), []

    def fetch(window: TileWindow, row: int) -> np.ndarray:
        asked.append((row, window.column))
        return strips_of(plan, pieces, window)[row]

    for number, _ in enumerate(assemble(plan, windows, fetch)):
        assert len(asked) == 2 * (number + 1)
    assert asked == [(row, column) for row in range(len(plan.rows)) for column in range(2)]


def test_strips_that_cannot_be_written_to_are_copied() -> None:
    plan = plan_tiles((70, 20), (70, 20), 40, 4)
    pieces = some_pieces(plan)

    def fetch(window: TileWindow, row: int) -> np.ndarray:
        strip = strips_of(plan, pieces, window)[row]
        return np.frombuffer(strip.tobytes(), np.float32).reshape(strip.shape)

    result = joined(list(assemble(plan, plan_windows(plan), fetch)))
    np.testing.assert_array_equal(result, joined(list(blend(plan, pieces))))


def test_missing_windows_and_wrong_strips_are_noticed() -> None:
    plan = plan_tiles((100, 100), (100, 100), 40, 4)
    pieces, windows = some_pieces(plan), plan_windows(plan, 2)
    fetch = lambda window, row: strips_of(plan, pieces, window)[row]  # noqa: E731  # short
    for wrong in (windows[1:], windows[:-1], (*windows, windows[0])):
        with pytest.raises(ValueError, match="do not cover"):
            list(assemble(plan, wrong, fetch))
    with pytest.raises(ValueError, match="r0000c0000 came back"):
        list(assemble(plan, windows, lambda window, row: fetch(window, row)[:, 1:]))


def test_windows_hold_at_least_one_tile() -> None:
    with pytest.raises(ConfigError, match="0 tiles"):
        plan_windows(plan_tiles((10, 10), (10, 10), 40, 4), 0)
