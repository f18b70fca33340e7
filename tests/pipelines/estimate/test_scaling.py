"""From work and rates to what N workers take, against closed forms."""

import pytest

from pipelines.estimate.config import StoreLimitsConfig
from pipelines.estimate.scaling import (
    FINISHING,
    MODEL,
    READING,
    UPLOADING,
    VERIFYING,
    WINDOWS,
    Worker,
    Workload,
    find_limit,
    lost_to,
    most_at_once,
    run_with,
)
from pipelines.estimate.simulation import DRIVER, FETCH, REQUESTS, UPLOAD, simulate
from tests.pipelines.estimate.known_rates import exactly, rates
from tests.pipelines.estimate.planned_scenes import cut, work_of

FREE = StoreLimitsConfig(requests_per_s=None)
SMALL, LARGE = work_of(cut((128, 200))), work_of(cut((512, 512)))


def worker(limits: StoreLimitsConfig = FREE, **changes: dict[str, float]) -> Worker:
    return Worker(rates(**changes).at("usual"), limits)


def test_one_worker_takes_what_its_rates_say() -> None:
    work, alone = LARGE, worker()
    expected_s = {
        MODEL: work.whole_tiles,
        READING: work.input_bytes * (work.read_share + 1) / 10e6,
        WINDOWS: 2 * work.work_bytes / 10e6,
        FINISHING: work.sr_values / 10e6,
        UPLOADING: work.product_raw_bytes * 0.5 / 10e6,
    }
    workload = Workload([(work, 3)], num_files=5)
    assert alone.demand_s(workload) == pytest.approx(3 * sum(expected_s.values()))
    shares = alone.shares(workload)
    assert shares == pytest.approx({name: spent / sum(expected_s.values()) for name, spent in expected_s.items()})
    assert list(shares) == sorted(shares, key=lambda name: -shares[name])
    assert run_with(workload, alone, 1).makespan_s == pytest.approx(alone.demand_s(workload))


def test_every_object_costs_its_latency_and_every_piece_of_work_the_driver() -> None:
    workload = Workload([(LARGE, 2)], num_files=5)
    plain, costly = worker(), worker(commit_s=exactly(2.0), open_s=exactly(3.0), dispatch_s=exactly(7.0))
    added_s = costly.demand_s(workload) - plain.demand_s(workload)
    windows = LARGE.num_windows
    objects = windows + 5 + windows / 8  # windows go again, eight at a time
    assert added_s == pytest.approx(2 * (2.0 * objects + (3.0 + 7.0) * (windows + 1)))
    assert sum(costly.shares(workload).values()) == pytest.approx(1)


def test_a_scene_of_one_window_is_one_piece_of_work() -> None:
    work, one = work_of(cut((60, 60))), worker(open_s=exactly(3.0), dispatch_s=exactly(7.0), commit_s=exactly(1.0))
    tasks = one.tasks(work, 4)
    assert (work.num_windows, work.work_bytes, tasks.num_windows, tasks.product.fetch_bytes) == (1, 0, 0, 0)
    read_s, finish_s = 2 * work.input_bytes / 10e6, work.sr_values / 10e6
    upload_s = work.product_raw_bytes * 0.5 / 10e6
    expected_s = 7.0 + 3.0 + read_s + work.whole_tiles + finish_s + upload_s + 4 * 1.0
    assert one.demand_s(Workload([(work, 5)], num_files=4)) == pytest.approx(5 * expected_s)
    assert sum(one.shares(Workload([(work, 5)], num_files=4)).values()) == pytest.approx(1)


def test_products_take_a_lease_where_the_output_refuses_nothing() -> None:
    workload = Workload([(SMALL, 2), (LARGE, 1)], num_files=5)
    added_s = worker(lease_s=exactly(4.0)).demand_s(workload) - worker().demand_s(workload)
    assert added_s == pytest.approx(3 * 4.0)


