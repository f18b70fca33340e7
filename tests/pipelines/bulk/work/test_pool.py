"""Tasks done here and by actors that die."""

import os
from functools import partial
from pathlib import Path

import pytest

from pipelines.bulk.config import BulkWorkerConfig
from pipelines.bulk.work.pool import Work, run_here, run_on_ray
from pipelines.bulk.work.schedule import Schedule
from pipelines.bulk.work.tasks import Outcome, ProductTask, Task
from rssr.errors import StorageError
from tests.pipelines.bulk.made_scenes import made_scene

_HALF = BulkWorkerConfig(num_cpus=0.5)


def _work(notes: Path, deadly: str, times: int) -> Work:
    """Notes every task that it begins; dies over one of them for some times."""

    def work(task: Task) -> Outcome:
        name = f"{task.scene.name}-{'product' if isinstance(task, ProductTask) else task.window}"
        begun = len(list(notes.glob(f"{name}.*")))
        (notes / f"{name}.{begun}").touch()
        if name == deadly and begun < times:
            os._exit(1)
        return Outcome(1.0)

    return work


def _broken(reason: str) -> Work:
    def work(task: Task) -> Outcome:
        raise StorageError(reason, "Free some space.")

    return work


def _names(tasks: list[Task]) -> list[str]:
    return sorted(f"{task.scene.name}-{'product' if isinstance(task, ProductTask) else task.window}" for task in tasks)


def test_tasks_are_done_in_order_here(tmp_path: Path) -> None:
    scenes = [made_scene("a", 2), made_scene("b")]
    ended = [task for each in run_here(Schedule(scenes), _work(tmp_path, "", 0)) if each for task in each[:1]]
    assert [type(task).__name__ for task in ended] == ["WindowTask", "WindowTask", "ProductTask", "ProductTask"]


def test_actors_do_the_same_and_what_a_dead_one_left_is_done_again(tmp_path: Path, ray_cluster: str) -> None:
    scenes = [made_scene("a", 4), *(made_scene(f"s{number}") for number in range(4))]
    schedule = Schedule(scenes)
    make_work = partial(_work, tmp_path, "a-r0002c0000", 1)
    ended = [each[0] for each in run_on_ray(schedule, make_work, 2, _HALF) if each]
    products = [f"{scene.name}-product" for scene in scenes]
    assert _names(ended) == sorted([*products, *(f"a-{window}" for window in scenes[0].windows)])
    assert len(list(tmp_path.glob("a-r0002c0000.*"))) == 2
    assert len(list(tmp_path.iterdir())) == len(ended) + 1
    assert schedule.is_done


def test_a_task_that_kills_every_actor_is_given_up(tmp_path: Path, ray_cluster: str) -> None:
    schedule = Schedule([made_scene("a"), made_scene("b")], max_attempts=2)
    make_work = partial(_work, tmp_path, "a-product", 99)
    outcomes = {each[0].scene.name: each[1] for each in run_on_ray(schedule, make_work, 1, _HALF) if each}
    assert outcomes["a"].failure.startswith("2 workers died over it")
    assert outcomes["b"] == Outcome(1.0)


def test_what_ends_the_run_comes_back_as_it_was_raised(ray_cluster: str) -> None:
    with pytest.raises(StorageError) as raised:
        list(run_on_ray(Schedule([made_scene("a")]), partial(_broken, "The disk is full."), 1, _HALF))
    assert raised.value.problem == "The disk is full."
    assert raised.value.remedy == "Free some space."
