"""What is drawn, and what pixels show of it, agree with the presets in the statistical sense.

Every comparison raises a false alarm once in a million fair samplers (`_ALARM`), by exact binomial, chi-square or
Kolmogorov-Smirnov tests; seeds are fixed, so what passes goes on passing. What the comparisons would notice is shown
by samplers that are a little wrong on purpose.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from rssr.degradation import DegradationConfig, apply_draws, degradation_preset, degrade, draw_degradation
from rssr.degradation.config import BlurConfig, RoundConfig
from rssr.degradation.draws import DegradationDraws, KernelDraw, RoundDraws, TailDraws

_ALARM = 1e-6
_NUM_DRAWS = 12_000
_SCALES = (2.0, 3.0, 4.0, 8.0, 3.4, 2.71)
_KINDS = ("slimdiffsr", "real-esrgan")
_KERNELS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")

Draws = list[tuple[RoundDraws, RoundDraws, TailDraws]]


def draw(config: DegradationConfig, num_draws: int = _NUM_DRAWS) -> Draws:
    """Decisions for images of all scales in turn."""
    drawn = (draw_degradation(config, _SCALES[seed % 6], seed, (600, 500)) for seed in range(num_draws))
    return [decisions(one) for one in drawn]


def decisions(draws: DegradationDraws) -> tuple[RoundDraws, RoundDraws, TailDraws]:
    assert draws.first is not None and draws.second is not None and draws.tail is not None
    return draws.first, draws.second, draws.tail


def rounds(config: DegradationConfig, draws: Draws) -> list[tuple[RoundConfig, list[RoundDraws]]]:
    assert config.first is not None and config.second is not None
    return [(config.first, [one for one, _, _ in draws]), (config.second, [two for _, two, _ in draws])]


@pytest.fixture(scope="module")
def drawn() -> dict[str, Draws]:
    return {kind: draw(degradation_preset(kind)) for kind in _KINDS}


def share(hits: Iterable[object], probability: float) -> float:
    """p-value of so many hits."""
    found = [bool(hit) for hit in hits]
    return float(stats.binomtest(sum(found), len(found), probability).pvalue)


def shares(values: Sequence[object], probabilities: dict[Any, float]) -> float:
    """p-value of how often each value came; anything else that came counts as impossible."""
    counts = Counter(values)
    if not counts.keys() <= probabilities.keys():
        return 0.0
    possible = {value: probability for value, probability in probabilities.items() if probability > 0}
    expected = [probability * len(values) for probability in possible.values()]
    return float(stats.chisquare([counts[value] for value in possible], expected).pvalue)


def uniform(values: Sequence[float], limits: tuple[float, float]) -> float:
    """p-value of values spread evenly within limits; 0 if any lies outside."""
    low, high = limits
    if min(values) < low or max(values) > high:
        return 0.0
    return float(stats.kstest(values, "uniform", args=(low, high - low)).pvalue)


def check_probabilities(config: DegradationConfig, draws: Draws) -> dict[str, float]:
    """p-values of all choices, by name."""
    found = {}
    for number, (settings, own) in enumerate(rounds(config, draws), start=1):
        found[f"blur {number}"] = share((one.blur is not None for one in own), settings.blur.probability)
        kernels = [one.blur for one in own if one.blur is not None]
        found[f"kernels {number}"] = shares([kernel.kind for kernel in kernels], _kernel_shares(settings.blur))
        found[f"sizes {number}"] = _sizes(kernels, settings.blur.kernel_size_range)
        resizes = dict(zip(("up", "down", "keep"), settings.resize_probabilities, strict=True))
        found[f"resizes {number}"] = shares([one.resize_kind for one in own], resizes)
        found[f"modes {number}"] = shares([one.resize_mode for one in own], _modes())
        noises = _noise_shares(settings)
        found[f"noises {number}"] = shares([(one.noise.kind, one.noise.gray) for one in own], noises)
    tails = [tail for _, _, tail in draws]
    found["last JPEG first"] = share((tail.jpeg_first for tail in tails), config.jpeg_first_probability)
    found["last modes"] = shares([tail.resize_mode for tail in tails], _modes())
    sincs = [tail.sinc for tail in tails if tail.sinc is not None]
    found["last sinc"] = share((tail.sinc is not None for tail in tails), config.final_sinc_probability)
    found["last sizes"] = _sizes(sincs, config.final_sinc_size_range)
    return found


def _kernel_shares(blur: BlurConfig) -> dict[Any, float]:
    rest = 1 - blur.sinc_probability
    named = zip(_KERNELS, blur.kernel_probabilities, strict=True)
    return {"sinc": blur.sinc_probability} | {kind: rest * probability for kind, probability in named}


def _noise_shares(settings: RoundConfig) -> dict[Any, float]:
    """Kind and grey are drawn apart: the shares of both together are products."""
    return {
        (kind, gray): of_kind * (settings.gray_probability if gray else 1 - settings.gray_probability)
        for kind, of_kind in (
            ("gaussian", settings.gaussian_probability),
            ("poisson", 1 - settings.gaussian_probability),
        )
        for gray in (True, False)
    }


def _modes() -> dict[Any, float]:
    return dict.fromkeys(("area", "bilinear", "bicubic"), 1 / 3)


def _sizes(kernels: Sequence[KernelDraw], limits: tuple[int, int]) -> float:
    possible = range(limits[0], limits[1] + 1, 2)
    return shares([kernel.size for kernel in kernels], dict.fromkeys(possible, 1 / len(possible)))


@pytest.mark.parametrize("kind", _KINDS)
def test_all_choices_have_their_published_probabilities(drawn: dict[str, Draws], kind: str) -> None:
    found = check_probabilities(degradation_preset(kind), drawn[kind])
    assert len(found) == 16
    assert {name: p for name, p in found.items() if p < _ALARM} == {}


# Each a little off in another choice; the name is that of the comparison that must notice.
_SHIFTS: dict[str, dict[str, Any]] = {
    "blur 2": {"second": {"blur": {"probability": 0.46}}},
    "kernels 1": {"first": {"blur": {"sinc_probability": 0.12}}},
    "kernels 2": {"second": {"blur": {"kernel_probabilities": (0.43, 0.25, 0.12, 0.05, 0.12, 0.03)}}},
    "sizes 1": {"first": {"blur": {"kernel_size_range": (7, 19)}}},
    "resizes 1": {"first": {"resize_probabilities": (0.2, 0.67, 0.13)}},
    "noises 1": {"first": {"gray_probability": 0.44}},
    "noises 2": {"second": {"gaussian_probability": 0.54}},
    "last JPEG first": {"jpeg_first_probability": 0.54},
    "last sinc": {"final_sinc_probability": 0.77},
}


def test_probabilities_that_are_a_few_hundredths_off_are_noticed() -> None:
    changes: dict[str, Any] = {"kind": "slimdiffsr", "first": {"blur": {}}, "second": {"blur": {}}}
    for shift in _SHIFTS.values():
        for place, value in shift.items():
            if not isinstance(value, dict):
                changes[place] = value
                continue
            changes[place]["blur"].update(value.get("blur", {}))
            changes[place].update({name: inner for name, inner in value.items() if name != "blur"})
    wrong = DegradationConfig.model_validate(changes)
    found = check_probabilities(degradation_preset("slimdiffsr"), draw(wrong))
    assert {name for name, p in found.items() if p < _ALARM} == _SHIFTS.keys()


@pytest.mark.parametrize("kind", _KINDS)
def test_all_strengths_fill_their_published_ranges(drawn: dict[str, Draws], kind: str) -> None:
    for settings, own in rounds(degradation_preset(kind), drawn[kind]):
        kernels = [one.blur for one in own if one.blur is not None]
        gaussian = [kernel for kernel in kernels if kernel.kind != "sinc"]
        assert uniform([kernel.sigma_x for kernel in gaussian], settings.blur.sigma_range) > _ALARM
        turned = [kernel for kernel in gaussian if kernel.kind.endswith("aniso")]
        assert uniform([kernel.sigma_y for kernel in turned], settings.blur.sigma_range) > _ALARM
        assert uniform([kernel.theta for kernel in turned], (-math.pi, math.pi)) > _ALARM
        low, high = settings.resize_range
        assert uniform([one.resize_factor for one in own if one.resize_kind == "down"], (low, 1)) > _ALARM
        assert uniform([one.resize_factor for one in own if one.resize_kind == "up"], (1, high)) > _ALARM
        sigmas = [one.noise.strength for one in own if one.noise.kind == "gaussian"]
        assert uniform(sigmas, settings.gaussian_sigma_range) > _ALARM
        scales = [one.noise.strength for one in own if one.noise.kind == "poisson"]
        assert uniform(scales, settings.poisson_scale_range) > _ALARM
        qualities = [one.jpeg_quality for one in own if one.jpeg_quality is not None]
        assert len(qualities) == len(own)
        assert settings.jpeg_quality_range is not None
        assert uniform(qualities, settings.jpeg_quality_range) > _ALARM


def test_every_image_has_decisions_of_its_own(drawn: dict[str, Draws]) -> None:
    """The authors draw resize, kind of noise and order once a batch; here neighbours have nothing in common."""
    draws = drawn["slimdiffsr"]
    named: dict[str, Callable[[tuple[RoundDraws, RoundDraws, TailDraws]], object]] = {
        "resize": lambda one: one[0].resize_kind,
        "noise": lambda one: (one[1].noise.kind, one[1].noise.gray),
        "order": lambda one: one[2].jpeg_first,
        "mode": lambda one: one[0].resize_mode,
    }
    for name, decision in named.items():
        values = [decision(one) for one in draws]
        kinds = sorted(set(values), key=str)
        pairs = Counter(zip(values[::2], values[1::2], strict=True))
        table = [[pairs[left, right] for right in kinds] for left in kinds]
        assert stats.chi2_contingency(table).pvalue > _ALARM, name


# From here on pixels: all steps but the first round's noise are switched off, so that LR minus HR is that noise.
_OFF: dict[str, Any] = {
    "blur": {"probability": 0.0},
    "resize_probabilities": (0, 0, 1),
    "jpeg_quality_range": None,
}
_SILENT = {"gaussian_probability": 1.0, "gaussian_sigma_range": (0, 0)}
_ROUNDING = 1 / 12  # variance that rounding to whole grey levels adds


def noise_alone(**changes: object) -> DegradationConfig:
    return DegradationConfig.model_validate(
        {
            "kind": "slimdiffsr",
            "first": {**_OFF, **changes},
            "second": {**_OFF, **_SILENT},
            "final_sinc_probability": 0.0,
        }
    )


def noise_of(hr: npt.NDArray[np.uint8], config: DegradationConfig, seed: int) -> tuple[RoundDraws, Any]:
    """What was drawn, and LR minus HR."""
    draws = draw_degradation(config, 1.0, seed, (hr.shape[0], hr.shape[1]))
    return decisions(draws)[0], apply_draws(hr, draws).astype(np.float64) - hr


@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise_has_the_drawn_variance(gray: bool) -> None:
    """Chi-square over 300 images of mid-grey, each with its own sigma between 1 and 15 grey levels."""
    config = noise_alone(gaussian_probability=1.0, gray_probability=float(gray))
    hr = np.full((64, 64, 3), 128, np.uint8)
    statistic, num_samples = 0.0, 0
    for seed in range(300):
        first, noise = noise_of(hr, config, seed)
        own = noise[..., 0] if gray else noise
        expected = first.noise.strength**2 + _ROUNDING
        statistic += float((own**2).sum()) / expected
        num_samples += own.size
        low, high = stats.chi2.interval(1 - _ALARM, own.size)
        assert 0.995 * low < (own**2).sum() / expected < 1.005 * high, first.noise.strength
    low, high = stats.chi2.interval(1 - _ALARM, num_samples)
    assert 0.995 * low < statistic < 1.005 * high
    assert high / low < 1.03, "a sigma 2 % off would be noticed"


@pytest.mark.parametrize("gray", [False, True])
def test_the_variance_of_poisson_noise_is_proportional_to_the_signal(gray: bool) -> None:
    """By regression over all grey levels: the slope is the drawn strength's, the intercept rounding alone."""
    strength = 0.4
    config = noise_alone(
        gaussian_probability=0.0, poisson_scale_range=(strength, strength), gray_probability=float(gray)
    )
    hr = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (300, 1))[:, :, None], 3, axis=2)  # all levels: base 256
    squares = np.zeros(256)
    num_images = 16
    for seed in range(num_images):
        noise = noise_of(hr, config, seed)[1]
        squares += (noise[..., :1] if gray else noise).__pow__(2).sum(axis=(0, 2))
    levels = np.arange(30, 225)  # five sigmas from black and white, where noise is clamped
    num_samples = 300 * num_images * (1 if gray else 3)
    variances = squares[levels] / num_samples
    expected = strength**2 * 255 * levels / 256
    # The variance of a sample variance: 2 and, for Poisson counts, 1 / rate, over the number of samples.
    deviations = expected * np.sqrt((2 + 256 / levels / 256) / num_samples)
    slope, intercept = np.polyfit(expected, variances, 1, w=1 / deviations)
    design = np.stack([expected, np.ones_like(expected)], axis=1) / deviations[:, None]
    slope_deviation, intercept_deviation = np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    quantile = stats.norm.ppf(1 - _ALARM / 2)
    assert abs(slope - 1) < quantile * slope_deviation + 0.01  # the tabulated counts' own tolerance
    assert abs(intercept - _ROUNDING) < quantile * intercept_deviation + 0.02
    assert quantile * slope_deviation < 0.05, "a strength 3 % off would be noticed"


