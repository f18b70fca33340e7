"""The stretch between reflectance and network values, there and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rssr.errors import ModelError
from rssr.stretch import Stretch, StretchConfig

FOUR = ("B02", "B03", "B04", "B08")
NUMBERS = np.arange(0, 65_535, dtype=np.float64)  # every number that a product can hold, but for saturated ones


def test_the_ends_become_minus_one_and_one() -> None:
    stretch = StretchConfig().over(FOUR)
    ends = np.array([[0.0, 0.3]] * 3 + [[0.0, 0.5]], np.float32)
    np.testing.assert_allclose(stretch.to_network(ends), [[-1, 1]] * 4, atol=1e-7)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_every_number_of_a_product_comes_back(gamma: float) -> None:
    stretch = StretchConfig(low=-0.01, gamma=gamma).over(FOUR)
    reflectance = np.broadcast_to(((NUMBERS - 1000) / 10_000).astype(np.float32), (4, len(NUMBERS)))
    back = stretch.from_network(stretch.to_network(reflectance))
    assert np.array_equal(np.rint(back.astype(np.float64) * 10_000 + 1000), np.broadcast_to(NUMBERS, back.shape))


@given(
    value=st.floats(-2, 20, width=32),
    low=st.floats(-0.5, 0.2),
    span=st.floats(0.01, 2),
    gamma=st.floats(1, 4),
)
def test_values_come_back_to_single_precision(value: float, low: float, span: float, gamma: float) -> None:
    stretch = Stretch(bands=("B02",), low=(low,), high=(low + span,), gamma=gamma)
    reflectance = np.array([value], np.float32)
    seen = stretch.to_network(reflectance)
    back = stretch.from_network(seen)
    # One rounding to float32 of what the network sees, carried back by the stretch's slope there.
    share = abs((value - low) / span)
    slope = gamma * share ** (1 - 1 / gamma) * span / 2 if share > 0 else 0.0
    allowed = 2 * np.spacing(np.abs(seen[0])) * max(slope, span) + 2 * np.spacing(np.abs(reflectance[0]) + span)
    assert abs(float(back[0]) - value) <= 4 * allowed


def test_nothing_is_clipped() -> None:
    stretch = StretchConfig(gamma=2.0).over(("B02",))
    seen = stretch.to_network(np.array([-0.03, 1.2], np.float32))
    assert seen[0] < -1
    assert seen[1] > 1
    np.testing.assert_allclose(stretch.from_network(seen), [-0.03, 1.2], rtol=1e-6)


def test_the_parameters_in_metadata_make_the_same_stretch() -> None:
    stretch = StretchConfig(low=(0, 0.01, 0.02, 0.03), gamma=1.5).over(FOUR)
    assert Stretch.model_validate(json.loads(stretch.to_metadata())) == stretch


def test_error_bars_scale_a_band_at_a_time() -> None:
    deviation = StretchConfig().over(FOUR).deviation_from_network(np.ones((4, 1, 1), np.float32))
    np.testing.assert_allclose(deviation[:, 0, 0], [0.15, 0.15, 0.15, 0.25], rtol=1e-6)
    with pytest.raises(ModelError, match="gamma"):
        StretchConfig(gamma=2).over(FOUR).deviation_from_network(np.ones((4, 1, 1), np.float32))


@pytest.mark.parametrize("values", [{"low": 0.3, "high": 0.3}, {"low": (0.0, 0.1)}, {"gamma": 0.5}])
def test_a_stretch_that_cannot_be_turned_round_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StretchConfig.model_validate(values).over(FOUR)
