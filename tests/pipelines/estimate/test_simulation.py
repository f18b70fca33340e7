"""The simulation against what can be told without one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.estimate.events import Connections
from pipelines.estimate.simulation import (
    DRIVER,
    FETCH,
    INPUT,
    REQUESTS,
    UPLOAD,
    Outcome,
    SceneTasks,
    Shared,
    Task,
    simulate,
)

ALONE = Shared()
NOTHING = Task(own_s=0.0)

_amounts = st.floats(0, 50)
_limits = st.builds(Connections, st.floats(0.5, 20), st.floats(1, 40) | st.just(math.inf))
_tasks = st.builds(Task, st.floats(0.01, 20), _amounts, _amounts, _amounts, st.integers(0, 9))
_scenes = st.lists(st.builds(SceneTasks, st.integers(0, 8), _tasks, _tasks), min_size=1, max_size=6)
_shared = st.builds(Shared, _limits, _limits, _limits, st.floats(0, 0.5), st.floats(0, 0.5))


def all_tasks(scenes: list[SceneTasks]) -> list[Task]:
    return [task for scene in scenes for task in [scene.window] * scene.num_windows + [scene.product]]


def total_s(scenes: list[SceneTasks], shared: Shared) -> float:
    return sum(shared.demand_s(task) for task in all_tasks(scenes))


def busy_s(scenes: list[SceneTasks], shared: Shared) -> dict[str, float]:
    """For how long each shared thing must be at work."""
    tasks = all_tasks(scenes)
    return {
        DRIVER: shared.dispatch_s * len(tasks),
        INPUT: sum(task.input_bytes for task in tasks) / shared.input.all_bytes_per_s,
        FETCH: sum(task.fetch_bytes for task in tasks) / shared.fetch.all_bytes_per_s,
        UPLOAD: sum(task.upload_bytes for task in tasks) / shared.upload.all_bytes_per_s,
        REQUESTS: shared.request_s * sum(task.num_requests for task in tasks),
    }


def chain_s(scenes: list[SceneTasks], shared: Shared) -> float:
    """The longest that a scene takes if everybody helps: a window, then its product."""
    return max(
        min(1, scene.num_windows) * shared.demand_s(scene.window) + shared.demand_s(scene.product) for scene in scenes
    )


@given(_scenes, _shared)
def test_a_single_worker_takes_the_sum_of_its_work(scenes: list[SceneTasks], shared: Shared) -> None:
    outcome = simulate(scenes, 1, shared)
    assert outcome.makespan_s == pytest.approx(total_s(scenes, shared))
    assert outcome.efficiency == pytest.approx(1)
    assert sum(outcome.waiting_s.values()) == pytest.approx(0, abs=1e-6)


@given(_scenes, _shared, st.integers(1, 12))
def test_no_run_is_shorter_than_its_bounds_or_longer_than_their_sum(
    scenes: list[SceneTasks], shared: Shared, num_workers: int
) -> None:
    """Whenever workers wait, something that is shared is at work; whenever they have nothing to do, the last window or
    product of a scene is on its way. So no time is lost that the bounds do not explain."""
    found = simulate(scenes, num_workers, shared).makespan_s
    evenly, chain, busy = total_s(scenes, shared) / num_workers, chain_s(scenes, shared), busy_s(scenes, shared)
    assert found >= max(evenly, chain, *busy.values()) - 1e-6
    assert found <= evenly + chain + sum(busy.values()) + 1e-6
    assert found <= total_s(scenes, shared) + 1e-6


@given(_scenes, _shared, st.integers(1, 12))
def test_every_second_of_every_worker_is_accounted_for(
    scenes: list[SceneTasks], shared: Shared, num_workers: int
) -> None:
    outcome = simulate(scenes, num_workers, shared)
    told = outcome.demand_s + sum(outcome.waiting_s.values()) + outcome.idle_s
    assert told == pytest.approx(num_workers * outcome.makespan_s)
    assert outcome.demand_s == pytest.approx(total_s(scenes, shared))
    assert min(outcome.waiting_s.values()) >= 0


@given(_scenes, _shared, st.integers(1, 12))
def test_the_same_run_comes_out_the_same(scenes: list[SceneTasks], shared: Shared, num_workers: int) -> None:
    assert simulate(scenes, num_workers, shared) == simulate(scenes, num_workers, shared)


@pytest.mark.parametrize("num_workers", [1, 3, 10, 60])
def test_windows_that_share_nothing_scale_perfectly(num_workers: int) -> None:
    windows = 60
    outcome = simulate([SceneTasks(windows, Task(own_s=2.0), NOTHING)], num_workers, ALONE)
    assert outcome.makespan_s == pytest.approx(2.0 * windows / num_workers)
    assert outcome.efficiency == pytest.approx(1)


@pytest.mark.parametrize("num_workers", [7, 16, 45])
def test_windows_that_do_not_divide_evenly_leave_some_idle_at_the_end(num_workers: int) -> None:
    outcome = simulate([SceneTasks(60, Task(own_s=2.0), NOTHING)], num_workers, ALONE)
    assert outcome.makespan_s == pytest.approx(2.0 * math.ceil(60 / num_workers))
    assert outcome.idle_s == pytest.approx(num_workers * outcome.makespan_s - 120)


def test_a_product_waits_for_all_its_windows_and_goes_before_other_scenes() -> None:
    first, second = SceneTasks(3, Task(own_s=1.0), Task(own_s=5.0)), SceneTasks(4, Task(own_s=1.0), Task(own_s=2.0))
    # One worker takes the third window at second 1, then the product until 7; the other does four windows from second
    # 1 to 5, then the second product until 7.
    assert simulate([first, second], 2, ALONE).makespan_s == pytest.approx(7)
    assert simulate([first], 8, ALONE).makespan_s == pytest.approx(1 + 5)


def test_a_bandwidth_goes_to_those_who_came_first() -> None:
    """One connection takes 10 of 25 a second. Three begin at once with 60 each: two get 10, the third 5 until second 6,
    then it takes its last 30 at 10 a second until 9. The fourth gets what the first two left from second 6 on."""
    scenes = [SceneTasks(1, Task(own_s=0.0, input_bytes=num_bytes), NOTHING) for num_bytes in (60, 60, 60, 40)]
    limits = Shared(input=Connections(10, 25))
    assert simulate(scenes[:3], 3, limits).makespan_s == pytest.approx(9)
    outcome = simulate(scenes, 4, limits)
    assert outcome.makespan_s == pytest.approx(10)
    assert outcome.waiting_s[INPUT] == pytest.approx((9 - 6) + (10 - 4))
    assert simulate(scenes, 4, Shared(input=Connections(10, 4))).makespan_s == pytest.approx(220 / 4)
    assert simulate(scenes, 4, Shared(input=Connections(10, 20))).makespan_s == pytest.approx(12)


@pytest.mark.parametrize(
    ("name", "task", "shared"),
    [
        (INPUT, Task(own_s=1.0, input_bytes=50), Shared(input=Connections(100, 1000))),
        (FETCH, Task(own_s=1.0, fetch_bytes=50), Shared(fetch=Connections(100, 1000))),
        (UPLOAD, Task(own_s=1.0, upload_bytes=50), Shared(upload=Connections(100, 1000))),
        (REQUESTS, Task(own_s=1.0, num_requests=5), Shared(request_s=0.01)),
        (DRIVER, Task(own_s=1.0), Shared(dispatch_s=0.05)),
    ],
)
def test_what_is_shared_limits_how_much_is_done(name: str, task: Task, shared: Shared) -> None:
    """Each window takes 0.05 s of it, so that workers finish 20 a second however many they are, and few of them finish
    as many as they would alone."""
    scenes = [SceneTasks(4000, task, NOTHING)]
    alone_s, together_a_second = shared.demand_s(task), 20.0
    few, many = (simulate(scenes, number, shared) for number in (4, 200))
    assert few.efficiency > 0.97
    assert 4000 / few.makespan_s == pytest.approx(4 / alone_s, rel=0.03)
    assert 4000 / many.makespan_s == pytest.approx(together_a_second, rel=0.02)
    assert max(many.waiting_s, key=lambda key: many.waiting_s[key]) == name
    assert many.efficiency == pytest.approx(together_a_second * alone_s / 200, rel=0.02)


@pytest.mark.parametrize("num_workers", [2, 5, 20, 100])
def test_work_that_only_one_can_do_at_a_time_limits_as_amdahl_says(num_workers: int) -> None:
    """With a share of it serial, no number of workers is faster than 1 / share, and few are close to 1 each."""
    serial_s, parallel_s = 0.1, 0.9
    scenes = [SceneTasks(5000, Task(own_s=parallel_s), NOTHING)]
    outcome = simulate(scenes, num_workers, Shared(dispatch_s=serial_s))
    speedup = outcome.demand_s / outcome.makespan_s
    assert speedup == pytest.approx(min(num_workers, 1 / serial_s), rel=0.03)


def test_windows_are_kept_until_their_product_is_there() -> None:
    window, product = Task(own_s=1.0, upload_bytes=10), Task(own_s=2.5, upload_bytes=99)
    scenes = [SceneTasks(4, window, product)] * 50
    assert simulate(scenes, 1, ALONE).most_kept_bytes == 40, "one scene after the other"
    assert simulate(scenes, 200, ALONE).most_kept_bytes == 2000, "all at once"
    assert 40 < simulate(scenes, 3, ALONE).most_kept_bytes <= 3 * 40 + 30
    assert simulate([SceneTasks(0, window, product)] * 9, 3, ALONE).most_kept_bytes == 0


def test_a_pause_keeps_all_workers_waiting() -> None:
    outcome = simulate([SceneTasks(8, Task(own_s=1.0), NOTHING)], 4, ALONE).with_pause("verify", 6)
    assert outcome.makespan_s == pytest.approx(2 + 6)
    assert outcome.waiting_s["verify"] == pytest.approx(4 * 6)
    assert outcome.efficiency == pytest.approx(8 / (4 * 8))


def test_more_of_the_same_takes_as_long_as_it_does() -> None:
    shared = Shared(Connections(100, 900), Connections(80, 700), Connections(50, 400), 0.001, 0.002)
    window, product = Task(1.0, 30, 0, 40, 1), Task(4.0, 200, 160, 60, 6)
    scenes = [SceneTasks(4, window, product), SceneTasks(9, window, product)]
    for num_workers in (1, 8, 40):
        part, whole = (simulate(scenes * times, num_workers, shared) for times in (60, 600))
        told = part.stretched(whole.demand_s)
        assert told.makespan_s == pytest.approx(whole.makespan_s, rel=0.01)
        assert told.efficiency == pytest.approx(whole.efficiency, rel=0.01)


def test_a_run_of_nothing_is_no_division_by_zero() -> None:
    outcome = Outcome(3, 0.0, 0.0, {}, 0.0)
    assert outcome.efficiency == 1
    assert outcome.stretched(6.0).makespan_s == pytest.approx(2)
