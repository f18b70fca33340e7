import numpy as np
import pytest
from scipy.stats import ttest_rel

from rssr.metrics.paired import paired_difference


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    generator = np.random.default_rng(0)
    reference = generator.normal(28, 4, 12)
    values = reference + generator.normal(0.2, 0.3, 12)
    found = paired_difference(values.tolist(), reference.tolist())
    expected = ttest_rel(values, reference).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((values - reference).mean())
    assert found.num_images == 12


def test_a_small_steady_difference_is_clear_where_images_differ_greatly() -> None:
    reference = [20.0, 35.0, 27.0, 41.0, 23.0]
    steady = paired_difference([value + 0.1 + 0.001 * n for n, value in enumerate(reference)], reference)
    unsteady = paired_difference([value + (-1) ** n for n, value in enumerate(reference)], reference)
    assert steady is not None
    assert steady.is_clear
    assert unsteady is not None
    assert not unsteady.is_clear


def test_nineteen_of_twenty_intervals_hold_the_true_difference() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        reference = generator.normal(0, 5, 6)
        found = paired_difference((reference + generator.normal(0.5, 1, 6)).tolist(), reference.tolist())
        assert found is not None
        hits += found.low <= 0.5 <= found.high
    assert 930 <= hits <= 970


def test_equal_models_differ_by_nothing() -> None:
    found = paired_difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert found is not None
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert not found.is_clear


def test_one_image_tells_nothing_of_the_spread() -> None:
    assert paired_difference([1.0], [2.0]) is None


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0, 2.0], [1.0])


def test_images_won_are_counted_in_the_direction_of_the_metric_and_ties_by_half() -> None:
    found = paired_difference([3.0, 2.0, 5.0, 1.0, 7.0], [1.0, 2.0, 4.0, 2.0, 6.0])
    assert found is not None
    assert found.share_won(higher_is_better=True) == pytest.approx(0.7)
    assert found.share_won(higher_is_better=False) == pytest.approx(0.3)
    equal = paired_difference([1.0, 2.0], [1.0, 2.0])
    assert equal is not None
    assert equal.share_won(True) == equal.share_won(False) == 0.5


def test_a_clear_difference_is_better_on_one_side_only() -> None:
    above = paired_difference([2.0, 3.1, 4.0], [1.0, 2.0, 3.0])
    unclear = paired_difference([2.0, 3.0, 4.0], [1.0, 4.0, 4.0])
    assert above is not None
    assert unclear is not None
    assert above.is_clearly_better(higher_is_better=True)
    assert not above.is_clearly_better(higher_is_better=False)
    assert not unclear.is_clearly_better(True)
    assert not unclear.is_clearly_better(False)
