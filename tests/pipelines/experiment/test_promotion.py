"""Which registered model is champion."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.promotion import promote
from pipelines.tracking.registry import version_tags
from tests.pipelines.registries import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def evaluation(values: Mapping[str, float], scales: tuple[float, ...] = (4.0,)) -> Evaluation:
    """PSNR of the model by image, 1 dB less at each further scale; another model is always far ahead."""
    rows: list[dict[str, float | str]] = []
    for number, scale in enumerate(scales):
        for key, value in values.items():
            rows += [
                {"key": key, "model": "student", "scale": scale, "psnr_y_db": value - number, "ssim_y": 0.5},
                {"key": key, "model": "bicubic", "scale": scale, "psnr_y_db": 99.0, "ssim_y": 0.5},
            ]
    return Evaluation(rows)


def test_the_first_that_is_evaluated_is_champion_and_says_why(registry: Registry) -> None:
    version = registry.register("one")
    assert registry.champion() is None
    assert promote(version, evaluation({"a": 24.0, "b": 25.0}, (2.0, 4.0)), "student", registry.uri)
    assert registry.champion() == 1
    tags = version_tags(registry.uri, version)
    assert tags["rssr.evaluation.psnr_db"] == "24.000000"
    assert "24.00 dB" in tags["rssr.champion.reason"]


@pytest.mark.parametrize("psnr", [30.0, 24.0, 20.0])
def test_training_never_replaces_a_champion_and_says_what_does(
    registry: Registry, psnr: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert promote(registry.register("one"), evaluation({"a": 24.0}), "student", registry.uri)
    second = registry.register("two")
    with caplog.at_level(logging.INFO):
        assert not promote(second, evaluation({"a": psnr}), "student", registry.uri)
    assert registry.champion() == 1
    assert "jobs/evaluate.py promote=true promotion.model=model-x4" in caplog.text
    tags = version_tags(registry.uri, second)
    assert float(tags["rssr.evaluation.psnr_db"]) == psnr
    assert "rssr.champion.reason" not in tags


def test_evaluating_the_champion_again_keeps_it(registry: Registry) -> None:
    version = registry.register("one")
    for psnr in (24.0, 23.0):
        assert promote(version, evaluation({"a": psnr}), "student", registry.uri)
    assert registry.champion() == 1
