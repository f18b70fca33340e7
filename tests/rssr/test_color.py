import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rssr.color import LOCAL_REACH, BandStatistics, match_colors, match_locally
from rssr.resampling import upsample_bicubic


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


def images(seed: int, size: tuple[int, int]) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(24, 31), (61, 80), (82, 105)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_local_matching_takes_slow_errors_away_and_leaves_detail(size: tuple[int, int]) -> None:
    lr, sr = images(1, (24, 31)), images(2, size)
    matched = match_locally(sr, lr)
    shift = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(match_locally(sr + shift, lr), matched)
    detail = torch.zeros_like(sr)
    detail[..., ::2] = 0.5
    detail[..., 1 : size[1] // 2 * 2 : 2] = -0.5
    kept = match_locally(sr + detail, lr) - matched
    assert (kept - detail)[..., :-4].abs().mean() < (0.2 if size == (24, 31) else 0.05)


def test_a_slow_wave_of_wrong_colour_is_nearly_gone() -> None:
    lr = images(3, (32, 32)) * 0.01
    right = upsample_bicubic(lr, (128, 128))
    wave = 0.2 * torch.sin(torch.arange(128) * 2 * torch.pi / 100).to(torch.float64)
    left = match_locally(right + wave, lr) - match_locally(right, lr)
    # What a Gaussian of 8 SR pixels leaves of a wave of 100: 1 - exp(-2 (pi * 8 / 100)**2) = 0.12.
    assert left[..., 24:-24].abs().max() < 0.2 * 0.13


def test_local_matching_looks_no_farther_than_it_says() -> None:
    lr, sr = images(4, (40, 40)), images(5, (120, 120))
    elsewhere_lr, elsewhere_sr = lr.clone(), sr.clone()
    elsewhere_lr[..., :20] += 1
    elsewhere_sr[..., :60] -= 1
    same = slice((20 + LOCAL_REACH) * 3, None)
    torch.testing.assert_close(match_locally(sr, lr)[..., same], match_locally(elsewhere_sr, elsewhere_lr)[..., same])
    assert not torch.equal(match_locally(sr, lr), match_locally(sr, elsewhere_lr))
