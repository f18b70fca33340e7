"""The alias moves where that is earned, against a real store."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.promotion import contending_methods, decide_promotion, promote
from pipelines.evaluation.result import EvaluationResult, SharedImage
from pipelines.tracking.champion import Contenders, find_contenders
from pipelines.tracking.connection import connect
from pipelines.tracking.registry import set_alias, version_tags
from rssr.errors import ConfigError, ModelError
from rssr.weights.missing import MissingWeights
from tests.pipelines.evaluation.made_results import made_result
from tests.pipelines.registries import Registry

NEW, OLD = "model-x4 candidate", "model-x4 champion"
CLEAR = [1.0, 1.2, 0.8, 1.1, 0.9, 1.0]
UNCLEAR = [3.0, -2.0, 2.0, -1.5, 1.0, -1.0]
NONE = math.nan


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def measured(gains: Sequence[float], metric: str = "psnr_y", **values: Any) -> EvaluationResult:
    """The candidate's values exceed the champion's by these."""
    base = [20.0 + number for number in range(len(gains))]
    found = {f"{OLD} {metric}": base, f"{NEW} {metric}": [a + gain for a, gain in zip(base, gains, strict=True)]}
    return made_result({("AID", 4.0): found}, **values)


def decided(result: EvaluationResult, metric: str = "psnr_y") -> tuple[str, str]:
    decision = decide_promotion(result, metric, NEW, OLD)
    return decision.outcome, decision.reason


def test_a_candidate_that_is_clearly_better_becomes_champion() -> None:
    outcome, reason = decided(measured(CLEAR))
    assert outcome == "moved"
    assert "PSNR (Y) +1 dB [" in reason
    assert "better on 100% of 6 images" in reason


@pytest.mark.parametrize(
    ("gains", "metric", "why"),
    [
        (UNCLEAR, "psnr_y", "is not clearly better"),
        ([0.0] * 6, "psnr_y", "is not clearly better"),
        ([-gain for gain in CLEAR], "psnr_y", "is worse"),
        (CLEAR, "lpips", "is worse"),
        ([1.0], "psnr_y", "too few images to tell (1)"),
        ([1.0, 1.1, NONE, 1.0], "psnr_y", "no PSNR (Y) for 1 images for which model-x4 champion has one"),
    ],
    ids=["unclear", "equal", "worse", "lower is better", "one image", "fails on one"],
)
def test_any_other_is_refused_and_told_why(gains: list[float], metric: str, why: str) -> None:
    outcome, reason = decided(measured(gains, metric), metric)
    assert outcome == "refused"
    assert reason.startswith("The champion stays: ")
    assert why in reason


def test_images_that_the_candidate_was_trained_on_earn_it_nothing() -> None:
    learnt = (SharedImage("AID", "000.png", NEW, "000.png"), SharedImage("AID", "001.png", "other", "001.png"))
    outcome, reason = decided(measured(CLEAR, shared=learnt))
    assert outcome == "refused"
    assert "was trained on 1 of the images" in reason
    resembling = (SharedImage("AID", "000.png", NEW, "elsewhere.png", 3),)
    assert decided(measured(CLEAR, shared=resembling))[0] == "moved"


def test_a_metric_without_weights_decides_nothing() -> None:
    missing = MissingWeights("vgg16", "not in weights", "fetch vgg16", "metrics.weights=DIR", "leave it out")
    outcome, reason = decided(measured(CLEAR, gaps={"lpips": missing}), "lpips")
    assert outcome == "refused"
    assert "`fetch vgg16`" in reason


@pytest.mark.parametrize(("metric", "why"), [("fid", "one number of a whole set"), ("psnr", "not measured")])
def test_a_metric_that_cannot_decide_is_bad_input(metric: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"{why}.*psnr_y, lpips"):
        decided(measured(CLEAR), metric)


def test_datasets_are_pooled_by_image_and_each_place_is_told() -> None:
    """Better on the small one, worse on the large one: worse."""
    small = {f"{NEW} psnr_y": [22.0, 22.1], f"{OLD} psnr_y": [20.0, 20.0]}
    large = {f"{NEW} psnr_y": [19.0 + n / 100 for n in range(20)], f"{OLD} psnr_y": [20.0] * 20}
    places = {("AID", 2.0): small, ("AID", 4.0): small, ("DOTA", 2.0): large, ("DOTA", 4.0): large}
    decision = decide_promotion(made_result(places), "psnr_y", NEW, OLD)
    assert decision.outcome == "refused"
    assert decision.overall is not None
    assert decision.overall.num_images == 22
    assert [(part.dataset, part.scale, part.is_better) for part in decision.parts] == [
        ("AID", 2.0, True),
        ("AID", 4.0, True),
        ("DOTA", 2.0, False),
        ("DOTA", 4.0, False),
    ]
    assert [line.split(":")[0].strip() for line in decision.lines()[1:]] == ["AID x2", "AID x4", "DOTA x2", "DOTA x4"]


def settle(registry: Registry, result: EvaluationResult) -> tuple[str, Contenders, dict[str, str], Any]:
    contenders = find_contenders(registry.uri, registry.name)
    with registry.run("evaluation") as run:
        decision = promote(result, "psnr_y", contenders, registry.uri, run)
    tags = version_tags(registry.uri, contenders.candidate)
    return decision.outcome, contenders, tags, connect(registry.uri).get_run(run.run_id).data


def test_the_champion_moves_and_version_run_and_result_tell_why(registry: Registry) -> None:
    set_alias(registry.uri, registry.register("one"), "champion")
    registry.register("two")
    result = measured(CLEAR)
    outcome, contenders, tags, run = settle(registry, result)
    assert outcome == "moved"
    assert registry.champion() == 2
    assert [method.name for method in contending_methods(contenders)] == [NEW, OLD]
    assert [method.model for method in contending_methods(contenders)] == ["models:/model-x4/2", "models:/model-x4/1"]
    assert tags["rssr.champion.reason"] == result.promotion.splitlines()[0] == run.tags["rssr.promotion.reason"]
    assert tags["rssr.promotion.against"] == "models:/model-x4/1"
    assert tags["rssr.promotion.metric"] == "psnr_y"
    assert float(tags["rssr.promotion.difference"]) == pytest.approx(1.0)
    assert run.metrics["promotion/low"] > 0
    assert run.tags["rssr.promotion.outcome"] == "moved"
    assert "AID x4: PSNR (Y) +1 dB" in result.promotion


def test_a_refusal_leaves_the_alias_and_is_told_likewise(registry: Registry) -> None:
    set_alias(registry.uri, registry.register("one"), "champion")
    registry.register("two")
    result = measured(UNCLEAR)
    outcome, _, tags, run = settle(registry, result)
    assert outcome == "refused"
    assert registry.champion() == 1
    assert tags["rssr.promotion.outcome"] == run.tags["rssr.promotion.outcome"] == "refused"
    assert "not clearly better" in tags["rssr.champion.reason"]
    assert result.promotion


def test_where_there_is_no_champion_the_candidate_becomes_it(registry: Registry) -> None:
    registry.register("one")
    outcome, contenders, tags, _ = settle(registry, measured(UNCLEAR))
    assert outcome == "first"
    assert registry.champion() == 1
    assert [method.name for method in contending_methods(contenders)] == [NEW]
    assert "there was none" in tags["rssr.champion.reason"]


def test_a_champion_that_is_candidate_too_is_kept(registry: Registry) -> None:
    set_alias(registry.uri, registry.register("one"), "champion")
    outcome, contenders, tags, _ = settle(registry, measured(CLEAR))
    assert outcome == "kept"
    assert len(contending_methods(contenders)) == 1
    assert "rssr.promotion.outcome" not in tags


def test_a_champion_that_changed_meanwhile_is_not_replaced(registry: Registry) -> None:
    set_alias(registry.uri, registry.register("one"), "champion")
    registry.register("two")
    contenders = find_contenders(registry.uri, registry.name)
    third = registry.register("three")
    set_alias(registry.uri, third, "champion")
    with registry.run("evaluation") as run:
        decision = promote(measured(CLEAR), "psnr_y", contenders, registry.uri, run)
    assert decision.is_refused
    assert "models:/model-x4/3 is champion by now" in decision.reason
    assert registry.champion() == 3


def test_a_model_without_candidate_is_bad_input(registry: Registry) -> None:
    with pytest.raises(ModelError, match="nothing-here"):
        find_contenders(registry.uri, "nothing-here")