@pytest.mark.parametrize("noise_kind", ["gaussian", "poisson"])
def test_pixels_show_the_drawn_share_of_gray_noise(noise_kind: str) -> None:
    config = noise_alone(
        gaussian_probability=float(noise_kind == "gaussian"),
        gaussian_sigma_range=(8, 12),
        poisson_scale_range=(0.8, 1.0),
    )
    hr = np.repeat(np.random.default_rng(0).integers(60, 190, (16, 16, 1), dtype=np.uint8), 3, axis=2)
    are_gray = []
    for seed in range(2500):
        first, noise = noise_of(hr, config, seed)
        is_gray = np.array_equal(noise[..., 0], noise[..., 1]) and np.array_equal(noise[..., 0], noise[..., 2])
        assert is_gray == first.noise.gray
        are_gray.append(is_gray)
    assert share(are_gray, 0.4) > _ALARM
    assert share(are_gray, 0.5) < _ALARM


def test_pixels_show_how_often_the_last_filter_and_the_second_blur_are_left_out() -> None:
    """A single bright pixel spreads where a filter ran and stays where none did."""
    hr = np.zeros((41, 41, 3), np.uint8)
    hr[20, 20] = 255
    second = {**_OFF, **_SILENT, "blur": {"probability": 0.5, "sigma_range": (0.8, 1.0)}}
    quiet = {"kind": "slimdiffsr", "first": {**_OFF, **_SILENT}}
    blurred = DegradationConfig.model_validate({**quiet, "second": second, "final_sinc_probability": 0.0})
    filtered = DegradationConfig.model_validate({**quiet, "second": {**_OFF, **_SILENT}})
    for config, probability in ((blurred, 0.5), (filtered, 0.8)):
        spread = [int(np.count_nonzero(degrade(hr, 1.0, config, seed).any(axis=2))) > 1 for seed in range(2500)]
        assert share(spread, probability) > _ALARM
        assert share(spread, probability - 0.1) < _ALARM
