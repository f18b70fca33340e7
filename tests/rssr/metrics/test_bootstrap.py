import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from rssr.metrics.bootstrap import bootstrap_interval

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("num_values", [20, 200])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_are_those_of_an_independent_implementation(num_values: int, skewed: bool) -> None:
    values = RNG.lognormal(0, 0.8, num_values) if skewed else RNG.normal(28, 4, num_values)
    found = bootstrap_interval(values, seed=1, num_resamples=20_000)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=5).confidence_interval
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
    assert found.mean == pytest.approx(values.mean())
    assert found.num_values == num_values


@pytest.mark.parametrize(("confidence", "least", "most"), [(0.95, 0.9, 0.985), (0.8, 0.73, 0.86)])
def test_the_stated_share_of_intervals_holds_the_true_mean(confidence: float, least: float, most: float) -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for seed in range(400):
        found = bootstrap_interval(generator.lognormal(0, 0.5, 60), seed, 500, confidence)
        hits += found.low <= math.exp(0.125) <= found.high
    assert least <= hits / 400 <= most


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), st.integers(0, 1000))
def test_intervals_are_finite_ordered_and_independent_of_the_order_of_values(values: list[float], seed: int) -> None:
    found = bootstrap_interval(values, seed, 200)
    assert min(values) <= found.low <= found.high <= max(values)
    assert bootstrap_interval(values[::-1], seed, 200) == found
    assert bootstrap_interval(sorted(values), seed, 200) == found


def test_the_seed_decides_alone() -> None:
    values = RNG.normal(size=50)
    assert bootstrap_interval(values, 3) == bootstrap_interval(values.tolist(), 3)
    assert bootstrap_interval(values, 3) != bootstrap_interval(values, 4)


def test_skewed_values_have_a_longer_arm_on_the_long_side() -> None:
    found = bootstrap_interval(RNG.lognormal(0, 1, 40), 0)
    assert found.high - found.mean > 1.2 * (found.mean - found.low)


def test_equal_values_leave_no_doubt_and_one_value_says_nothing_of_it() -> None:
    constant = bootstrap_interval([0.1] * 7, 0)
    assert (constant.mean, constant.low, constant.high) == (0.1, 0.1, 0.1)
    single = bootstrap_interval([4.0], 0)
    assert (single.mean, single.num_values) == (4, 1)
    assert math.isnan(single.low)
    assert math.isnan(single.high)


def test_one_image_that_stands_out_does_not_break_the_interval() -> None:
    found = bootstrap_interval([0.0] * 30 + [1e9], 0, confidence=0.9999)
    assert 0 <= found.low <= found.mean <= found.high <= 1e9


def test_ten_thousand_values_take_about_a_second_at_most() -> None:
    values = RNG.normal(size=10_000)
    start = time.perf_counter()
    found = bootstrap_interval(values, 0)
    assert time.perf_counter() - start < 5, "0.3 s on an idle core"
    assert found.high - found.low == pytest.approx(2 * 1.96 / 100, rel=0.1)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf]])
def test_values_that_have_no_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite value"):
        bootstrap_interval(values, 0)


@pytest.mark.parametrize(("num_resamples", "confidence"), [(0, 0.95), (100, 0.0), (100, 1.0)])
def test_impossible_settings_are_refused(num_resamples: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([1.0, 2.0], 0, num_resamples, confidence)
