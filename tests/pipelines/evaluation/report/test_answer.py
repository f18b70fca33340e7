from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.report.answer import answer, leaders, verdict
from pipelines.evaluation.result import EvaluationResult, ImageRow
from rssr.metrics.paired import paired_difference

Change = Callable[..., EvaluationResult]


def without(rows: list[ImageRow], *names: str) -> list[ImageRow]:
    return [row for row in rows if row.method not in names]


def shifted(rows: list[ImageRow], method: str, by: float) -> list[ImageRow]:
    """The rows, with the method's PSNR changed."""
    return [
        replace(row, metrics={**row.metrics, "psnr_y": row.metrics["psnr_y"] + by * (row.method == method)})
        for row in rows
    ]


def test_a_winner_is_named_with_its_lead_over_the_next_best(found: Findings, read: Callable[..., Any]) -> None:
    mine, next_best = (found.result.values(name, "psnr_y", 4.0) for name in ("ours", "theirs"))
    difference = paired_difference([mine[key] for key in mine], [next_best[key] for key in mine])
    assert difference is not None
    won = fmean(mine[key] > next_best[key] for key in mine)
    assert verdict(found) == (
        f"ours is best for these images: its PSNR (Y) is {difference.mean:.2f} dB above that of theirs, the next best "
        f"(95 % interval {difference.low:+.2f} to {difference.high:+.2f}; better on {100 * won:.0f} % of 32 images). "
        "It is clearly better than each of the others, too: bicubic and outside."
    )
    page = read(answer(found))
    assert page.attributes("div")[0]["class"] == "notice notice-good"


def test_methods_that_may_differ_by_chance_are_not_ranked(change: Change, read: Callable[..., Any]) -> None:
    result = change()
    found = Findings(change(rows=shifted(result.rows, "theirs", 0.49)))
    words = verdict(found)
    assert words.startswith("ours and theirs cannot be told apart on these images by PSNR (Y): ours is 0.0")
    assert "that may be chance (95 % interval -0.0" in words
    assert words.endswith("ours is clearly better than bicubic and outside.")
    assert "is best" not in words
    assert read(answer(found)).attributes("div")[0]["class"] == "notice notice-warning"


def test_less_is_better_where_the_metric_says_so(change: Change) -> None:
    assert verdict(Findings(change(rank_by="lpips"))).startswith(
        "theirs is best for these images: its LPIPS is 0.0986 below that of ours, the next best (95 % interval -0.10"
    )


def test_a_lone_method_is_compared_with_nothing(change: Change) -> None:
    result = change()
    alone = change(rows=without(result.rows, "bicubic", "theirs", "outside"), methods=result.methods[1:2])
    assert verdict(Findings(alone)).startswith("Only ours has values of PSNR (Y) (")


def test_one_image_tells_nothing(change: Change) -> None:
    result = change()
    one = change(rows=[row for row in result.rows if row.dataset == "sea" and row.key == "000.png"])
    assert "cannot be told apart: at least two images are needed" in verdict(Findings(one))


def test_without_any_value_there_is_no_answer(change: Change, read: Callable[..., Any]) -> None:
    empty = Findings(change(rows=[]))
    assert verdict(empty).startswith("No answer: no image has a value of psnr_y")
    assert read(answer(empty)).attributes("div")[0]["class"] == "notice notice-warning"


def checks(found: Findings, read: Callable[..., Any]) -> list[str]:
    page = read(answer(found))
    return [text for item, text in zip(page.attributes("li"), page.texts("li"), strict=True) if "check" in str(item)]


def test_what_speaks_for_and_against_the_answer_is_told(found: Findings, read: Callable[..., Any]) -> None:
    assert checks(found, read) == [
        "Good: Compared image by image on 32 images, which all methods saw the same.",
        "Good: ours has the best PSNR (Y) at each dataset and scale.",
        "Beware: By LPIPS theirs is ahead, clearly: choose by what matters to you. PSNR and SSIM ask whether pixels "
        "are right, perceptual metrics whether the picture looks right.",
        "Beware: 1 image equals or resembles one that theirs learnt from: its results there may be too good. "
        "See What is missing.",
        "Note: What ours was trained on is not known: its card does not say.",
        "Beware: 8 images failed for some or all methods and are left out. See What is missing.",
        "Beware: DISTS could not be had. See What is missing for what fetches the weights.",
    ]


def test_where_nothing_is_wrong_that_is_told_as_well(change: Change, read: Callable[..., Any]) -> None:
    rows = change().rows
    clean = change(
        rows=without(rows, "theirs"), gaps={}, failures=[], shared=(), notices=(), metrics=change().metrics[:2]
    )
    assert [check.split(":")[0] for check in checks(Findings(clean), read)] == ["Good"] * 6


def test_few_images_are_a_hint_only(change: Change, read: Callable[..., Any]) -> None:
    few = change(rows=[row for row in change().rows if row.dataset == "sea"])
    assert "Beware: Few images: 8 images to compare on." in checks(Findings(few), read)[0]


def test_a_winner_that_is_not_ahead_everywhere_is_told(change: Change, read: Callable[..., Any]) -> None:
    rows = change().rows
    at_sea = [row for row in shifted(rows, "outside", 3.0) if row.dataset == "sea"]
    mixed = Findings(change(rows=[row for row in rows if row.dataset == "town"] + at_sea))
    assert "Beware: Not everywhere: the best PSNR (Y) is that of outside at sea, scale 4." in checks(mixed, read)


def test_key_figures_show_lead_images_and_time(found: Findings, read: Callable[..., Any]) -> None:
    page = read(answer(found))
    figures = [
        text for item, text in zip(page.attributes("li"), page.texts("li"), strict=True) if "check" not in str(item)
    ]
    assert [figure.split("\n")[0] for figure in figures][2] == "images 32 of 2 datasets"
    assert figures[1].startswith("beside theirs, the next best +0.5")
    assert figures[3] == "for an image at scale 4, ours 1.1 s 2 cores"


def test_the_leaders_by_each_metric_stand_in_one_table(found: Findings, read: Callable[..., Any]) -> None:
    page = read(leaders(found))
    heads, cells = page.texts("th"), page.texts("td")
    assert heads == ["Metric", "town, scale 4", "sea, scale 4", *heads[3:]]
    assert heads[3:5] == ["PSNR (Y), dB", "LPIPS"]
    assert cells[:4] == ["ours *", "ours *", "theirs *", "theirs *"]


@pytest.mark.parametrize("key", ["001.png", "002.png"])
def test_an_infinite_psnr_decides_as_100_db(change: Change, key: str) -> None:
    rows = [
        replace(row, metrics={"psnr_y": float("inf")}) if (row.method, row.key) == ("outside", key) else row
        for row in change().rows
    ]
    assert "inf" not in verdict(Findings(change(rows=rows)))
