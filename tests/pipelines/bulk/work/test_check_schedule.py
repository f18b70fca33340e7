"""Checks of a finished run, handed out in parts."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.bulk.work.check_schedule import CheckSchedule
from pipelines.bulk.work.tasks import CheckTask, Outcome
from tests.pipelines.bulk.made_scenes import made_check

_DONE = Outcome(1.0)


def _drain(schedule: CheckSchedule) -> list[CheckTask]:
    tasks = []
    while (task := schedule.next()) is not None:
        schedule.ended(task, _DONE)
        tasks.append(task)
    return tasks


def test_every_worker_has_something_to_check() -> None:
    tasks = _drain(CheckSchedule([made_check(f"s{number}") for number in range(40)], 5))
    assert [len(task.scenes) for task in tasks] == [2] * 20


def test_large_products_are_checked_one_by_one() -> None:
    scenes = [made_check(f"s{number}", 300 << 20) for number in range(100)]
    assert [len(task.scenes) for task in _drain(CheckSchedule(scenes, 1))] == [1] * 100


def test_nothing_is_left_of_an_empty_run() -> None:
    schedule = CheckSchedule([], 4)
    assert schedule.next() is None
    assert schedule.is_done


@given(
    num_scenes=st.integers(0, 300),
    num_workers=st.integers(1, 5),
    fates=st.lists(st.sampled_from(["done", "done", "died"]), max_size=60),
)
def test_every_scene_is_checked_once_whoever_dies(num_scenes: int, num_workers: int, fates: list[str]) -> None:
    schedule = CheckSchedule([made_check(f"s{number}") for number in range(num_scenes)], num_workers, 1000)
    checked, fate = list[str](), iter(fates)
    while not schedule.is_done:
        running = [task for task in (schedule.next() for _ in range(num_workers)) if task is not None]
        for task in reversed(running):
            if next(fate, "done") == "died":
                assert schedule.died(task, "killed") is None
            else:
                schedule.ended(task, _DONE)
                checked += [scene.name for scene in task.scenes]
    assert sorted(checked) == sorted(f"s{number}" for number in range(num_scenes))


def test_a_scene_over_which_workers_die_is_told() -> None:
    schedule = CheckSchedule([made_check("a")], 1, max_attempts=2)
    for expected in (None, (("a", ("It could not be checked: 2 workers died over it, the last: killed.",)),)):
        task = schedule.next()
        assert task is not None
        told = schedule.died(task, "killed")
        assert (None if told is None else told.found) == expected
    assert schedule.is_done
