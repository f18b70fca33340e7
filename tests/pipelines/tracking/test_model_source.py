from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rssr
from pipelines.tracking import (
    ModelVersion,
    Run,
    TrackingConfig,
    TrackingError,
    fetch_registered_model,
    open_tracker,
    register_model,
    set_alias,
    use_tracking,
)
from pipelines.tracking.registry import folder_digest
from rssr.errors import ModelError


@pytest.fixture
def registered(run: Run, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[ModelVersion]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", run.tracking_uri)
    versions = [register_model(make_model(note), "model-x4", run) for note in ("one", "two")]
    set_alias(run.tracking_uri, versions[0], "champion")
    return versions


@pytest.mark.parametrize(("uri", "index"), [("@champion", 0), ("@candidate", 1), ("/1", 0), ("/2", 1)])
def test_uris_give_folders_with_the_registered_content(registered: list[ModelVersion], uri: str, index: int) -> None:
    folder = fetch_registered_model(f"models:/model-x4{uri}")
    assert folder_digest(folder) == registered[index].digest
    assert (folder / "config.json").is_file()


def test_rssr_loads_models_by_uri(registered: list[ModelVersion]) -> None:
    model = rssr.load_model("models:/model-x4@champion")
    image = np.zeros((20, 24, 3), np.uint8)
    assert rssr.super_resolve(image, model, 2).shape == (40, 48, 3)


def test_a_fetched_folder_is_not_fetched_again(registered: list[ModelVersion], output: Path) -> None:
    folder = fetch_registered_model("models:/model-x4@champion")
    before = (folder / "config.json").stat()
    for path in (output / "mlflow-artifacts").rglob("model.safetensors"):
        path.unlink()
    assert fetch_registered_model("models:/model-x4/1") == folder
    assert (folder / "config.json").stat() == before


def test_damaged_content_is_refused_and_leaves_nothing(
    registered: list[ModelVersion], output: Path, tmp_path: Path
) -> None:
    for path in (output / "mlflow-artifacts").rglob("config.json"):
        path.write_text("{}")
    with pytest.raises(ModelError, match="damaged"):
        fetch_registered_model("models:/model-x4@champion")
    assert list((tmp_path / "cache" / "rssr" / "models").iterdir()) == []


def test_missing_content_is_told(registered: list[ModelVersion], output: Path) -> None:
    for path in (output / "mlflow-artifacts").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises((TrackingError, ModelError), match="models:/model-x4/1"):
        fetch_registered_model("models:/model-x4@champion")


@pytest.mark.parametrize("uri", ["models:/model-x4", "models:/@champion", "models:/a/b/c", "models:/a@b@c", "s3://a/b"])
def test_malformed_uris_are_refused(uri: str) -> None:
    with pytest.raises(ModelError, match="Write models:/NAME@ALIAS"):
        fetch_registered_model(uri)


def test_without_a_store_the_variable_to_set_is_named() -> None:
    with pytest.raises(TrackingError, match="Set MLFLOW_TRACKING_URI"):
        fetch_registered_model("models:/model-x4@champion")


def test_models_come_from_object_storage(
    s3_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    s3_server.use(monkeypatch)
    tracker = open_tracker(TrackingConfig(system_metrics=False), f"{s3_server.make_bucket()}/runs")
    version = register_model(make_model(), "model-x4", tracker.open_run("key", "name"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "replaced below")
    use_tracking(tracker.tracking_uri)
    assert folder_digest(fetch_registered_model("models:/model-x4@candidate")) == version.digest


def test_models_come_from_a_server(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    run = open_tracker(TrackingConfig(system_metrics=False), str(tmp_path)).open_run("source", "name")
    version = register_model(make_model("from a server"), "source-x4", run)
    assert folder_digest(fetch_registered_model("models:/source-x4@candidate")) == version.digest
