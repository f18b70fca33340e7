import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.report import DotRow, Estimate, Page, dots
from tests.browser import Browser

ROWS = [
    DotRow("harbour", {"bicubic": Estimate(20, 18, 22), "ours": Estimate(30, 29, 31)}, "12 images"),
    DotRow("field", {"bicubic": Estimate(40)}),
]


def styles(page: Any, kind: str) -> list[str]:
    return [
        span["style"]
        for span in page.attributes("span")
        if kind in span.get("class", "").split() and "left" in span.get("style", "")
    ]


def test_values_stand_in_words_beside_their_rows(read: Callable[[str], Any]) -> None:
    page = read(dots(ROWS, "PSNR by class", "PSNR, dB", 1))
    assert page.texts("dt")[:2] == ["harbour 12 images", "field"]
    words = [
        text
        for span, text in zip(page.attributes("span"), page.texts("span"), strict=True)
        if span.get("class") == "unseen"
    ]
    assert words == ["bicubic 20.0 (18.0 to 22.0); ours 30.0 (29.0 to 31.0)", "bicubic 40.0"]
    assert page.texts("li") == ["bicubic", "ours"]


def test_dots_lie_where_their_values_are(read: Callable[[str], Any]) -> None:
    page = read(dots(ROWS, "", "", 1, mark=40.0))
    places = [float(re.search(r"left: ([\d.]+)%", style)[1]) for style in styles(page, "dot")]  # type: ignore[index]
    assert places == sorted(places) and places[0] > 0 and places[-1] < 100
    assert abs((places[1] - places[0]) - (places[2] - places[1])) < 0.02, "20, 30 and 40 are equally far apart"
    marks = [line["style"] for line in page.attributes("i") if line.get("class") == "dots-mark"]
    assert marks == [f"left: {places[2]}%"] * 2, "in both rows"
    lengths = [float(re.search(r"width: ([\d.]+)%", style)[1]) for style in styles(page, "dots-interval")]  # type: ignore[index]
    assert abs(lengths[0] - 2 * lengths[1]) < 0.02 and lengths[2] == 0


def test_series_keep_their_colours_from_plot_to_plot(read: Callable[[str], Any]) -> None:
    page = read(dots([DotRow("a", {"ours": Estimate(1)})], "", "", series=("bicubic", "nearest", "ours")))
    assert all("var(--series-3)" in style for style in styles(page, "dot"))
    many = [f"series {number}" for number in range(8)]
    page = read(dots([DotRow("a", dict.fromkeys(many, Estimate(1)))], "", ""))
    looks = {
        (re.search(r"series-\d", style)[0], kind)
        for kind in ("dot-round", "dot-square")
        for style in styles(page, kind)
    }  # type: ignore[index]
    assert len(looks) == 8, "no two series look alike"


def test_a_single_value_and_none_at_all_can_be_drawn(read: Callable[[str], Any]) -> None:
    assert len(styles(read(dots([DotRow("a", {"x": Estimate(0.0)})], "", "")), "dot")) == 1
    assert read(dots([], "", "")).texts("p") == ["No values."]
    assert read(dots([DotRow("a", {"x": Estimate(float("nan"))})], "", "")).texts("p") == ["No values."]


def test_dots_fit_a_phone(browser: Browser, tmp_path: Path) -> None:
    Page("t").section("s", dots(ROWS, "PSNR by class", "PSNR, dB")).write(tmp_path / "page.html")
    with browser.tab(tmp_path / "page.html", (360, 700)) as tab:
        left, _, width, _ = tab.box(".dots-track")
        assert left >= 0 and width > 250 and left + width <= 360
        assert tab.box(".dots-lane .dot")[2] > 5