def test_the_driver_plans_before_the_work_and_workers_verify_after_it() -> None:
    one = worker(open_s=exactly(0.8))
    plain, verified = (Workload([(LARGE, 40)], num_files=5, is_verified=each) for each in (False, True))
    check_s = LARGE.product_raw_bytes * 0.5 / 100e6
    assert one.alone_s(verified) == pytest.approx({"plan": 40 * 0.8 / 8})
    assert one.demand_s(verified) == pytest.approx(one.demand_s(plain) + 40 * check_s)
    assert one.shares(verified)[VERIFYING] == pytest.approx(40 * check_s / one.demand_s(verified))
    for num_workers in (1, 30):
        told, made = run_with(verified, one, num_workers), run_with(plain, one, num_workers)
        assert told.makespan_s == pytest.approx(made.makespan_s + -(-40 // num_workers) * check_s)


def test_verification_waits_for_the_bandwidth_of_the_output_alone() -> None:
    slow = worker(StoreLimitsConfig(fetch_bytes_per_s=30e6, requests_per_s=None), verify_bytes_per_s=exactly(1e6))
    workload = Workload([(SMALL, 100_000)], num_files=5, is_verified=True)
    read_s = 100_000 * (SMALL.product_raw_bytes * 0.5 + SMALL.work_bytes) / 30e6
    assert most_at_once(workload, slow)[FETCH] == pytest.approx(slow.demand_s(workload) / read_s)
    few, many = run_with(workload, slow, 10), run_with(workload, slow, 3000)
    assert few.efficiency > 0.95
    assert many.makespan_s == pytest.approx(read_s, rel=0.1)
    assert lost_to(many) == FETCH


def test_a_short_run_is_simulated_scene_by_scene() -> None:
    workload, one = Workload([(SMALL, 3), (LARGE, 2)], num_files=4), worker()
    tasks = [one.tasks(work, 4) for work in [SMALL] * 3 + [LARGE] * 2]
    assert run_with(workload, one, 4).makespan_s == pytest.approx(simulate(tasks, 4, one.shared()).makespan_s)


def test_a_long_run_comes_out_as_if_all_of_it_had_been_simulated() -> None:
    limits = StoreLimitsConfig(upload_bytes_per_s=60e6, requests_per_s=100)
    one = worker(limits, dispatch_s=exactly(0.01))
    workload = Workload([(SMALL, 700), (LARGE, 500)], num_files=4)
    assert workload.num_windows > 2000
    for num_workers in (3, 12, 60):
        tasks = [one.tasks(work, 4) for _ in range(100) for work in [SMALL] * 7 + [LARGE] * 5]
        whole = simulate(tasks, num_workers, one.shared())
        told = run_with(workload, one, num_workers)
        assert told.makespan_s == pytest.approx(whole.makespan_s, rel=0.03)


def test_a_million_scenes_on_machines_that_share_nothing_scale_perfectly() -> None:
    workload, one = Workload([(LARGE, 1_000_000)], num_files=4), worker()
    for num_workers in (1, 10, 300):
        outcome = run_with(workload, one, num_workers)
        assert outcome.makespan_s == pytest.approx(one.demand_s(workload) / num_workers, rel=0.001)
        assert lost_to(outcome) == ""
    few = Workload([(LARGE, 1)], num_files=4)
    assert lost_to(run_with(few, one, 300)) == "end"


@pytest.mark.parametrize(
    ("name", "limits", "dispatch_s"),
    [
        (UPLOAD, StoreLimitsConfig(upload_bytes_per_s=100e6, requests_per_s=None), 0.0),
        (REQUESTS, StoreLimitsConfig(requests_per_s=5), 0.0),
        (DRIVER, FREE, 0.2),
    ],
)
def test_scaling_ends_where_something_shared_is_always_busy(
    name: str, limits: StoreLimitsConfig, dispatch_s: float
) -> None:
    one = worker(limits, dispatch_s=exactly(dispatch_s))
    workload = Workload([(LARGE, 100_000)], num_files=4)
    (limited, number), *others = most_at_once(workload, one).items()
    assert (limited, others) == (name, [])
    assert 5 < number < 2000
    below, above = (run_with(workload, one, round(number * factor)) for factor in (0.5, 3))
    assert below.efficiency > 0.95
    assert above.efficiency == pytest.approx(1 / 3, rel=0.03)
    assert above.makespan_s == pytest.approx(one.demand_s(workload) / number, rel=0.03)
    assert lost_to(above) == name
    found = find_limit(workload, one)
    assert found is not None
    assert found.efficiency < 0.8
    assert 0.95 * number < found.num_workers < 1.5 * number


def test_without_anything_shared_there_is_no_limit_but_the_work_itself() -> None:
    assert find_limit(Workload([(SMALL, 10**9)], num_files=4), worker()) is None
    found = find_limit(Workload([(SMALL, 8)], num_files=4), worker())
    assert found is not None
    assert lost_to(found) == "end"
