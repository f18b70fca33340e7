"""The model of a run: names, folders and registered versions, the same for every worker and every later run."""

import pickle
import shutil
from pathlib import Path

import pytest

from pipelines.bulk.planning.identity import run_identity
from pipelines.bulk.planning.models import MODEL_FOLDER, find_model, store_model
from pipelines.bulk.records import RunIdentity
from pipelines.models import ModelSource
from pipelines.tracking import TrackingError, set_alias
from pipelines.tracking.registry import folder_digest
from rssr.errors import ModelError, UserError
from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder
from tests.pipelines.bulk.imagery import NOW, Place
from tests.pipelines.registries import Registry


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder."""
    path = tmp_path / "models" / "some"
    save_model_folder(path, "bicubic", {}, create_model("bicubic"), None, {"notes.txt": b"first"})
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A store with two versions; the first is champion."""
    made = Registry(tmp_path / "registry")
    first = made.register("first")
    made.register("second")
    set_alias(made.uri, first, "champion")
    return made


def forget_everything_here(source: ModelSource, cache: Path) -> ModelSource:
    """As the source arrives on another machine."""
    shutil.rmtree(cache, ignore_errors=True)
    if source.folder:
        shutil.rmtree(source.folder, ignore_errors=True)
    return pickle.loads(pickle.dumps(source))


def begun(place: Place, source: ModelSource) -> RunIdentity:
    store_model(source, place.output)
    return run_identity(place.config(), source, NOW)


def test_bicubic_needs_nothing(local: Place) -> None:
    source = find_model(local.config(), local.output, None, None)
    assert source == ModelSource("bicubic")
    store_model(source, local.output)
    assert local.output.list() == []
    assert source.load().name == "bicubic"


def test_a_folder_goes_into_the_output_and_loads_elsewhere(place: Place, folder: Path, cache: Path) -> None:
    digest = folder_digest(folder)
    source = find_model(place.config(model=str(folder)), place.output, None, place.settings)
    assert (source.name, source.digest) == (str(folder), digest)
    store_model(source, place.output)
    elsewhere = forget_everything_here(source, cache)
    assert elsewhere.load().name == "bicubic"
    assert folder_digest(cache / "rssr" / "models" / digest) == digest


def test_a_process_loads_a_model_once(local: Place, folder: Path) -> None:
    source = find_model(local.config(model=str(folder)), local.output, None, None)
    assert source.load() is pickle.loads(pickle.dumps(source)).load()


def test_a_folder_that_changed_meanwhile_is_not_taken_for_the_copy(local: Place, folder: Path, cache: Path) -> None:
    source = find_model(local.config(model=str(folder)), local.output, None, None)
    store_model(source, local.output)
    (folder / "notes.txt").write_text("second")
    source.load()
    assert (cache / "rssr" / "models" / source.digest / "notes.txt").read_text() == "first"


def test_a_copy_that_broke_off_is_completed(local: Place, folder: Path) -> None:
    source = find_model(local.config(model=str(folder)), local.output, None, None)
    store_model(source, local.output)
    (lost,) = [entry.key for entry in local.output.list(MODEL_FOLDER) if entry.key.endswith("safetensors")]
    local.output.delete(lost)
    store_model(source, local.output)
    assert local.output.exists(lost)


def test_a_damaged_copy_is_refused_and_leaves_nothing(local: Place, folder: Path, cache: Path) -> None:
    source = find_model(local.config(model=str(folder)), local.output, None, None)
    store_model(source, local.output)
    local.output.write_bytes(f"{MODEL_FOLDER}/{source.digest[:32]}/notes.txt", b"other")
    with pytest.raises(ModelError, match=r"The copy of .* is damaged"):
        forget_everything_here(source, cache).load()
    assert not (cache / "rssr" / "models" / source.digest).exists()


def test_models_come_from_object_storage(bucket: Place, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.settings.environment().items():
        monkeypatch.setenv(name, value)
    uri = bucket.put_folder(folder, "models/some")
    source = find_model(bucket.config(model=uri), bucket.output, None, bucket.settings)
    assert (source.name, source.digest) == (uri, folder_digest(folder))


def test_an_alias_becomes_the_version_it_means(local: Place, registry: Registry) -> None:
    config = local.config(model="models:/model-x4@champion", mlflow={"tracking_uri": registry.uri})
    source = find_model(config, local.output, None, None)
    assert source.name == "models:/model-x4/1"
    assert folder_digest(Path(source.folder)) == source.digest


def test_a_run_goes_on_with_the_version_it_began_with(
    local: Place, registry: Registry, cache: Path, tmp_path: Path
) -> None:
    config = local.config(model="models:/model-x4@candidate", mlflow={"tracking_uri": registry.uri})
    source = find_model(config, local.output, None, None)
    run = begun(local, source)
    registry.register("third")
    assert find_model(config, local.output, None, None).name == "models:/model-x4/3"
    again = find_model(config, local.output, run, None)
    assert (again.name, again.digest) == ("models:/model-x4/2", source.digest)
    shutil.rmtree(registry.folder)
    forget_everything_here(source, cache)
    assert find_model(config, local.output, run, None).load().name == "bicubic"


def test_another_version_that_is_asked_for_is_not_the_one_of_the_run(local: Place, registry: Registry) -> None:
    values = {"mlflow": {"tracking_uri": registry.uri}}
    run = begun(local, find_model(local.config(model="models:/model-x4/1", **values), local.output, None, None))
    asked = find_model(local.config(model="models:/model-x4/2", **values), local.output, run, None)
    assert asked.name == "models:/model-x4/2"


def test_the_environment_tells_where_models_are_registered(
    local: Place, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    config = local.config(model="models:/model-x4@champion")
    assert find_model(config, local.output, None, None).name == "models:/model-x4/1"


def test_by_default_models_are_looked_for_where_jobs_keep_them(
    local: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = local.config(model="models:/model-x4@candidate")
    with pytest.raises(
        TrackingError, match=r"no MLflow database at .*looked for in sqlite:.*/runs/mlflow\.db.*Set mlflow"
    ):
        find_model(config, local.output, None, None)
    Registry(tmp_path / "runs").register("first")
    assert find_model(config, local.output, None, None).name == "models:/model-x4/1"
    with pytest.raises(ModelError, match=r"No model 'other'.*looked for in"):
        find_model(local.config(model="models:/other@champion"), local.output, None, None)


@pytest.mark.parametrize("model", ["nothing-of-this-name", "models:/no/such/thing", "gopher://x/y"])
def test_models_that_are_not_there_are_told(local: Place, model: str, registry: Registry) -> None:
    with pytest.raises(UserError):
        find_model(local.config(model=model, mlflow={"tracking_uri": registry.uri}), local.output, None, None)
