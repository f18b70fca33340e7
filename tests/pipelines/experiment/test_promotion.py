"""Which registered model is champion."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.config import JobConfig
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


def config(**values: object) -> JobConfig:
    data = {"uri": "sample", "scale": 4, "degradation": "bicubic"}
    return JobConfig.model_validate({"data": data, "registry": {"name": "model-x4"}, **values})


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
    assert promote(config(), version, evaluation({"a": 24.0, "b": 25.0}, (2.0, 4.0)), "student", registry.uri)
    assert registry.champion() == 1
    assert version_tags(registry.uri, version)["rssr.evaluation.psnr_db"] == "24.000000"


@pytest.mark.parametrize(("psnr", "champion"), [(24.2, 2), (24.0, 1), (23.9, 1)])
def test_a_better_one_on_the_same_images_takes_over(registry: Registry, psnr: float, champion: int) -> None:
    assert promote(config(), registry.register("one"), evaluation({"a": 24.0}), "student", registry.uri)
    promoted = promote(config(), registry.register("two"), evaluation({"a": psnr}), "student", registry.uri)
    assert promoted == (champion == 2)
    assert registry.champion() == champion


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (config(), evaluation({"other": 30.0})),
        (config(), evaluation({"a": 30.0}, (2.0, 4.0))),
        (config(evaluation={"border": 8}), evaluation({"a": 30.0})),
        (config(data={"uri": "sample", "scale": 4, "degradation": "slimdiffsr"}), evaluation({"a": 30.0})),
    ],
    ids=["images", "scales", "border", "degradation"],
)
def test_what_was_measured_otherwise_does_not_take_over_and_says_so(
    registry: Registry, changed: JobConfig, found: Evaluation, caplog: pytest.LogCaptureFixture
) -> None:
    assert promote(config(), registry.register("one"), evaluation({"a": 24.0}), "student", registry.uri)
    with caplog.at_level(logging.WARNING):
        assert not promote(changed, registry.register("two"), found, "student", registry.uri)
    assert registry.champion() == 1
    assert "models:/model-x4/1 stays champion" in caplog.text


def test_evaluating_the_champion_again_keeps_it(registry: Registry) -> None:
    version = registry.register("one")
    for psnr in (24.0, 23.0):
        assert promote(config(), version, evaluation({"a": psnr}), "student", registry.uri)
    assert registry.champion() == 1
