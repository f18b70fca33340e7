import re
from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines.report import curve

STEPS = np.arange(1, 51)


def vertices(svg: str) -> int:
    """Vertices of the longest line."""
    return max(path.count("L") + path.count("M") for path in re.findall(r' d="([^"]+)"', svg))


def test_curves_are_inline_drawings_with_names_and_description(read: Callable[[str], Any]) -> None:
    html = curve({"teacher": (STEPS, 1 / STEPS), "student": (STEPS, 2 / STEPS)}, "Loss", "step", "L1")
    page = read(html)
    assert page.texts("figcaption") == ["Loss"]
    assert page.texts("li") == ["teacher", "student"]
    assert "step" in page.texts("text") and "L1" in page.texts("text")
    (label,) = [attributes["aria-label"] for attributes in page.attributes("div") if "aria-label" in attributes]
    assert label == "Loss: teacher from 1 to 0.02; student from 2 to 0.04"
    assert {"var(--series-1)", "var(--series-2)"} <= set(re.findall(r"var\(--series-\d\)", html))


def test_single_curve_needs_no_legend(read: Callable[[str], Any]) -> None:
    assert read(curve({"loss": (STEPS, STEPS)}, "Loss", "step", "")).texts("li") == []


def test_long_series_are_thinned_and_keep_their_ends(read: Callable[[str], Any]) -> None:
    steps = np.arange(100_000)
    html = curve({"loss": (steps, np.sin(steps))}, "Loss", "step", "")
    assert len(html) < 60_000
    assert f"from 0 to {np.sin(99_999):.4g}" in html


def test_values_that_cannot_be_drawn_are_left_out() -> None:
    values = np.array([1.0, np.nan, np.inf, 2.0])
    assert "from 1 to 2" in curve({"loss": ([0, 1, 2, 3], values)}, "Loss", "step", "")
    assert "from 1 to 3" in curve({"loss": ([0, 1, 2, 3], [-1, 1, 0, 3])}, "Loss", "step", "", log_scale=True)


def test_nothing_to_draw_is_said(read: Callable[[str], Any]) -> None:
    page = read(curve({"loss": ([], []), "other": ([1], [np.nan])}, "Loss", "step", ""))
    assert page.texts("p") == ["No values."]
    assert page.attributes("svg") == []


def test_same_values_give_the_same_drawing() -> None:
    first, second = (curve({"loss": (STEPS, 1 / STEPS)}, "Loss", "step", "") for _ in range(2))
    assert first == second


def test_drawings_on_one_page_share_no_ids(read: Callable[[str], Any]) -> None:
    first = read(curve({"loss": (STEPS, 1 / STEPS)}, "Loss", "step", ""))
    second = read(curve({"loss": (STEPS, 2 / STEPS)}, "Loss", "step", ""))
    ids = [{attributes["id"] for _, attributes, _ in page.elements if "id" in attributes} for page in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    html = curve({"loss": (STEPS, 1 / STEPS)}, "Loss", "step", "")
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)) and ids[0] == {
        name for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html) for name in pair if name
    }


def test_a_single_point_is_visible(read: Callable[[str], Any]) -> None:
    one = read(curve({"loss": ([5], [1.0])}, "Loss", "step", ""))
    assert any("var(--series-1)" in attributes.get("style", "") for attributes in one.attributes("use"))
