from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.report.costs import costs
from pipelines.evaluation.result import EvaluationResult

Change = Callable[..., EvaluationResult]
DASH = "–"  # noqa: RUF001  # as tables have it


def test_costs_stand_in_a_table_with_gaps_where_they_are_unknown(found: Findings, read: Callable[..., Any]) -> None:
    page = read(costs(found))
    assert page.texts("td")[:15] == [
        *("0.100", "0.600", DASH, DASH, DASH),
        *("1.100", "1.600", "45.00", "61.5", "1.00"),
        *("0.600", "1.100", "1.20", DASH, DASH),
    ]
    assert page.texts("td")[15:] == [DASH] * 5
    assert "Times are of this machine alone: 2 cores." in page.texts("p")


def test_fidelity_and_looks_are_drawn_against_time(found: Findings, read: Callable[..., Any]) -> None:
    page = read(costs(found))
    titles = [f"{title} against time at scale 4: best at the top left" for title in ("PSNR (Y)", "LPIPS")]
    assert page.texts("figcaption") == titles
    named = set(page.texts("text"))
    assert {"bicubic", "ours, 45 M", "theirs, 1.2 M"} <= named
    assert not any(name.startswith("outside") for name in named)
    assert "Not drawn, because nothing was run: outside." in page.texts("p")
    assert "A point alone: no parameters, or their number is unknown (bicubic)." in page.texts("p")


def test_one_method_makes_no_drawing(change: Change, read: Callable[..., Any]) -> None:
    rows = [row for row in change().rows if row.method == "ours"]
    assert read(costs(Findings(change(rows=rows)))).attributes("svg") == []


def test_each_of_two_scales_is_drawn(change: Change, read: Callable[..., Any]) -> None:
    rows = [replace(row, scale=scale) for scale in (4.0, 8.0) for row in change().rows]
    page = read(costs(Findings(change(rows=rows, scales=(4.0, 8.0)))))
    assert len(page.attributes("svg")) == 4
    assert "Scale 8: s an image" in page.texts("th")
