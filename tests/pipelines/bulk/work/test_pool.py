"""Tasks done here and by actors that die."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pipelines.bulk.config import BulkWorkerConfig
from pipelines.bulk.work.check_schedule import CheckSchedule
from pipelines.bulk.work.pool import Crew, Work, run_here
from pipelines.bulk.work.schedule import Schedule
from pipelines.bulk.work.tasks import CheckTask, Outcome, ProductTask, SceneTask, Task
from rssr.errors import StorageError
from tests.pipelines.bulk.made_scenes import made_check, made_scene

_HALF = BulkWorkerConfig(num_cpus=0.5)


def _work(notes: Path, deadly: str, times: int) -> Work:
    """Notes every task that it begins; dies over one of them for some times."""

    def work(task: Task) -> Outcome:
        name = _name(task)
        begun = len(list(notes.glob(f"{name}.*")))
        (notes / f"{name}.{begun}").touch()
        if name == deadly and begun < times:
            os._exit(1)
        found = tuple((scene.name, ("seen",)) for scene in task.scenes) if isinstance(task, CheckTask) else ()
        return Outcome(1.0, found=found)

    return work


def _broken(reason: str) -> Work:
    def work(task: Task) -> Outcome:
        raise StorageError(reason, "Free some space.")

    return work


def _name(task: Task) -> str:
    if isinstance(task, CheckTask):
        return "+".join(scene.name for scene in task.scenes)
    return f"{task.scene.name}-{'product' if isinstance(task, ProductTask) else task.window}"


def _names(tasks: list[SceneTask]) -> list[str]:
    return sorted(_name(task) for task in tasks)


def _ended(schedule: Schedule, make_work: Callable[[], Work], num_workers: int) -> list[tuple[SceneTask, Outcome]]:
    with Crew(make_work, num_workers, _HALF) as crew:
        return [each for each in crew.run(schedule) if each]


def test_tasks_are_done_in_order_here(tmp_path: Path) -> None:
    scenes = [made_scene("a", 2), made_scene("b")]
    ended = [task for each in run_here(Schedule(scenes), _work(tmp_path, "", 0)) if each for task in each[:1]]
    assert [type(task).__name__ for task in ended] == ["WindowTask", "WindowTask", "ProductTask", "ProductTask"]


def test_actors_do_the_same_and_what_a_dead_one_left_is_done_again(tmp_path: Path, ray_cluster: str) -> None:
    scenes = [made_scene("a", 4), *(made_scene(f"s{number}") for number in range(4))]
    schedule = Schedule(scenes)
    make_work = partial(_work, tmp_path, "a-r0002c0000", 1)
    ended = [task for task, _ in _ended(schedule, make_work, 2)]
    products = [f"{scene.name}-product" for scene in scenes]
    assert _names(ended) == sorted([*products, *(f"a-{window}" for window in scenes[0].windows)])
    assert len(list(tmp_path.glob("a-r0002c0000.*"))) == 2
    assert len(list(tmp_path.iterdir())) == len(ended) + 1
    assert schedule.is_done


def test_a_task_that_kills_every_actor_is_given_up(tmp_path: Path, ray_cluster: str) -> None:
    schedule = Schedule([made_scene("a"), made_scene("b")], max_attempts=2)
    make_work = partial(_work, tmp_path, "a-product", 99)
    outcomes = {task.scene.name: outcome for task, outcome in _ended(schedule, make_work, 1)}
    assert outcomes["a"].failure.startswith("2 workers died over it")
    assert outcomes["b"] == Outcome(1.0)


def test_what_ends_the_run_comes_back_as_it_was_raised(ray_cluster: str) -> None:
    with pytest.raises(StorageError) as raised:
        _ended(Schedule([made_scene("a")]), partial(_broken, "The disk is full."), 1)
    assert raised.value.problem == "The disk is full."
    assert raised.value.remedy == "Free some space."


def test_one_crew_does_one_agenda_after_another_and_a_dead_actor_harms_no_check(
    tmp_path: Path, ray_cluster: str
) -> None:
    checks = [made_check(f"s{number}") for number in range(10)]
    deadly = CheckSchedule(checks, 1).next()
    assert deadly is not None and len(deadly.scenes) > 1
    with Crew(partial(_work, tmp_path, _name(deadly), 99), 1, _HALF) as crew:
        made = [each for each in crew.run(Schedule([made_scene("a")])) if each]
        checked = [each for each in crew.run(CheckSchedule(checks, 1)) if each]
    assert len(made) == 1
    found = sorted(found for _, outcome in checked for found in outcome.found)
    assert found == sorted((check.name, ("seen",)) for check in checks)


def test_a_product_over_which_every_actor_dies_is_a_problem_of_its_own(tmp_path: Path, ray_cluster: str) -> None:
    agenda = CheckSchedule([made_check("a"), made_check("b")], 2, max_attempts=2)
    with Crew(partial(_work, tmp_path, "a", 99), 1, _HALF) as crew:
        found = dict(one for each in crew.run(agenda) if each for one in each[1].found)
    assert found["b"] == ("seen",)
    assert found["a"][0].startswith("It could not be checked: 2 workers died over it")
