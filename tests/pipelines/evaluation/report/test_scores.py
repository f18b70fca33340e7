from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.pairing import POOLED
from pipelines.evaluation.published import PARAMETERS, SECONDS
from pipelines.evaluation.report.scores import published, scores
from pipelines.evaluation.result import EvaluationResult, PublishedCell
from tests.page_reader import PageReader

Change = Callable[..., EvaluationResult]
DASH = "–"  # noqa: RUF001  # as tables have it


def tables(page: PageReader) -> dict[str, dict[str, list[str]]]:
    """Cells by the captions of tables and the names of rows."""
    found: dict[str, dict[str, list[str]]] = {}
    rows: dict[str, list[str]] = {}
    row: list[str] = []
    for (tag, attributes, _), text in zip(page.elements, page_texts(page), strict=True):
        if tag == "caption":
            rows = found.setdefault(text, {})
        elif tag == "th" and (attributes["scope"] == "row" or not rows):
            row = rows.setdefault(text if attributes["scope"] == "row" else "", [])
        elif tag in ("td", "th"):
            row.append(text)
    return found


def page_texts(page: PageReader) -> list[str]:
    return [" ".join("".join(texts).split()) for _, _, texts in page.elements]


def test_each_dataset_has_a_table_of_means_and_there_is_one_of_all(found: Findings, read: Callable[..., Any]) -> None:
    held = tables(read(scores(found)))
    assert list(held) == ["All datasets, scale 4: 32 images", "town, scale 4: 24 images", "sea, scale 4: 8 images"]
    at_sea = held["sea, scale 4: 8 images"]
    assert at_sea[""] == ["Images", "PSNR (Y), dB ↑", "LPIPS ↓", "DISTS ↓", "FID ↓", "Time, s"]
    for name in ("bicubic", "ours"):
        psnr = fmean(found.result.values(name, "psnr_y", 4.0, "sea").values())
        assert at_sea[name][0] == "8"
        assert at_sea[name][1].startswith(f"{psnr:.2f}")


def test_the_best_is_marked_and_called_clear_where_it_is(found: Findings, read: Callable[..., Any]) -> None:
    cells = tables(read(scores(found)))["town, scale 4: 24 images"]
    assert "best" in cells["ours"][1] and cells["ours"][1].endswith("clearly best")
    assert cells["theirs"][2].endswith("clearly best")
    assert not any("best" in cell for cell in cells["bicubic"])


def test_a_metric_that_could_not_be_had_is_a_gap_and_so_is_a_time_that_nobody_took(
    found: Findings, read: Callable[..., Any]
) -> None:
    for cells in tables(read(scores(found))).values():
        assert all(cells[name][3] == DASH for name in ("bicubic", "ours", "theirs", "outside"))
        assert cells["outside"][5] == DASH


def test_what_should_not_be_trusted_is_told(found: Findings, read: Callable[..., Any]) -> None:
    page = read(scores(found))
    assert [cells["ours"][4] for cells in tables(page).values()] == [DASH, "70.50", DASH]
    assert "FID of 24 images is biased." in page.texts("p")


def test_published_figures_stand_beside_ours_and_blank_where_there_are_none(
    found: Findings, read: Callable[..., Any]
) -> None:
    [(caption, cells)] = tables(read(published(found))).items()
    assert caption == "town, scale 4. Published: A paper, Table 2"
    assert cells[""] == ["PSNR (Y), dB: published", "ours", "LPIPS: published", "ours"]
    psnr = fmean(found.result.values("ours", "psnr_y", 4.0, "town").values())
    assert cells["Ours"][0] == "27.19"
    assert cells["Ours"][1].startswith(f"{psnr:.2f}")
    assert cells["Ours"][2] == ""
    assert cells["OtherSR"] == ["", "", "0.3100", ""]
    assert cells["bicubic"][0] == "" and cells["bicubic"][1] != ""
    assert "ours" not in cells, "it has the paper's name"


def test_costs_and_means_over_all_datasets_are_compared_as_well(change: Change, read: Callable[..., Any]) -> None:
    cells = tuple(
        PublishedCell("Ours (SlimDiffSR)", POOLED, 4.0, metric, value, "Table 2")
        for metric, value in ((SECONDS, 0.037), (PARAMETERS, 58.05))
    )
    usual = change()
    methods = tuple(replace(m, name="slimdiffsr-x4") if m.name == "ours" else m for m in usual.methods)
    rows = [replace(row, method="slimdiffsr-x4") if row.method == "ours" else row for row in usual.rows]
    result = change(published=cells, methods=methods, rows=rows)
    held = tables(read(published(Findings(result))))["All datasets, scale 4. Published: Table 2"]
    assert held["Ours (SlimDiffSR)"] == ["0.037", "1.100", "58.05", "45.00"]


def test_a_metric_that_was_not_measured_here_has_no_column_of_ours(change: Change, read: Callable[..., Any]) -> None:
    cells = (PublishedCell("Other", "sea", 4.0, "musiq", 49.84, "Table 2"),)
    [held] = tables(read(published(Findings(change(published=cells))))).values()
    assert held[""] == ["MUSIQ: published"]
    assert held["Other"] == ["49.84"]
