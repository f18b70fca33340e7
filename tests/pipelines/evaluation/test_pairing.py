import math

import pytest

from pipelines.evaluation.pairing import POOLED, Pairing
from tests.pipelines.evaluation.made_results import made_result


def test_only_images_that_both_have_count_and_the_others_are_told() -> None:
    found = {"a psnr_y": [30.0, 31.0, math.nan, 90.0], "b psnr_y": [29.0, 29.0, 70.0, math.nan]}
    comparison = Pairing(made_result({("AID", 4.0): found})).compare("psnr_y", ("a", "b"), 4.0)
    assert comparison.difference is not None
    assert comparison.difference.mean == pytest.approx(1.5)
    assert (comparison.num_images, comparison.num_left_out) == (2, 2)


@pytest.mark.parametrize(("metric", "better"), [("psnr_y", True), ("lpips", False)])
def test_which_way_is_better_is_the_metrics(metric: str, better: bool) -> None:
    found = {f"a {metric}": [2.0, 2.1, 2.2, 1.0], f"b {metric}": [1.0, 1.0, 1.1, 1.1]}
    one = Pairing(made_result({("AID", 4.0): found})).compare(metric, ("a", "b"), 4.0, "AID")
    assert one.share_won == (0.75 if better else 0.25)
    clear = {f"a {metric}": [2.0, 2.1, 2.2, 2.0], f"b {metric}": [1.0, 1.0, 1.1, 1.1]}
    other = Pairing(made_result({("AID", 4.0): clear})).compare(metric, ("a", "b"), 4.0, "AID")
    assert (other.is_better, other.is_worse) == (better, not better)


def test_fewer_than_two_images_tell_nothing() -> None:
    result = made_result({("AID", 4.0): {"a psnr_y": [30.0, math.nan], "b psnr_y": [20.0, 20.0]}})
    comparison = Pairing(result).compare("psnr_y", ("a", "b"), 4.0)
    assert comparison.difference is None
    assert not (comparison.is_better or comparison.is_worse)
    assert math.isnan(comparison.share_won)


def test_an_image_without_any_error_counts_as_100_db() -> None:
    result = made_result({("AID", 4.0): {"a psnr_y": [math.inf, 30.0]}})
    assert list(Pairing(result).values("a", "psnr_y", 4.0).values()) == [100.0, 30.0]


def test_images_of_one_name_in_two_datasets_are_two() -> None:
    found = {"a psnr_y": [30.0, 31.0], "b psnr_y": [29.0, 29.0]}
    pairing = Pairing(made_result({("AID", 4.0): found, ("DOTA", 4.0): found}))
    assert pairing.compare("psnr_y", ("a", "b"), 4.0).num_images == 4
    assert pairing.compare("psnr_y", ("a", "b"), 4.0, "DOTA").num_images == 2


def test_over_several_scales_an_image_counts_once_with_its_mean() -> None:
    """Otherwise measuring at ever more scales would make any difference clear."""
    found = {"a psnr_y": [31.0, 30.0, 33.0], "b psnr_y": [30.0, 30.5, 30.0]}
    once = Pairing(made_result({("AID", 4.0): found})).compare_overall("psnr_y", ("a", "b"))
    often = made_result({("AID", scale): found for scale in (2.0, 3.0, 4.0, 8.0)})
    assert Pairing(often).compare_overall("psnr_y", ("a", "b")) == once
    assert (once.dataset, once.scale) == (POOLED, None)


def test_an_image_is_compared_at_the_scales_that_both_have() -> None:
    places = {
        ("AID", 2.0): {"a psnr_y": [40.0, 40.0, math.nan], "b psnr_y": [30.0, 30.0, 30.0]},
        ("AID", 4.0): {"a psnr_y": [20.0, math.nan, math.nan], "b psnr_y": [18.0, 99.0, 18.0]},
    }
    comparison = Pairing(made_result(places)).compare_overall("psnr_y", ("a", "b"))
    assert comparison.difference is not None
    assert comparison.difference.mean == pytest.approx(((10 + 2) / 2 + 10) / 2)
    assert (comparison.num_images, comparison.num_left_out) == (2, 1)
