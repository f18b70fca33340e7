from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.report.plots import by_class, by_dataset
from pipelines.evaluation.result import EvaluationResult
from rssr.metrics import METRICS

Change = Callable[..., EvaluationResult]
PSNR = METRICS["psnr_y"]


def words(page: Any) -> list[str]:
    spans = zip(page.attributes("span"), page.texts("span"), strict=True)
    return [text for span, text in spans if span.get("class") == "unseen"]


def test_each_dataset_is_a_row_with_all_methods(found: Findings, read: Callable[..., Any]) -> None:
    page = read(by_dataset(found, PSNR))
    assert page.texts("dt")[:2] == ["town, scale 4 24 images", "sea, scale 4 8 images"]
    mean = found.mean("ours", "psnr_y", found.places[1])
    assert mean is not None and f"ours {mean.text(2)}" in words(page)[1]
    assert page.texts("li") == ["bicubic", "ours", "theirs", "outside"]


def test_with_one_dataset_each_method_is_a_row(change: Change, read: Callable[..., Any]) -> None:
    one = Findings(change(rows=[row for row in change().rows if row.dataset == "sea"]))
    assert read(by_dataset(one, PSNR)).texts("dt")[:4] == ["bicubic", "ours", "theirs", "outside"]


def test_three_scales_make_a_curve(change: Change, read: Callable[..., Any]) -> None:
    rows = [replace(row, scale=scale) for scale in (2.0, 3.5, 4.0) for row in change().rows]
    page = read(by_dataset(Findings(change(rows=rows, scales=(2.0, 3.5, 4.0))), PSNR))
    assert page.texts("figcaption")[1:] == ["PSNR (Y) over the scale, town", "PSNR (Y) over the scale, sea"]
    assert len(page.attributes("svg")) == 2


def test_classes_are_ordered_from_the_hardest(found: Findings, read: Callable[..., Any]) -> None:
    page = read(by_class(found, PSNR))
    assert [name for name in page.texts("dt") if name] == ["harbour 12 images", "field 12 images"] * 2
    assert page.texts("figcaption") == [
        "PSNR (Y) by class, town, scale 4",
        "ours beside bicubic by class, town, scale 4; right of the line it is better",
    ]
    rows = [row for row in found.result.rows if row.dataset == "town" and row.class_name == "field"]
    mine, theirs = ([row.metrics["psnr_y"] for row in rows if row.method == name] for name in ("ours", "bicubic"))
    gain = fmean(a - b for a, b in zip(mine, theirs, strict=True))
    assert f"ours {gain:+.2f}" in words(page)[3]


def test_many_classes_are_folded_away(change: Change, read: Callable[..., Any]) -> None:
    rows = [replace(row, class_name=f"class {int(row.key[:3]) % 20}") for row in change().rows if row.dataset == "town"]
    page = read(by_class(Findings(change(rows=rows)), PSNR))
    assert page.texts("summary") == ["PSNR (Y) by class, town, scale 4: 20 classes"]


def test_without_classes_there_is_no_plot_of_them(change: Change) -> None:
    rows = [row for row in change().rows if row.dataset == "sea"]
    assert list(by_class(Findings(change(rows=rows)), PSNR)) == []
