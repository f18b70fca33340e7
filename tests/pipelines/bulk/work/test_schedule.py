from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipelines.bulk.work.schedule import KnownWindows, Schedule
from pipelines.bulk.work.tasks import Outcome, ProductTask, SceneTask, WindowTask
from tests.pipelines.bulk.made_scenes import made_scene

_DONE = Outcome(1.0)


def _drain(schedule: Schedule) -> list[SceneTask]:
    tasks = []
    while (task := schedule.next()) is not None:
        schedule.ended(task, _DONE)
        tasks.append(task)
    return tasks


def test_a_scene_of_one_window_is_one_task() -> None:
    assert _drain(Schedule([made_scene("a")])) == [ProductTask(made_scene("a"))]


def test_a_scene_of_which_nothing_is_kept_is_one_task() -> None:
    scene, begun = made_scene("a", 3), list[int]()
    schedule = Schedule([scene], begun=lambda _, done: begun.append(done), keeps_windows=False)
    assert _drain(schedule) == [ProductTask(scene)]
    assert begun == [0]
    assert schedule.is_done


def test_a_product_follows_its_windows_before_the_next_scene_is_begun() -> None:
    names = [
        (type(task).__name__, task.scene.name) for task in _drain(Schedule([made_scene("a", 2), made_scene("b", 2)]))
    ]
    window, product = "WindowTask", "ProductTask"
    assert names == [(window, "a"), (window, "a"), (product, "a"), (window, "b"), (window, "b"), (product, "b")]


def test_windows_that_are_kept_are_not_computed_again() -> None:
    scene = made_scene("a", 3)
    known = KnownWindows(frozenset(scene.windows[:2]))
    begun = []
    first, second = _drain(
        Schedule([scene], lambda _: known, begun=lambda scene, done: begun.append((scene.name, done)))
    )
    assert begun == [("a", 2)]
    assert first == WindowTask(scene, scene.windows[2])
    assert second == ProductTask(scene, (), 1.0)


def test_a_scene_whose_windows_are_all_kept_is_only_written() -> None:
    scene = made_scene("a", 3)
    known = KnownWindows(frozenset(scene.windows[:2]), {scene.windows[2]: "why"})
    assert _drain(Schedule([scene], lambda _: known)) == [ProductTask(scene, ((scene.windows[2], "why"),))]


def test_a_failed_window_is_told_to_the_product() -> None:
    scene = made_scene("a", 2)
    schedule = Schedule([scene])
    for reason in ("", "it is broken"):
        task = schedule.next()
        assert task is not None
        schedule.ended(task, Outcome(2.0, reason))
    assert schedule.next() == ProductTask(scene, ((scene.windows[1], "it is broken"),), 4.0)


def test_a_product_waits_for_windows_that_run_elsewhere() -> None:
    schedule = Schedule([made_scene("a", 2)])
    first, second = schedule.next(), schedule.next()
    assert first is not None
    assert second is not None
    assert schedule.next() is None
    assert not schedule.is_done
    schedule.ended(second, _DONE)
    assert schedule.next() is None
    schedule.ended(first, _DONE)
    assert isinstance(schedule.next(), ProductTask)


def test_the_task_of_a_dead_worker_is_handed_out_again() -> None:
    schedule = Schedule([made_scene("a")])
    task = schedule.next()
    assert task is not None
    assert schedule.died(task, "killed") is None
    assert schedule.next() == task


def test_a_window_that_kills_its_workers_fails_in_the_end() -> None:
    scene = made_scene("a", 2)
    schedule = Schedule([scene], max_attempts=2)
    for _ in range(2):
        task = schedule.next()
        assert task == WindowTask(scene, scene.windows[0])
        told = schedule.died(task, "killed")
    assert told is not None
    assert told.failure == "2 workers died over it, the last: killed"
    *_, product = _drain(schedule)
    assert product == ProductTask(scene, ((scene.windows[0], told.failure),), 1.0)
    assert schedule.is_done


def test_a_product_that_kills_its_workers_is_given_up() -> None:
    schedule = Schedule([made_scene("a")], max_attempts=1)
    task = schedule.next()
    assert task is not None
    told = schedule.died(task, "killed")
    assert told is not None
    assert told.failure
    assert schedule.is_done


@given(
    sizes=st.lists(st.integers(1, 5), max_size=6),
    num_workers=st.integers(1, 4),
    choices=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["done", "done", "failed", "died"])), max_size=200),
)
def test_every_window_is_done_once_and_every_scene_gets_one_product(
    sizes: list[int], num_workers: int, choices: list[tuple[int, str]]
) -> None:
    scenes = [made_scene(f"s{number}", size) for number, size in enumerate(sizes)]
    schedule = Schedule(scenes, max_attempts=1000)
    running: list[SceneTask] = []
    ended: Counter[tuple[str, str]] = Counter()
    windows_done: Counter[str] = Counter()
    fates = iter(choices)
    while not schedule.is_done:
        while len(running) < num_workers and (task := schedule.next()) is not None:
            if isinstance(task, ProductTask) and len(task.scene.windows) > 1:
                assert windows_done[task.scene.name] == len(task.scene.windows)
            running.append(task)
        which, fate = next(fates, (0, "done"))
        task = running.pop(which % len(running))
        if fate == "died":
            assert schedule.died(task, "killed") is None
            continue
        window = task.window if isinstance(task, WindowTask) else "product"
        windows_done[task.scene.name] += isinstance(task, WindowTask)
        schedule.ended(task, Outcome(1.0, "why" if fate == "failed" and isinstance(task, WindowTask) else ""))
        ended[task.scene.name, window] += 1
    assert set(ended.values()) <= {1}
    assert {name for name, window in ended if window == "product"} == {scene.name for scene in scenes}
    assert not running
