"""Which registered model is champion."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.promotion import promote
from pipelines.tracking import ModelVersion, TrackingConfig, open_tracker, register_model
from pipelines.tracking.registry import find_alias, version_tags
from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder
from tests.jobs.running import with_store


class Registry:
    """A store in which models of one name are registered and evaluated."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tracker = open_tracker(TrackingConfig(system_metrics=False), str(with_store(folder)))
        self.uri = self._tracker.tracking_uri

    def register(self, note: str) -> ModelVersion:
        folder = self.folder / note
        save_model_folder(folder, "bicubic", {}, create_model("bicubic"), None, {"notes.txt": note.encode()})
        with self._tracker.open_run(note, note) as run:
            return register_model(folder, "model-x4", run)

    def champion(self) -> int | None:
        found = find_alias(self.uri, "model-x4", "champion")
        return None if found is None else found.version


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
