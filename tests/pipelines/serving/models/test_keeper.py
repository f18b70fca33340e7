"""Which version is served: a new one only after its self-test, the old one whatever happens to the registry."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.models import ModelSource
from pipelines.serving.config import ModelConfig, SelfTestConfig
from pipelines.serving.models.keeper import Keeper, label_of, require_served
from pipelines.serving.models.records import ModelRecord, ModelRecords
from pipelines.serving.models.versions import VersionHolder
from pipelines.serving.problems import Problem
from pipelines.storage import open_store
from pipelines.tracking import ModelVersion, TrackingConfig, register_model, set_alias
from rssr.errors import ModelError
from tests.pipelines.registries import Registry
from tests.pipelines.serving.images import small_student
from tests.pipelines.serving.models.broken import broken

LENIENT = SelfTestConfig(min_psnr_db=None)  # of untrained networks
SOURCE = "models:/model-x4@champion"


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A store with two versions; the first is champion."""
    made = Registry(tmp_path / "registry")
    first = made.register("first")
    made.register("second")
    set_alias(made.uri, first, "champion")
    return made


@pytest.fixture
def records(tmp_path: Path) -> ModelRecords:
    return ModelRecords(open_store(str(tmp_path / "service")))


@pytest.fixture
def make_keeper(records: ModelRecords, registry: Registry) -> Callable[..., Keeper]:
    def make(source: str = SOURCE, config: SelfTestConfig = LENIENT, **values: Any) -> Keeper:
        models = [ModelConfig(name="some", source=source)]
        return Keeper(models, records, TrackingConfig(tracking_uri=registry.uri), config, **values)

    return make


def move(registry: Registry, version: int) -> None:
    set_alias(registry.uri, ModelVersion(registry.name, version, "", ""), "champion")


def version_of(record: ModelRecord) -> str:
    return require_served(record).name


def test_an_alias_that_moves_is_followed(make_keeper: Callable[..., Keeper], registry: Registry) -> None:
    told: list[tuple[str, str]] = []
    keeper = make_keeper(rolled_out=lambda name, outcome: told.append((name, outcome)))
    assert version_of(keeper.refresh()[0]) == "models:/model-x4/1"
    assert version_of(keeper.refresh()[0]) == "models:/model-x4/1"
    move(registry, 2)
    moved = keeper.refresh()[0]
    assert version_of(moved) == "models:/model-x4/2"
    assert moved.previous is not None and moved.previous.name == "models:/model-x4/1"
    assert keeper.refresh()[0].previous == moved.previous
    move(registry, 1)
    back = keeper.refresh()[0]
    assert version_of(back) == "models:/model-x4/1"
    assert back.previous == moved.version
    assert told == [("some", "served")] * 3


def test_a_version_that_fails_is_refused_once_and_the_old_one_stays(
    make_keeper: Callable[..., Keeper], registry: Registry, tmp_path: Path, records: ModelRecords
) -> None:
    told: list[str] = []
    keeper = make_keeper(rolled_out=lambda name, outcome: told.append(outcome))
    keeper.refresh()
    with registry.run("broken") as run:
        bad = register_model(broken(tmp_path / "broken"), registry.name, run)
    move(registry, bad.version)
    record = keeper.refresh()[0]
    assert version_of(record) == "models:/model-x4/1"
    assert record.rejected is not None
    assert record.rejected.name == bad.uri
    assert "NaN" in record.rejected.reason
    keeper.refresh()
    make_keeper(rolled_out=lambda name, outcome: told.append(outcome)).refresh()  # as after a restart
    assert told == ["served", "rejected"]
    assert records.read("some") == record
    move(registry, 2)
    assert keeper.refresh()[0].rejected is None


def test_a_registry_that_is_gone_changes_nothing(
    make_keeper: Callable[..., Keeper], registry: Registry, records: ModelRecords, cache: Path
) -> None:
    make_keeper().refresh()
    shutil.rmtree(registry.folder)
    shutil.rmtree(cache)
    record = make_keeper().refresh()[0]
    assert version_of(record) == "models:/model-x4/1"
    assert record.state == "ready"
    holder = VersionHolder(ModelConfig(name="some", source=SOURCE), records, "cpu")
    holder.wait(0)
    assert holder.served.label == "models:/model-x4/1"


