"""A run begins once, goes on as it began, takes new scenes in, and never mixes old ones with changed ones."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.bulk.planning.identity import begun_run
from pipelines.bulk.planning.plan_files import plan_key, plan_numbers, read_plan, write_plan
from pipelines.bulk.planning.prepare import PreparedRun, extended_plan, prepare_run
from pipelines.bulk.records import InputScene, PlannedScene
from rssr.errors import ConfigError, DataError, UserError
from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder
from tests.pipelines.bulk.imagery import NOW, Place, png, tif


def prepare(place: Place, **values: Any) -> PreparedRun:
    writes = values.pop("writes", True)
    config = place.config(**values)
    return prepare_run(config, place.output, place.settings, NOW, lambda done, number: None, writes=writes)


def test_a_run_begins_with_its_record_and_its_plan(place: Place) -> None:
    place.put("x/a.tif", tif())
    place.put("b.png", png()[:90])
    run = prepare(place)
    assert run.identity == begun_run(place.output)
    assert run.plan.scenes == tuple(read_plan(place.output))
    assert [one.name for one in run.plan.refused] == ["b"]
    assert run.plan.added == ("b", "x/a")
    assert place.output.exists(plan_key(0))


def test_the_same_command_plans_nothing_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("a.tif", tif())
    first = prepare(place)
    opened: list[str] = []
    monkeypatch.setattr(
        "pipelines.bulk.planning.scenes.opened_scene", lambda scene, *rest, **more: opened.append(scene.name)
    )
    again = prepare(place)
    assert opened == []
    assert (again.identity, again.plan.scenes) == (first.identity, first.plan.scenes)
    assert (again.plan.added, again.plan.changed) == ((), ())
    assert plan_numbers(place.output) == [0]


def test_new_scenes_are_added_in_a_file_of_their_own(place: Place) -> None:
    place.put("b.tif", tif())
    prepare(place)
    place.put("a.tif", tif())
    place.put("b.png", png())
    run = prepare(place)
    assert plan_numbers(place.output) == [0, 1]
    assert [one.name for one in run.plan.scenes][:2] == ["b", "a"]
    assert run.plan.scenes[2].name.startswith("b_png_")
    assert read_plan(place.output) == list(run.plan.scenes)


def test_a_scene_that_changed_is_told_and_not_planned_again(place: Place) -> None:
    place.put("a.tif", tif())
    place.put("b.tif", tif())
    before = prepare(place).plan.scenes
    place.put("a.tif", tif(size=(40, 40)))
    run = prepare(place)
    assert run.plan.changed == ("a",)
    assert "has changed since it was planned" in run.plan.scenes[0].refusal
    assert run.plan.scenes[1] == before[1]
    assert plan_numbers(place.output) == [0]
    place.put("a.tif", tif())
    if place.output.uri.startswith("s3://"):  # servers know content; a file system knows times
        assert prepare(place).plan.changed == ()


def test_refused_scenes_are_planned_again_when_they_change_or_somebody_asks(local: Place) -> None:
    local.put("a.tif", tif())
    local.put("b.png", b"")
    assert [bool(one.refusal) for one in prepare(local).plan.scenes] == [False, True]
    assert prepare(local).plan.added == ()
    assert prepare(local, retry_failed=True).plan.added == ("b",)
    local.put("b.png", png())
    run = prepare(local)
    assert (run.plan.added, run.plan.refused) == (("b",), ())
    assert [one.name for one in read_plan(local.output)] == ["a", "b"]


def test_scenes_that_are_gone_stay_planned(local: Place) -> None:
    for name in ("a", "b"):
        local.put(f"{name}.tif", tif())
    prepare(local)
    local.store.delete("a.tif")
    assert [one.name for one in prepare(local).plan.scenes] == ["a", "b"]


def test_nothing_is_written_when_not_one_scene_can_be_run(local: Place, tmp_path: Path) -> None:
    """So that the corrected command is not taken for another run."""
    local.put("a.tif", b"")
    with pytest.raises(DataError, match=r"None of the 1 scenes can be run\. 1 \(e\.g\. a\)"):
        prepare(local)
    assert local.output.list() == []


def test_an_estimate_writes_nothing(local: Place) -> None:
    local.put("a.tif", tif())
    assert [one.name for one in prepare(local, writes=False).plan.scenes] == ["a"]
    assert local.output.list() == []


def test_another_configuration_is_refused_before_scenes_are_looked_at(local: Place) -> None:
    local.put("a.tif", tif())
    prepare(local)
    with pytest.raises(ConfigError, match=r"scale 2\.0 there, 3\.0 now"):
        prepare(local, scale=3, input="/gone")


def test_a_fresh_run_forgets_the_old_one_and_its_names(local: Place) -> None:
    local.put("a.tif", tif())
    prepare(local)
    for key in ("a.tif", "_work/a/r0000c0000", "_run/ledger/a.json"):
        local.output.write_bytes(key, b"old")
    local.put("a.png", png())
    run = prepare(local, scale=3, fresh=True)
    assert [one.name[:6] for one in run.plan.scenes] == ["a_png_", "a_tif_"]
    kept = {entry.key for entry in local.output.list()}
    assert kept == {"_run/run.json", plan_key(0)}


def test_a_fresh_run_that_cannot_begin_forgets_nothing(local: Place) -> None:
    local.put("a.tif", tif())
    prepare(local)
    for wrong in ({"model": "no-such-model"}, {"input": "/gone"}, {"scale": 99, "model": "no-such-model"}):
        with pytest.raises(UserError):
            prepare(local, fresh=True, **wrong)
    assert begun_run(local.output) is not None
    assert len(read_plan(local.output)) == 1


def test_the_model_goes_into_the_output(local: Place, tmp_path: Path) -> None:
    save_model_folder(tmp_path / "some", "bicubic", {}, create_model("bicubic"), None)
    local.put("a.tif", tif())
    run = prepare(local, model=str(tmp_path / "some"))
    assert run.identity.model_digest == run.model.digest != ""
    assert local.output.exists(f"_run/model/{run.model.digest[:32]}/config.json")


def test_two_drivers_at_once_plan_each_scene_once(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another driver with the same command, and one more scene, writes its plan just before ours."""
    local.put("a.tif", tif())
    local.put("b.tif", tif())
    rehearsed = prepare(local, writes=False).plan.scenes
    other = PlannedScene(InputScene("c", "/elsewhere", "c.tif", "raster", 1, "v"))
    original, lost = write_plan, []

    def late(store: Any, number: int, scenes: Any) -> bool:
        if not lost:
            lost.append(original(store, number, [rehearsed[0], other]))
        return original(store, number, scenes)

    monkeypatch.setattr("pipelines.bulk.planning.prepare.write_plan", late)
    prepare(local)
    assert plan_numbers(local.output) == [0, 1]
    assert [one.name for one in read_plan(local.output)] == ["a", "c", "b"]


def test_extending_a_large_plan_takes_time_in_proportion(local: Place) -> None:
    known = [PlannedScene(InputScene(f"{number}", "/in", f"{number}", "raster", 1, "v")) for number in range(100_000)]
    scenes = [one.scene for one in known] + [InputScene("new", "/in", "new", "raster", 1, "v")]
    plan = extended_plan(known, scenes, local.config(), lambda new: [PlannedScene(scene) for scene in new])
    assert plan.added == ("new",)
    assert len(plan.scenes) == 100_001
