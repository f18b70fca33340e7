from collections.abc import Callable
from typing import Any

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.report.caveats import caveats
from pipelines.evaluation.result import EvaluationResult, SharedImage

Change = Callable[..., EvaluationResult]


def test_a_gap_tells_what_fetches_it_and_where_it_was_searched(found: Findings, read: Callable[..., Any]) -> None:
    page = read(caveats(found))
    assert (
        "DISTS: dists.pth, not in weights. On a machine with a network run fetch dists; then set metrics.weights=DIR. "
        "To do without, wait." in page.texts("p")
    )
    assert page.texts("code")[:2] == ["fetch dists", "metrics.weights=DIR"]


def test_failures_are_counted_by_reason_and_all_of_them_named(found: Findings, read: Callable[..., Any]) -> None:
    page = read(caveats(found))
    cells = page.texts("td")
    assert cells[:5] == ["all", "all", "it cannot be decoded", "1", "cut.png"]
    assert cells[5:10] == [
        "4",
        "outside",
        "SR is larger than HR",
        "7",
        "x0.png, x1.png, x2.png, x3.png, x4.png and 2 more",
    ]
    assert page.texts("summary") == ["All 8 failures"]
    [listed] = page.texts("pre")
    assert all(f"town/x{number}.png scale 4 outside SR is larger than HR" in listed for number in range(7))
    assert "sea/cut.png scale all all methods it cannot be decoded" in listed


def test_images_that_methods_learnt_from_are_named_with_what_they_resemble(
    change: Change, read: Callable[..., Any]
) -> None:
    shared = (
        SharedImage("town", "003.png", "theirs", "training/9.png", 4),
        SharedImage("town", "004.png", "theirs", "training/10.png"),
        SharedImage("town", "005.png", "", "sea/1.png", 1),
    )
    page = read(caveats(Findings(change(shared=shared, failures=[]))))
    assert page.texts("td") == [
        *("theirs", "training/9.png", "fingerprints differ in 4 bits"),
        *("theirs", "training/10.png", "byte by byte"),
        *("none; another dataset has it, too", "sea/1.png", "fingerprints differ in 1 bit"),
    ]
    assert "What ours was trained on is not known: its card does not say." in page.texts("p")


def test_nothing_missing_is_told(change: Change, read: Callable[..., Any]) -> None:
    page = read(caveats(Findings(change(gaps={}, failures=[], shared=(), notices=()))))
    assert page.texts("p") == [
        "None: every metric that was asked for could be computed.",
        "None: all images were measured with all methods.",
        "None was found.",
    ]