def test_a_folder_is_looked_at_again_when_it_changes(make_keeper: Callable[..., Keeper], tmp_path: Path) -> None:
    folder = small_student(tmp_path / "student")
    keeper = make_keeper(source=str(folder))
    first = require_served(keeper.refresh()[0])
    assert first.label == f"student@{first.digest[:12]}"
    (folder / "notes.txt").write_text("other")
    second = require_served(keeper.refresh()[0])
    assert (second.name, second.digest != first.digest) == (first.name, True)


def test_another_source_by_the_same_name_forgets_what_was_served(make_keeper: Callable[..., Keeper]) -> None:
    make_keeper().refresh()
    assert version_of(make_keeper(source="bicubic").refresh()[0]) == "bicubic"
    record = make_keeper(source="models:/nothing@champion").refresh()[0]
    assert record.state == "failed"
    with pytest.raises(ModelError, match="No model 'nothing'"):
        require_served(record)


def test_what_is_told_of_a_model_comes_from_its_card(make_keeper: Callable[..., Keeper], tmp_path: Path) -> None:
    version = require_served(make_keeper(source=str(small_student(tmp_path / "student"))).refresh()[0])
    assert version.bands == ("red", "green", "blue")
    assert version.scales == (4.0, 4.0)
    assert version.licence == "CC0-1.0"
    assert version.card is not None and version.card["name"] == "tiny-student"


def test_folders_of_this_machine_are_not_told(make_keeper: Callable[..., Keeper], tmp_path: Path) -> None:
    record = make_keeper(source=str(broken(tmp_path / "broken"))).refresh()[0]
    assert record.rejected is not None
    assert str(tmp_path) not in record.rejected.reason + record.rejected.label


def holder_of(records: ModelRecords, source: str = SOURCE) -> VersionHolder:
    return VersionHolder(ModelConfig(name="some", source=source), records, "cpu")


def test_a_replica_changes_between_requests(
    make_keeper: Callable[..., Keeper], registry: Registry, records: ModelRecords
) -> None:
    keeper, holder = make_keeper(), holder_of(records)
    keeper.refresh()
    holder.wait(0)
    begun_with = holder.served
    assert not holder.look()
    move(registry, 2)
    keeper.refresh()
    assert holder.look()
    assert (begun_with.label, holder.served.label) == ("models:/model-x4/1", "models:/model-x4/2")
    holder.try_forward()


def test_a_replica_without_a_version_says_that_it_starts(records: ModelRecords) -> None:
    holder = holder_of(records)
    with pytest.raises(ModelError, match="No version of some was announced"):
        holder.wait(0)
    with pytest.raises(Problem) as raised:
        _ = holder.served
    assert raised.value.slug == "starting"


def test_a_version_that_does_not_run_on_a_replica_is_not_taken_over(
    make_keeper: Callable[..., Keeper], registry: Registry, records: ModelRecords, cache: Path
) -> None:
    keeper, holder = make_keeper(), holder_of(records)
    keeper.refresh()
    holder.wait(0)
    move(registry, 2)
    record = keeper.refresh()[0]
    shutil.rmtree(cache)
    for entry in records.output.list("models/copies"):
        if require_served(record).digest[:32] in entry.key:
            records.output.write_bytes(entry.key, b"damaged")
    assert holder.look()  # it looked, and kept what it has
    assert holder.served.label == "models:/model-x4/1"
    assert not holder.look()


def test_labels_of_registered_models_are_their_addresses() -> None:
    assert label_of(ModelSource("models:/ldcsr/3", "0123456789abcdef")) == "models:/ldcsr/3"
    assert label_of(ModelSource("bicubic")) == "bicubic"
    assert label_of(ModelSource("/data/some", "0123456789abcdef")) == "some@0123456789ab"
