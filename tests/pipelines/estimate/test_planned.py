"""The run that is estimated."""

import datetime
from pathlib import Path

import pytest

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.planning.prepare import prepare_run
from pipelines.bulk.records import SceneRecord
from pipelines.estimate.planned import layers_of, planned_run, workload_of
from pipelines.storage import StorageSettings, open_store
from rssr.errors import ConfigError, DataError, ModelError
from tests.pipelines.estimate.small_scenes import small_config, write_scene


def test_scenes_are_planned_and_nothing_is_written(tmp_path: Path) -> None:
    write_scene(tmp_path / "in" / "a.tif")
    write_scene(tmp_path / "in" / "more" / "b.tif", (40, 90))
    (tmp_path / "in" / "c.tif").write_bytes(b"II*\x00 broken")
    config = small_config(tmp_path)
    run = planned_run(config)
    assert [scene.name for scene in run.runnable] == ["a", "more/b"]
    assert [scene.name for scene in run.refused] == ["c"]
    workload = workload_of(run, config)
    assert workload.num_windows == sum(len(scene.windows) for scene in run.runnable)
    assert sum(work.num_tiles for work, _ in workload.scenes) == sum(scene.num_tiles for scene in run.runnable)
    with run.opened(run.runnable[0]) as reader:
        assert reader.info.size == (150, 130)
    assert not (tmp_path / "out").exists()


def test_scenes_that_ask_for_the_same_are_counted(tmp_path: Path) -> None:
    for number in range(3):
        write_scene(tmp_path / "in" / f"{number}.tif")
    config = small_config(tmp_path)
    ((_, count),) = workload_of(planned_run(config), config).scenes
    assert count == 3


def test_finished_scenes_are_left_out(tmp_path: Path) -> None:
    for number in range(3):
        write_scene(tmp_path / "in" / f"{number}.tif")
    output = open_store(str(tmp_path / "out"))
    config, now = small_config(tmp_path), datetime.datetime.now(datetime.UTC)
    prepare_run(config, output, StorageSettings(), now, lambda done, total: None)
    for name, state in (("1", "done"), ("2", "failed")):
        Ledger(output).record(SceneRecord(name, state))  # type: ignore[arg-type]  # states are literals
    run = planned_run(config)
    assert [scene.name for scene in run.runnable] == ["0"]
    assert run.num_finished == 2
    assert planned_run(small_config(tmp_path, retry_failed=True)).num_finished == 1
    assert planned_run(small_config(tmp_path, fresh=True)).num_finished == 0


def test_sample_scenes_can_be_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(planned_run(small_config(tmp_path, input="sample")).runnable) == 4


def test_layers_are_those_of_the_products(tmp_path: Path) -> None:
    write_scene(tmp_path / "in" / "a.tif")
    config = small_config(tmp_path, products={"consistency": False}, tiling={"tile_size": 48, "color_match": "scene"})
    layers = layers_of(planned_run(config), config)
    assert (layers.tile_size, layers.consistency, layers.matches_scene) == (48, False, True)
    assert workload_of(planned_run(config), config).num_files == 4


def test_a_run_of_which_nothing_would_come_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError):
        planned_run(small_config(tmp_path))
    write_scene(tmp_path / "in" / "a.tif")
    with pytest.raises(ModelError):
        planned_run(small_config(tmp_path, products={"uncertainty": True}))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"no GPU to measure on.*plan\.rates"):
        planned_run(small_config(tmp_path, worker={"num_gpus": 1}))


def test_without_scenes_there_is_nothing_to_plan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give the scenes"):
        small_config(tmp_path, input=())
