import math
from statistics import fmean

import pytest

from pipelines.evaluation.findings import Findings, Place, counted, listed, percent
from pipelines.evaluation.result import SetValue
from rssr.metrics.bootstrap import bootstrap_interval
from tests.pipelines.evaluation.made_results import made_result

EASY, HARD = [30.0, 31.0, 32.5, 33.0], [20.0, 20.5, 22.0, 21.0]


def test_a_mean_has_the_interval_of_the_bootstrap() -> None:
    result = made_result({("town", 4.0): {"ours psnr_y": HARD}}, seed=5)
    mean = Findings(result).mean("ours", "psnr_y", Place("town", 4.0))
    expected = bootstrap_interval(HARD, 5)
    assert mean is not None and (mean.value, mean.low, mean.high) == (expected.mean, expected.low, expected.high)
    assert Findings(result).mean("ours", "lpips", Place("town", 4.0)) is None


def test_a_method_that_was_run_on_easy_images_alone_is_not_ahead_for_that() -> None:
    better = [value + 1 for value in EASY]
    found = Findings(
        made_result(
            {
                ("field", 4.0): {"few psnr_y": EASY, "all psnr_y": better},
                ("harbour", 4.0): {"few psnr_y": [math.nan] * 4, "all psnr_y": HARD},
            }
        )
    )
    standing = found.standing("psnr_y")
    assert standing is not None
    assert (standing.ranked, standing.is_clear) == (("all", "few"), True)


def test_who_is_ahead_and_by_how_much_is_told_of_the_same_images() -> None:
    """Many images of one dataset and few of another: each image counts once."""
    found = Findings(
        made_result(
            {
                ("large", 4.0): {"a psnr_y": [21.0 + 0.01 * n for n in range(30)], "b psnr_y": [20.0] * 30},
                ("small", 4.0): {"a psnr_y": [20.0, 20.1], "b psnr_y": [25.0, 25.2]},
            }
        )
    )
    standing = found.standing("psnr_y")
    assert standing is not None and standing.leader == "a"
    difference = standing.beside[0].difference
    assert difference is not None and difference.mean > 0
    at_small = found.standing("psnr_y", Place("small", 4.0))
    assert at_small is not None and at_small.leader == "b"


def test_those_that_may_be_as_good_are_told_from_those_that_are_beaten() -> None:
    leader = [30.0, 29.0, 31.0, 30.0]
    values = {"a psnr_y": leader, "b psnr_y": [30.5, 28.4, 31.2, 29.7], "c psnr_y": [value - 3 for value in leader]}
    standing = Findings(made_result({("town", 4.0): values})).standing("psnr_y")
    assert standing is not None
    assert (standing.tied, standing.beaten, standing.is_clear) == (("a", "b"), ("c",), False)


def test_a_metric_without_values_has_nobody_ahead() -> None:
    found = Findings(made_result({("town", 4.0): {"a psnr_y": HARD}}, rank_by="lpips"))
    assert found.standing("lpips") is None
    assert found.ranking is None
    assert [spec.name for spec in found.quality] == ["psnr_y"]


def test_times_are_means_of_what_was_run() -> None:
    found = Findings(made_result({("town", 4.0): {"a psnr_y": HARD}, ("sea", 8.0): {"a psnr_y": HARD}}))
    assert found.seconds("a", 4.0) == pytest.approx(0.5)
    assert found.seconds("a", 4.0, with_io=True) == pytest.approx(0.6)
    assert found.seconds("a", 4.0, dataset="sea") is None
    assert found.places == (Place("town", 4.0), Place("sea", 8.0))


def test_small_numbers_have_more_digits() -> None:
    values = {"a psnr_y": HARD, "a lpips": [0.25] * 4}
    result = made_result({("town", 4.0): values}, set_values=[SetValue("town", 4.0, "a", "fid", 30.0, 0, 0, 4)])
    found = Findings(result)
    assert [found.digits(name) for name in ("psnr_y", "lpips", "fid")] == [2, 4, 2]
    value = found.set_value(Place("town", 4.0), "a", "fid")
    assert value is not None and value.value == 30.0
    assert found.set_value(Place("town", 8.0), "a", "fid") is None


def test_numbers_and_names_in_sentences() -> None:
    assert (counted(1, "image"), counted(2000, "image")) == ("1 image", "2,000 images")
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert percent(fmean([1, 0])) == "50 %"
