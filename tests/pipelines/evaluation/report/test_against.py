from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.report.against import against
from pipelines.evaluation.result import EvaluationResult
from rssr.metrics.paired import paired_difference

Change = Callable[..., EvaluationResult]


def test_differences_have_interval_judgement_and_the_share_won(found: Findings, read: Callable[..., Any]) -> None:
    page = read(against(found))
    mine, theirs = (found.result.values(name, "psnr_y", 4.0, "sea") for name in ("outside", "bicubic"))
    difference = paired_difference([mine[key] for key in mine], [theirs[key] for key in mine])
    assert difference is not None and difference.high < 0
    texts = page.texts("td")
    expected = f"{difference.mean:+.2f}{difference.low:+.2f} to {difference.high:+.2f}worse, won "
    assert [text for text in texts if text.startswith(expected)]
    assert [text for text in texts if text.endswith("better, won 100 %")]


def test_the_reference_is_not_compared_with_itself(found: Findings, read: Callable[..., Any]) -> None:
    rows = [
        text
        for head, text in zip(read(against(found)).attributes("th"), read(against(found)).texts("th"), strict=True)
        if head["scope"] == "row"
    ]
    assert rows == ["ours", "theirs", "outside"] * 2


def test_equal_methods_do_not_differ_clearly(change: Change, read: Callable[..., Any]) -> None:
    rows = change().rows
    values = {(row.dataset, row.key): row.metrics for row in rows if row.method == "bicubic"}
    same = [replace(row, metrics=values[row.dataset, row.key]) for row in rows]
    page = read(against(Findings(change(rows=same))))
    assert page.texts("td")[0] == "0.000.00 to 0.00no clear difference, won 50 %"


def test_the_gains_of_the_leader_are_spread_out_image_by_image(found: Findings, read: Callable[..., Any]) -> None:
    page = read(against(found))
    assert page.texts("figcaption") == ["ours beside bicubic, image by image"]
    assert page.texts("li") == ["ours better: 32", "bicubic better: 0"]


def test_gains_are_to_the_right_where_less_is_better(change: Change, read: Callable[..., Any]) -> None:
    page = read(against(Findings(change(rank_by="lpips"))))
    assert page.texts("li") == ["theirs better: 32", "bicubic better: 0"]


def test_where_the_reference_leads_the_next_one_is_shown(change: Change, read: Callable[..., Any]) -> None:
    page = read(against(Findings(change(reference="ours"))))
    assert page.texts("figcaption") == ["theirs beside ours, image by image"]
