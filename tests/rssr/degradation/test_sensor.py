"""The degradation in reflectance: blur to a drawn MTF, pixels that average their ground, noise by the signal."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from rssr.degradation import DegradationConfig, degradation_preset, degrade, describe_sensor, draw_sensor
from rssr.degradation.sensor import SensorDraws, blur_sigma, reduce_by_area, see_through_sensor
from rssr.errors import DataError, ImageError

PRESET = degradation_preset("sentinel2")
SENSOR = PRESET.sensor
CLEAN = {"mtf_at_nyquist_range": (0.3, 0.3), "dark_deviation_range": (0, 0), "signal_variance_range": (0, 0)}


def clean(mtf: float, scale: float, size: tuple[int, int]) -> SensorDraws:
    lr = int(size[0] / scale), int(size[1] / scale)
    return SensorDraws(scale, lr, (mtf, mtf), 0.0, 0.0, 0)


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.4, 4.0, 8.0])
def test_any_scale_gives_the_size_of_other_degradations(scale: float) -> None:
    hr = np.random.default_rng(0).random((65, 70, 4), np.float32)
    lr = degrade(hr, scale, PRESET, seed=3)
    assert lr.dtype == np.float32
    assert lr.shape == (int(65 / scale), int(70 / scale), 4)


def test_an_image_is_a_function_of_its_seed() -> None:
    hr = np.random.default_rng(0).random((48, 48, 4), np.float32)
    assert np.array_equal(degrade(hr, 3.4, PRESET, seed=5), degrade(hr.copy(), 3.4, PRESET, seed=5))
    assert not np.array_equal(degrade(hr, 3.4, PRESET, seed=5), degrade(hr, 3.4, PRESET, seed=6))


def test_draws_lie_within_their_ranges() -> None:
    assert SENSOR is not None
    draws = [draw_sensor(SENSOR, 4, seed, (64, 64)) for seed in range(300)]
    mtf = np.array([draw.mtf_at_nyquist for draw in draws])
    for values, limits in (
        (mtf, SENSOR.mtf_at_nyquist_range),
        (np.array([draw.dark_deviation for draw in draws]), SENSOR.dark_deviation_range),
        (np.array([draw.signal_variance for draw in draws]), SENSOR.signal_variance_range),
    ):
        assert limits[0] <= values.min() < values.max() <= limits[1]
        middle = (limits[0] + limits[1]) / 2
        assert abs(values.mean() - middle) < 4 * (limits[1] - limits[0]) / math.sqrt(12 * values.size)
    assert len({draw.noise_seed for draw in draws}) == len(draws)
    assert not np.array_equal(mtf[:, 0], mtf[:, 1])


@pytest.mark.parametrize("mtf", [0.15, 0.25, 0.35])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_contrast_at_nyquist_is_the_drawn_one(mtf: float, scale: int) -> None:
    """A wave of two LR pixels in phase with them: blur and pixel area together leave the drawn share."""
    columns = np.arange(64 * scale)
    wave = np.cos(np.pi * (columns + 0.5) / scale - np.pi / 2)  # extremes at the middle of LR pixels
    hr = np.broadcast_to(0.2 + 0.1 * wave, (16 * scale, len(columns))).astype(np.float32)[..., None]
    lr = see_through_sensor(hr, clean(mtf, scale, hr.shape[:2]))
    inside = lr[:, 16:-16, 0]
    amplitude = (inside.max() - inside.min()) / 2
    # Seen through HR pixels, the area of an LR pixel is a sum instead of an integral: exact in the limit of the scale.
    exact = mtf / (2 / math.pi) / (scale * math.sin(math.pi / (2 * scale)))
    assert amplitude / 0.1 == pytest.approx(exact, rel=0.02)


def test_pixels_as_sharp_as_their_area_need_no_blur() -> None:
    assert blur_sigma(0.7, 4) == 0
    assert blur_sigma(0.2, 4) == pytest.approx(2 * blur_sigma(0.2, 2))


@pytest.mark.parametrize("size", [(10, 7), (13, 11), (16, 16)])
def test_output_pixels_average_exactly_the_ground_they_cover(size: tuple[int, int]) -> None:
    hr = np.random.default_rng(1).random((32, 31, 5), np.float32)
    fine = hr.repeat(size[0], axis=0).repeat(size[1], axis=1)  # a grid that both divide
    expected = fine.reshape(size[0], 32, size[1], 31, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(reduce_by_area(hr, size), expected, atol=2e-5)


@pytest.mark.parametrize("level", [0.0, 0.1, 0.8])
def test_the_noise_has_variance_a_plus_b_times_the_signal(level: float) -> None:
    hr = np.full((128, 128, 2), level, np.float32)
    draws = SensorDraws(1.0, (128, 128), (0.9, 0.9), 0.001, 2e-5, noise_seed=8)
    noise = (see_through_sensor(hr, draws) - level).astype(np.float64)
    expected = 0.001**2 + 2e-5 * level
    low, high = chi2.ppf([0.0005, 0.9995], noise.size) / noise.size  # 99.9 % of right implementations
    assert low <= np.mean(noise**2) / expected <= high


def test_bands_have_noise_of_their_own() -> None:
    hr = np.full((64, 64, 4), 0.2, np.float32)
    noise = see_through_sensor(hr, SensorDraws(1.0, (64, 64), (0.9, 0.9), 0.001, 0.0, 4)).reshape(-1, 4)
    correlation = np.corrcoef(noise.T)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < 0.08


def test_negative_values_and_those_above_one_stay() -> None:
    hr = np.concatenate([np.full((32, 32, 1), -0.02), np.full((32, 32, 1), 1.7)], axis=2).astype(np.float32)
    lr = see_through_sensor(hr, clean(0.2, 4, (32, 32)))
    np.testing.assert_allclose(lr, np.broadcast_to([-0.02, 1.7], lr.shape), rtol=1e-5)


def test_pictures_and_reflectance_are_not_taken_for_one_another() -> None:
    with pytest.raises(ImageError, match="takes reflectance"):
        degrade(np.zeros((32, 32, 3), np.uint8), 4, PRESET, seed=0)
    with pytest.raises(ImageError, match="uint8"):
        degrade(np.zeros((32, 32, 4), np.float32), 4, degradation_preset("bicubic"), seed=0)
    with pytest.raises(DataError):
        degrade(np.zeros((3, 3, 4), np.float32), 4, PRESET, seed=0)


def test_a_sensor_belongs_to_its_kind_alone() -> None:
    with pytest.raises(ValueError, match="sensor"):
        DegradationConfig.model_validate({"kind": "bicubic", "sensor": CLEAN})
    with pytest.raises(ValueError, match="sensor"):
        DegradationConfig.model_validate({"kind": "sentinel2", "sensor": None})
    with pytest.raises(ValueError, match="exceeds"):
        DegradationConfig.model_validate({"kind": "sentinel2", "sensor": {"mtf_at_nyquist_range": (0.4, 0.2)}})


def test_digests_of_pictures_do_not_know_the_sensor() -> None:
    assert "sensor" not in degradation_preset("slimdiffsr").digest_values()
    assert PRESET.digest_values()["sensor"]["mtf_at_nyquist_range"] == [0.15, 0.35]


def test_draws_are_told_in_words() -> None:
    assert describe_sensor(clean(0.2, 4, (64, 64))).startswith("x4: blur to MTF 0.20/0.20 at Nyquist > area to 16x16")
