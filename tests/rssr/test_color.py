import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.color import BandStatistics, match_colors


def statistics(pixels: np.ndarray, mask: np.ndarray | None = None) -> BandStatistics:
    gathered = BandStatistics(pixels.shape[0])
    gathered.add(pixels, np.ones(pixels.shape[1:], np.bool_) if mask is None else mask)
    return gathered


@settings(deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_parts_give_the_statistics_of_the_whole(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(1000, 3, (3, 40, 7))
    mask = rng.random((40, 7)) < 0.7
    gathered = BandStatistics(3)
    for rows in np.split(np.arange(40), sorted(cuts)):
        gathered.add(pixels[:, rows], mask[rows])
    np.testing.assert_allclose(gathered.mean, pixels[:, mask].mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(gathered.deviation, pixels[:, mask].std(axis=1), rtol=1e-9)
    assert gathered.count == mask.sum()


@settings(deadline=None)
@given(gain=st.floats(0.2, 5), offset=st.floats(-2, 2))
def test_matching_undoes_a_change_of_brightness_and_contrast(gain: float, offset: float) -> None:
    lr = np.random.default_rng(2).normal(0, 0.4, (3, 30, 20)).astype(np.float32)
    sr = lr * np.float32(gain) + np.float32(offset)
    np.testing.assert_allclose(match_colors(statistics(sr), statistics(lr)).apply(sr), lr, atol=1e-4)


def test_bands_are_matched_one_by_one() -> None:
    lr = np.random.default_rng(3).normal(0, 1, (2, 30, 30))
    sr = np.stack([lr[0] * 2, lr[1] + 1])
    match = match_colors(statistics(sr), statistics(lr))
    np.testing.assert_allclose(match.gain, [0.5, 1])
    np.testing.assert_allclose(match.offset, [0, -1], atol=1e-12)


def test_invalid_pixels_do_not_count() -> None:
    pixels = np.random.default_rng(4).normal(0, 1, (1, 20, 20))
    mask = np.ones((20, 20), np.bool_)
    mask[:5] = False
    spoilt = pixels.copy()
    spoilt[:, :5] = 9999
    np.testing.assert_allclose(statistics(spoilt, mask).mean, statistics(pixels, mask).mean)


def test_no_contrast_and_no_pixels_do_no_harm() -> None:
    flat, lively = np.full((1, 8, 8), 0.5), np.random.default_rng(5).normal(0, 1, (1, 8, 8))
    shifted = match_colors(statistics(flat), statistics(lively)).apply(flat)
    assert shifted.mean() == pytest.approx(lively.mean(), abs=1e-6)
    assert np.ptp(match_colors(statistics(lively), statistics(flat)).apply(lively)) < 1e-6
    nothing = np.zeros((8, 8), np.bool_)
    np.testing.assert_allclose(
        match_colors(statistics(lively, nothing), statistics(lively, nothing)).apply(lively), lively, rtol=1e-6
    )
