import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines.report import histogram

SPLIT = (0.0, "bicubic better", "ours better")


def label(page: Any) -> str:
    [found] = [box["aria-label"] for box in page.attributes("div") if "aria-label" in box]
    return str(found)


def test_both_sides_of_the_split_are_counted_and_coloured(read: Callable[[str], Any]) -> None:
    html = histogram([-1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 3.0], "Gain", "dB", "images", SPLIT)
    page = read(html)
    assert page.texts("li") == ["ours better: 4", "bicubic better: 2"], "a tie is on neither side"
    assert {"--series-1", "--series-2"} <= set(re.findall(r"--series-\d", html))
    assert "7 values, the middle one 0.25" in label(page)


def test_no_bar_lies_across_the_split() -> None:
    gains = np.random.default_rng(0).normal(0.3, 1, 400)
    drawing = histogram(gains, "", "", "", SPLIT)
    [line] = re.findall(r'd="M ([\d.]+) [^z"]*"[^>]*stroke: currentColor', drawing)
    bars = re.findall(r'd="M ([\d.]+) \S+ \s*L ([\d.]+) [^"]*z[^>]*fill: var\(--series-(\d)', drawing)
    assert len(bars) >= 8
    assert {side for _, right, side in bars if float(right) <= float(line) + 0.01} == {"2"}
    assert {side for left, _, side in bars if float(left) >= float(line) - 0.01} == {"1"}
    assert not [left for left, right, _ in bars if float(left) + 0.01 < float(line) < float(right) - 0.01]


def test_without_a_split_there_are_no_sides(read: Callable[[str], Any]) -> None:
    html = histogram([[1.0, 2.0], [3.0, math.nan]], "Errors", "m", "pixels")
    assert read(html).texts("li") == []
    assert label(read(html)).startswith("Errors: 3 values")
    assert "--series-2" not in html.split("<svg")[1]


def test_equal_values_and_none_at_all_can_be_drawn(read: Callable[[str], Any]) -> None:
    assert read(histogram([2.0] * 5, "", "", "", SPLIT)).attributes("svg")
    assert read(histogram([0.0] * 5, "", "", "", SPLIT)).texts("li") == ["ours better: 0", "bicubic better: 0"]
    assert read(histogram([math.nan], "", "", "", SPLIT)).texts("p") == ["No values."]


def test_the_good_side_may_be_the_one_below(read: Callable[[str], Any]) -> None:
    scores = [1.0] * 6 + [1.2, 1.3]
    drawing = histogram(scores, "", "", "", (1.05, "fine", "bad"), below_is_good=True)
    assert read(drawing).texts("li") == ["fine: 6", "bad: 2"]
    [line] = re.findall(r'd="M ([\d.]+) [^z"]*"[^>]*stroke: currentColor', drawing)
    bars = re.findall(r'd="M ([\d.]+) \S+ \s*L ([\d.]+) [^"]*z[^>]*fill: var\(--series-(\d)', drawing)
    assert {side for _, right, side in bars if float(right) <= float(line) + 0.01} == {"1"}
