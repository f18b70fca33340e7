import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipelines.report.reliability import reliability_curves, reliability_table, verdict
from rssr.metrics.reliability import Reliability, ReliabilityTally


@pytest.fixture
def right() -> Reliability:
    rng = np.random.default_rng(0)
    deviation = rng.uniform(1, 10, 20_000)
    tally = ReliabilityTally()
    tally.add(deviation, deviation * rng.normal(size=deviation.size))
    return tally.result()


@pytest.mark.parametrize(
    ("coverage", "gain", "words"),
    [
        (0.7, 0.2, "right on the whole .70.0% .* tell more than"),
        (0.742, 0.2, "too long"),
        (0.6, 0.2, "too short"),
        (0.68, -0.1, "tell no more than"),
    ],
)
def test_the_verdict_is_what_was_found(coverage: float, gain: float, words: str) -> None:
    found = Reliability(100, 10.0, 8.0, 0.3, coverage, 0.95, 0.1, gain, ())
    assert re.search(words, verdict(found))


def test_figures_stand_beside_what_they_should_be(read: Callable[[str], Any], right: Reliability) -> None:
    page = read(reliability_table({"ours": right, "theirs": right}))
    assert page.texts("th")[1:4] == ["ours", "theirs", "Where error bars hold and errors are normal"]
    cells = dict(zip(page.texts("th")[4:], zip(*[iter(page.texts("td"))] * 3, strict=True), strict=True))
    within = cells["Errors within one error bar"]
    assert within[0] == within[1] and abs(float(within[0]) - 0.683) < 0.02 and within[2] == "0.683"


def test_curves_reach_from_the_shortest_to_the_longest_error_bars(
    read: Callable[[str], Any], right: Reliability
) -> None:
    errors, shares = (read(part) for part in reliability_curves({"ours": right}, "grey levels"))
    low, high = right.bins[0], right.bins[-1]
    [label] = [box["aria-label"] for box in errors.attributes("div") if "aria-label" in box]
    assert (
        f"ours from {low.rmse:.4g} to {high.rmse:.4g}; ideal from {low.deviation:.4g} to {high.deviation:.4g}" in label
    )
    assert shares.texts("li") == ["ours", "ideal"]
    assert "mean error bar, grey levels" in errors.texts("text")
