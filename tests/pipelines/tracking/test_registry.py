import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from pipelines.tracking import Run, Tracker, TrackingConfig, find_model_version, open_tracker, register_model, set_alias
from pipelines.tracking.registry import find_alias, folder_digest, tag_version, version_tags
from rssr.errors import ModelError


def version_of(run: Run, alias: str) -> int:
    return find_model_version(run.tracking_uri, "model-x4", alias).version


def test_a_version_is_candidate_and_nothing_more(run: Run, make_model: Callable[..., Path]) -> None:
    version = register_model(make_model(), "model-x4", run, {"scale": "4"}, "A model.")
    assert (version.version, version.run_id, version.uri) == (1, run.run_id, "models:/model-x4/1")
    assert version.digest == folder_digest(make_model())
    assert version_of(run, "candidate") == 1
    assert find_alias(run.tracking_uri, "model-x4", "champion") is None


def test_later_versions_become_candidate_and_the_champion_stays(run: Run, make_model: Callable[..., Path]) -> None:
    first = register_model(make_model("one"), "model-x4", run)
    set_alias(run.tracking_uri, first, "champion")
    assert register_model(make_model("two"), "model-x4", run).version == 2
    assert (version_of(run, "candidate"), version_of(run, "champion")) == (2, 1)


def test_tags_of_a_version_can_be_set_and_read(run: Run, make_model: Callable[..., Path]) -> None:
    version = register_model(make_model(), "model-x4", run, {"scale": "4"})
    tag_version(run.tracking_uri, version, {"psnr": "24.1"})
    tag_version(run.tracking_uri, version, {"psnr": "24.2"})
    assert version_tags(run.tracking_uri, version).items() >= {"scale": "4", "psnr": "24.2"}.items()


def test_the_same_content_stays_the_same_version(run: Run, make_model: Callable[..., Path]) -> None:
    first = register_model(make_model("one", "here"), "model-x4", run)
    register_model(make_model("two"), "model-x4", run)
    assert register_model(make_model("one", "there"), "model-x4", run) == first
    assert version_of(run, "candidate") == 1


def test_an_alias_can_be_moved(run: Run, make_model: Callable[..., Path]) -> None:
    register_model(make_model("one"), "model-x4", run)
    second = register_model(make_model("two"), "model-x4", run)
    set_alias(run.tracking_uri, second, "champion")
    assert version_of(run, "champion") == 2


def test_tags_and_description_are_kept(run: Run, tracker: Tracker, make_model: Callable[..., Path]) -> None:
    register_model(make_model(), "model-x4", run, {"scale": "4"}, "A model.")
    kept = tracker.client.get_model_version("model-x4", "1")
    assert kept.tags["scale"] == "4" and kept.description == "A model."


def test_nothing_is_pickled(run: Run, output: Path, make_model: Callable[..., Path]) -> None:
    register_model(make_model(), "model-x4", run)
    names = {path.name for path in (output / "mlflow-artifacts").rglob("*") if path.is_file()}
    assert {"MLmodel", "served_model.py", "config.json", "model.safetensors"} <= names
    assert not {name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth"))}


def test_requirements_name_no_package_that_a_stranger_may_own(
    run: Run, output: Path, make_model: Callable[..., Path]
) -> None:
    register_model(make_model(), "model-x4", run)
    (path,) = (output / "mlflow-artifacts").rglob("requirements.txt")
    assert "rssr" not in path.read_text()


def test_an_example_of_what_the_model_takes_comes_with_it(
    run: Run, output: Path, make_model: Callable[..., Path]
) -> None:
    version = register_model(make_model(), "model-x4", run)
    (folder,) = (path.parent for path in (output / "mlflow-artifacts").rglob("MLmodel"))
    example = mlflow.models.Model.load(str(folder)).load_input_example(str(folder))
    assert (example.shape, example.dtype) == ((1, 16, 16, 3), np.uint8)
    served = mlflow.pyfunc.load_model(str(folder))
    assert served.predict(example, params={"scale": 2.0}).shape == (1, 32, 32, 3)
    assert version.version == 1


def test_a_folder_without_a_model_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"lacks config\.json"):
        register_model(tmp_path, "model-x4", run)


@pytest.mark.parametrize("wanted", ["nobody", 7])
def test_unknown_versions_are_reported_with_what_there_is(
    run: Run, make_model: Callable[..., Path], wanted: str | int
) -> None:
    register_model(make_model(), "model-x4", run)
    for name in ("model-x4", "other"):
        with pytest.raises(ModelError, match=r"Registered are: model-x4\."):
            find_model_version(run.tracking_uri, name, wanted)


def test_registering_quietly(
    run: Run,
    make_model: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    capfd.readouterr()
    with caplog.at_level(logging.WARNING, logger="pipelines"):  # our own line is not the noise that is meant
        register_model(make_model(), "model-x4", run)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn if "mlflow" in str(warning.filename)] == []


def test_digest_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    def make(name: str, files: dict[str, bytes]) -> str:
        folder = tmp_path / name
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder_digest(folder)

    digest = make("one", {"a": b"1", "b/c": b"2"})
    assert make("two", {"b/c": b"2", "a": b"1"}) == digest
    others = [{"a": b"1", "b/c": b"3"}, {"a": b"1", "b/d": b"2"}, {"a": b"1"}, {"a": b"12", "b/c": b""}]
    assert len({make(f"other{i}", files) for i, files in enumerate(others)} | {digest}) == 5


def test_registration_works_through_a_server(server: Any, tmp_path: Path, make_model: Callable[..., Path]) -> None:
    tracker = open_tracker(TrackingConfig(tracking_uri=server.uri, system_metrics=False), str(tmp_path))
    run = tracker.open_run("registering", "name")
    version = register_model(make_model(), "served-x4", run)
    assert register_model(make_model(), "served-x4", run) == version
    assert find_model_version(server.uri, "served-x4", "candidate") == version
