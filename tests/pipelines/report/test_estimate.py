import math

import pytest

from pipelines.report import Estimate


def test_an_estimate_is_written_with_its_interval() -> None:
    estimate = Estimate(27.314, 26.9, 1027.7)
    assert estimate.text(2) == "27.31 (26.90 to 1,027.70)"
    assert (estimate.value_text(1), estimate.interval_text(1)) == ("27.3", "26.9 to 1,027.7")


@pytest.mark.parametrize("ends", [(math.nan, math.nan), (1.0, math.nan), (math.nan, 1.0), (1.0, math.inf)])
def test_an_interval_with_an_unknown_end_is_none(ends: tuple[float, float]) -> None:
    estimate = Estimate(1.0, *ends)
    assert not estimate.has_interval
    assert (estimate.interval_text(2), estimate.text(2)) == ("", "1.00")


def test_differences_carry_a_sign_but_zero_does_not() -> None:
    assert Estimate(0.5, -0.25, 1.25, is_signed=True).text(2) == "+0.50 (-0.25 to +1.25)"
    assert Estimate(-0.001, is_signed=True).text(2) == "0.00"
