from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from rssr.degradation.draws import NoiseDraw, NoiseKind
from rssr.degradation.noise import (
    add_noise,
    add_noise_and_quantize,
    count_base,
    gray_levels,
    poisson_counts,
    quantize,
    standard_normal,
)

_GRAY_LEVEL_100 = np.full((300, 400, 3), 100, dtype=np.float32)
_CONFIDENCE = 0.9999  # of every interval below; seeds are fixed, so a pass stays a pass


def _variance_limits(expected: float, num_samples: int) -> tuple[float, float]:
    """Where the sample variance of a normal variable lies with the stated confidence."""
    low, high = stats.chi2.interval(_CONFIDENCE, num_samples - 1)
    return expected * low / (num_samples - 1), expected * high / (num_samples - 1)


def test_normal_draws_are_standard_normal_and_independent() -> None:
    draws = standard_normal(7, (1000, 1000)).astype(np.float64)
    low, high = _variance_limits(1, draws.size)
    assert low < draws.var() < high
    assert abs(draws.mean()) < stats.norm.ppf(_CONFIDENCE) / 1000
    assert stats.kstest(draws.ravel()[:200_000], "norm").pvalue > 1 - _CONFIDENCE
    for shifted in (draws[:, 1:] * draws[:, :-1], draws[1:] * draws[:-1]):
        assert abs(shifted.mean()) < stats.norm.ppf(_CONFIDENCE) / np.sqrt(shifted.size)


@pytest.mark.parametrize("base", [1, 4, 64, 256])
@pytest.mark.parametrize("level", [1, 9, 100, 255])
def test_poisson_counts_follow_their_rate(base: int, level: int) -> None:
    rate = level / 255 * base
    counts = poisson_counts(np.full((500, 800), level, dtype=np.uint8), base, seed=base + level)
    quantile = stats.norm.ppf(_CONFIDENCE)
    assert counts.mean() == pytest.approx(rate, abs=quantile * np.sqrt(rate / counts.size) + 0.01 * rate)
    # The table's 2,048 quantiles cut the far tail: 5 % of the variance at tiny rates, under 0.5 % from rate 1 on.
    spread = quantile * np.sqrt((2 + 1 / rate) / counts.size)
    assert counts.var() == pytest.approx(rate, rel=spread + (0.005 if rate >= 1 else 0.05))
    assert np.array_equal(counts, np.rint(counts))
    assert counts.min() >= 0


def test_black_counts_no_photons() -> None:
    assert poisson_counts(np.zeros((50, 50), dtype=np.uint8), 256, seed=3).max() == 0


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize(("kind", "strength", "variance"), [("gaussian", 6.5, 6.5**2), ("poisson", 0.8, None)])
def test_noise_has_the_drawn_strength(kind: NoiseKind, strength: float, variance: float | None, gray: bool) -> None:
    image = _GRAY_LEVEL_100.copy()
    image[0, :256] = np.arange(256)[:, None]  # all levels, so that Poisson noise counts to base 256
    noise = (add_noise(image, NoiseDraw(kind, strength, gray, seed=11)) - image)[1:]
    if variance is None:
        variance = (255 * strength) ** 2 * (100 / 255) / 256
    low, high = _variance_limits(variance, noise.size // (3 if gray else 1))
    assert 0.995 * low < noise.var() < 1.005 * high
    same = np.array_equal(noise[..., 0], noise[..., 1]) and np.array_equal(noise[..., 0], noise[..., 2])
    assert same == gray
    if not gray:
        correlation = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
        assert abs(correlation) < stats.norm.ppf(_CONFIDENCE) / np.sqrt(noise[..., 0].size)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_noise_is_clamped_and_quantizing_only_rounds_it(
    kind: NoiseKind, make_photo: Callable[..., npt.NDArray[np.uint8]]
) -> None:
    image = (make_photo(40, 50) * 1.2 - 20).astype(np.float32)
    draw = NoiseDraw(kind, 2.0 if kind == "poisson" else 20.0, False, seed=5)
    noisy = add_noise(image, draw)
    assert noisy.min() == 0
    assert noisy.max() == 255
    assert np.array_equal(add_noise_and_quantize(image, draw), np.rint(noisy).astype(np.uint8))


def test_noise_depends_on_its_seed_alone(make_photo: Callable[..., npt.NDArray[np.uint8]]) -> None:
    image = make_photo(21, 33).astype(np.float32)
    for kind in ("gaussian", "poisson"):
        first, again, other = (add_noise(image, NoiseDraw(kind, 1.5, False, seed)) for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize(("distinct", "base"), [(1, 1), (2, 2), (3, 4), (37, 64), (128, 128), (129, 256), (256, 256)])
def test_base_is_the_number_of_levels_rounded_up_to_a_power_of_two(distinct: int, base: int) -> None:
    levels = np.resize(np.arange(distinct, dtype=np.uint8), (20, 30, 3))
    assert count_base(levels) == base


def test_quantize_clamps_and_rounds_half_to_even() -> None:
    values = np.array([[[-3.0, 0.5, 1.5], [254.5, 255.4, 300.0]]], dtype=np.float32)
    assert quantize(values).tolist() == [[[0, 0, 2], [254, 255, 255]]]


def test_gray_levels_weigh_red_green_blue() -> None:
    primaries = 255 * np.eye(3, dtype=np.float32)[None]
    assert gray_levels(primaries).tolist() == [[76, 150, 29]]
