import numpy as np
import pytest

from rssr.metrics.coverage import ONE_DEVIATION, CoverageTally

RNG = np.random.default_rng(3)
DEVIATION = np.exp(RNG.normal(0.0, 0.5, 100_000))
SHAPES = {
    "normal": RNG.normal(size=DEVIATION.shape),
    "heavy tails": RNG.laplace(size=DEVIATION.shape),
    "very heavy tails": RNG.standard_t(2.2, size=DEVIATION.shape),
    "whole numbers": np.round(RNG.normal(scale=5, size=DEVIATION.shape)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [ONE_DEVIATION, 0.5, 0.95])
def test_scaled_deviations_hold_the_wanted_share_whatever_the_errors(shape: str, share: float) -> None:
    error = DEVIATION * SHAPES[shape]
    tally = CoverageTally()
    for part in zip(np.array_split(DEVIATION, 3), np.array_split(error, 3), strict=True):
        tally.add(*part)
    assert tally.num_values == len(error)
    held = np.mean(np.abs(error) <= tally.factor(share) * DEVIATION)
    if shape == "whole numbers":  # a step is as wide as its share of the errors
        assert held == pytest.approx(share, abs=0.08)
    else:
        assert held == pytest.approx(share, abs=0.003)


def test_true_deviations_of_normal_errors_stay_as_they_are() -> None:
    tally = CoverageTally()
    tally.add(DEVIATION, DEVIATION * SHAPES["normal"])
    assert tally.factor() == pytest.approx(1, abs=0.01)
    assert abs(ONE_DEVIATION - 0.6827) < 1e-4


def test_the_sign_of_an_error_plays_no_part() -> None:
    factors = []
    for sign in (1, -1):
        tally = CoverageTally()
        tally.add(DEVIATION, sign * np.abs(DEVIATION * SHAPES["heavy tails"]))
        factors.append(tally.factor())
    assert factors[0] == factors[1]


def test_images_without_any_error_leave_a_deviation_above_0() -> None:
    tally = CoverageTally()
    tally.add(np.full(8, 0.5), np.zeros(8))
    assert 0 < tally.factor() < 1e-4


def test_what_is_no_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        CoverageTally().add(np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="no values"):
        CoverageTally().factor()
