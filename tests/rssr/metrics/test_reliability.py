import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rssr.errors import DataError
from rssr.metrics.reliability import NUM_BINS, Reliability, ReliabilityTally

RNG = np.random.default_rng(5)
DEVIATION = np.exp(RNG.normal(1.0, 0.6, 200_000))
NORMAL_ERRORS = DEVIATION * RNG.normal(size=DEVIATION.shape)


def tallied(deviation: NDArray[np.float64], error: NDArray[np.float64], num_parts: int = 1) -> Reliability:
    tally = ReliabilityTally()
    for part in zip(np.array_split(deviation, num_parts), np.array_split(error, num_parts), strict=True):
        tally.add(*part)
    return tally.result()


def test_true_error_bars_are_found_true() -> None:
    found = tallied(DEVIATION, NORMAL_ERRORS)
    assert found.num_values == 200_000
    assert found.rmse == pytest.approx(found.rms_deviation, rel=0.02)
    assert found.coverage_1 == pytest.approx(0.6827, abs=0.005)
    assert found.coverage_2 == pytest.approx(0.9545, abs=0.005)
    assert found.calibration_error < 0.02
    assert len(found.bins) == NUM_BINS
    for group in found.bins:
        assert group.num_values == pytest.approx(20_000, rel=0.25)
        assert group.rmse == pytest.approx(group.deviation, rel=0.04)
        assert group.coverage_1 == pytest.approx(0.6827, abs=0.02)
    assert [group.deviation for group in found.bins] == sorted(group.deviation for group in found.bins)


def test_figures_are_those_of_the_plain_formulas() -> None:
    found = tallied(DEVIATION, NORMAL_ERRORS, num_parts=7)
    errors = np.abs(NORMAL_ERRORS)
    assert found.rmse == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert found.rms_deviation == pytest.approx(np.sqrt(np.mean(DEVIATION**2)))
    assert found.correlation == pytest.approx(np.corrcoef(DEVIATION, errors)[0, 1])
    assert found.coverage_1 == pytest.approx(np.mean(errors <= DEVIATION))
    fitted = DEVIATION * np.sqrt(np.mean((errors / DEVIATION) ** 2))
    likelihood = -0.5 * (errors / fitted) ** 2 - np.log(fitted)
    constant = -0.5 * (errors / found.rmse) ** 2 - np.log(found.rmse)
    assert found.likelihood_gain == pytest.approx(likelihood.mean() - constant.mean())
    assert sum(group.num_values for group in found.bins) == found.num_values
    assert sum(group.num_values * group.rmse**2 for group in found.bins) == pytest.approx(np.sum(errors**2))


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_error_bars_of_the_wrong_length_are_found_out(factor: float) -> None:
    found = tallied(factor * DEVIATION, NORMAL_ERRORS)
    assert found.rms_deviation / found.rmse == pytest.approx(factor, rel=0.02)
    assert found.calibration_error == pytest.approx(abs(1 / factor - 1), rel=0.05)
    true = tallied(DEVIATION, NORMAL_ERRORS)
    assert found.correlation == pytest.approx(true.correlation)
    assert found.likelihood_gain == pytest.approx(true.likelihood_gain), "lengths play no part"


def test_error_bars_that_know_nothing_gain_nothing() -> None:
    shuffled = RNG.permutation(DEVIATION)
    found = tallied(shuffled, NORMAL_ERRORS)
    assert abs(found.correlation) < 0.01
    assert found.likelihood_gain < 0
    constant = tallied(np.full_like(DEVIATION, 4.0), NORMAL_ERRORS)
    assert constant.correlation == 0
    assert constant.likelihood_gain == pytest.approx(0, abs=1e-9)
    assert len(constant.bins) == 1


@pytest.mark.parametrize("unit", [1e-4, 1.0, 40.0])
def test_units_of_the_values_change_lengths_alone(unit: float) -> None:
    one, other = tallied(DEVIATION, NORMAL_ERRORS), tallied(unit * DEVIATION, unit * NORMAL_ERRORS)
    assert other.rmse == pytest.approx(unit * one.rmse)
    for name in ("correlation", "coverage_1", "coverage_2", "likelihood_gain"):
        assert getattr(other, name) == pytest.approx(getattr(one, name))
    assert other.calibration_error == pytest.approx(one.calibration_error, abs=0.01)


def test_images_without_any_error_are_no_trouble() -> None:
    found = tallied(np.full(10, 0.5), np.zeros(10))
    assert (found.rmse, found.coverage_1, found.correlation) == (0, 1, 0)
    assert all(math.isfinite(value) for value in found.metrics().values())


def test_what_is_no_deviation_is_refused() -> None:
    for deviation, error in (
        (np.zeros(2), np.ones(2)),
        (np.array([1.0, np.nan]), np.ones(2)),
        (np.ones(3), np.ones(2)),
    ):
        with pytest.raises(ValueError, match="above 0"):
            ReliabilityTally().add(deviation, error)
    with pytest.raises(ValueError, match="no values"):
        ReliabilityTally().result()


IMAGES = [(np.exp(RNG.normal(1, 0.6, 500)), RNG.laplace(0, 3, 500)) for _ in range(24)]


def tally_of(images: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> ReliabilityTally:
    tally = ReliabilityTally()
    for deviation, error in images:
        tally.add(deviation, error)
    return tally


@pytest.mark.parametrize("num_parts", [2, 3, 24])
def test_parts_of_several_workers_give_the_same_figures_to_the_last_digit(num_parts: int) -> None:
    whole = tally_of(IMAGES).result()
    parts = [tally_of(IMAGES[start::num_parts]) for start in range(num_parts)]
    for order in (parts, parts[::-1]):
        merged = ReliabilityTally()
        for part in order:
            merged.merge(ReliabilityTally.from_bytes(part.to_bytes()))
        assert merged.result() == whole


def test_a_stored_tally_is_small_and_goes_on_where_it_was() -> None:
    stored = tally_of(IMAGES[:10]).to_bytes()
    assert len(stored) < 50_000
    tally = ReliabilityTally.from_bytes(stored)
    for image in IMAGES[10:]:
        tally.add(*image)
    assert tally.result() == tally_of(IMAGES).result()
    with pytest.raises(ValueError, match="no values"):
        ReliabilityTally.from_bytes(ReliabilityTally().to_bytes()).result()


def test_a_damaged_tally_is_refused() -> None:
    stored = tally_of(IMAGES[:1]).to_bytes()
    spoilt = bytearray(stored)
    spoilt[len(stored) // 2] ^= 1
    for damaged in (b"", stored[:-3], stored[5:], bytes(spoilt)):
        with pytest.raises(DataError, match="damaged"):
            ReliabilityTally.from_bytes(damaged)


def test_errors_that_are_no_numbers_are_refused() -> None:
    for deviation, error in ((np.ones(2), np.array([1.0, np.nan])), (np.array([np.inf, 1.0]), np.ones(2))):
        with pytest.raises(ValueError, match="finite"):
            ReliabilityTally().add(deviation, error)
