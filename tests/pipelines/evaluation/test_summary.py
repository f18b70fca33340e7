import math
from dataclasses import replace
from typing import Any

import pytest

from pipelines.evaluation.pairing import POOLED
from pipelines.evaluation.result import EvaluationResult, MethodFacts, SetValue
from pipelines.evaluation.summary import SummaryBlock, SummaryCell, summarise
from rssr.weights.missing import MissingWeights
from tests.pipelines.evaluation.made_results import Found, made_result

MISSING = MissingWeights(
    "alexnet.safetensors", "not in weights", "fetch alexnet", "metrics.weights=DIR", "leave it out"
)
CLEAR: Found = {
    "bicubic psnr_y": [20.0, 25.0, 30.0, 35.0],
    "small psnr_y": [20.5, 25.4, 30.6, 35.5],
    "large psnr_y": [21.5, 26.6, 31.4, 36.6],
}
UNCLEAR: Found = {
    "bicubic psnr_y": [20.0, 25.0, 30.0, 35.0],
    "large psnr_y": [23.0, 24.0, 32.0, 34.0],
}


def block(found: Found, **values: Any) -> SummaryBlock:
    return summarise(made_result({("AID", 4.0): found}, **values)).blocks[0]


def cell(made: SummaryBlock, method: str, column: str) -> SummaryCell | None:
    return next(row for row in made.rows if row.method == method).cells.get(column)


def marks(made: SummaryBlock, column: str) -> dict[str, tuple[bool, bool]]:
    return {row.method: (c.is_best, c.is_winner) for row in made.rows if (c := row.cells.get(column)) is not None}


def test_a_cell_is_the_mean_with_its_interval_and_the_number_of_images() -> None:
    found = cell(block({"a psnr_y": [20.0, 22.0, 24.0, math.nan]}), "a", "psnr_y")
    assert found is not None
    assert found.value == pytest.approx(22.0)
    assert 20.0 <= found.low < 22.0 < found.high <= 24.0
    assert found.num_images == 3


def test_a_winner_is_named_only_where_the_lead_is_clear_image_by_image() -> None:
    """The intervals of the means overlap widely in both cases."""
    assert marks(block(CLEAR), "psnr_y") == {"bicubic": (False, False), "small": (False, False), "large": (True, True)}
    assert marks(block(UNCLEAR), "psnr_y") == {"bicubic": (False, False), "large": (True, False)}


def test_the_lead_has_to_be_clear_over_every_other_method() -> None:
    wild = {**CLEAR, "wild psnr_y": [33.0, 1.0, 45.0, 20.0]}
    assert marks(block(wild), "psnr_y")["large"] == (True, False)


def test_lower_is_better_where_the_metric_says_so() -> None:
    found = {"a lpips": [0.1, 0.2, 0.3], "b lpips": [0.2, 0.31, 0.4]}
    assert marks(block(found), "lpips") == {"a": (True, True), "b": (False, False)}


def test_a_single_method_is_better_than_nothing() -> None:
    assert marks(block({"a psnr_y": [20.0, 21.0]}), "psnr_y") == {"a": (False, False)}


def test_what_could_not_be_had_is_a_gap() -> None:
    summary = summarise(made_result({("AID", 4.0): CLEAR}, gaps={"lpips": MISSING}))
    assert "lpips" in [column.name for column in summary.columns]
    assert all("lpips" not in row.cells for row in summary.blocks[0].rows)
    assert {found.metric.name for found in summary.blocks[0].against} == {"psnr_y"}


def test_measures_of_sets_keep_their_own_interval_and_warning_and_have_no_winner() -> None:
    sets = [
        SetValue("AID", 4.0, "bicubic", "fid", 60.0, math.nan, math.nan, 4, "fewer than 2,048 images"),
        SetValue("AID", 4.0, "large", "fid", 20.0, 19.0, 21.0, 4),
    ]
    made = block(CLEAR, set_values=sets)
    found = cell(made, "bicubic", "fid")
    assert found is not None
    assert (found.value, found.num_images, found.warning) == (60.0, 4, "fewer than 2,048 images")
    assert math.isnan(found.low)
    assert marks(made, "fid") == {"bicubic": (False, False), "large": (True, False)}
    assert cell(made, "small", "fid") is None


def test_costs_are_of_the_method_and_unknown_ones_blank() -> None:
    facts = (
        MethodFacts("bicubic", "baseline", "bicubic"),
        MethodFacts("large", "model", "m", num_parameters=58_050_000, gmacs=226.7, peak_bytes=3 * 2**20),
    )
    result = made_result({("AID", 4.0): UNCLEAR}, methods=facts)
    result.rows = [replace(row, seconds=math.nan) if row.method == "bicubic" else row for row in result.rows]
    made = summarise(result).blocks[0]
    figures = {name: c.value for name, c in made.rows[1].cells.items() if name != "psnr_y"}
    assert figures == {
        "seconds": 0.5,
        "seconds_with_io": pytest.approx(0.6),
        "parameters_m": pytest.approx(58.05),
        "gmacs": 226.7,
        "peak_mb": 3.0,
    }
    assert set(made.rows[0].cells) == {"psnr_y", "seconds_with_io"}


def test_each_method_is_compared_with_the_reference_on_shared_images() -> None:
    found = {**CLEAR, "large psnr_y": [21.5, math.nan, 31.4, 36.6]}
    made = block(found)
    against = {one.method: one for one in made.against}
    assert set(against) == {"small", "large"}
    assert {one.reference for one in made.against} == {"bicubic"}
    assert (against["large"].num_images, against["large"].num_left_out) == (3, 1)
    assert against["large"].difference is not None
    assert against["large"].difference.mean == pytest.approx((1.5 + 1.4 + 1.6) / 3)
    assert against["large"].share_won == 1.0


def two_datasets() -> EvaluationResult:
    small = {"a psnr_y": [30.0], "b psnr_y": [20.0]}
    large = {"a psnr_y": [20.0, 22.0, 21.0], "b psnr_y": [25.0, 26.0, 27.0]}
    return made_result({(name, s): d for name, d in (("AID", small), ("DOTA", large)) for s in (2.0, 4.0)})


def test_several_datasets_are_also_told_together_by_image() -> None:
    blocks = summarise(two_datasets()).blocks
    assert [(one.dataset, one.scale, one.num_images) for one in blocks] == [
        ("AID", 2.0, 1),
        ("AID", 4.0, 1),
        ("DOTA", 2.0, 3),
        ("DOTA", 4.0, 3),
        (POOLED, 2.0, 4),
        (POOLED, 4.0, 4),
    ]
    pooled = cell(blocks[-1], "a", "psnr_y")
    assert pooled is not None
    assert pooled.value == pytest.approx((30 + 20 + 22 + 21) / 4)
    alone = summarise(made_result({("AID", 4.0): CLEAR})).blocks
    assert [one.dataset for one in alone] == ["AID"]


def test_the_same_result_gives_the_same_table() -> None:
    assert summarise(two_datasets()).blocks == summarise(two_datasets()).blocks
