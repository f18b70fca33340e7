"""The estimate as a whole."""

import json

import pytest

from pipelines.estimate.estimate import Estimate, Refusal, estimate_run
from pipelines.estimate.scaling import Workload
from pipelines.estimate.workload import SceneWork
from tests.pipelines.estimate.known_rates import config, rates, spread
from tests.pipelines.estimate.planned_scenes import cut, work_of

SMALL, LARGE = work_of(cut((128, 200))), work_of(cut((512, 512)))
SCENES: list[tuple[SceneWork, int]] = [(SMALL, 3), (LARGE, 2)]


def estimate(num_workers: int = 0, **plan: object) -> Estimate:
    found = rates(tile_s=spread(0.5, 1, 2), compression_ratio=spread(0.4, 0.5, 0.6))
    refused = [Refusal("odd", "It has seven bands.")]
    wanted = config(num_workers=num_workers, keep_work=bool(plan.pop("keep_work", False)), plan=plan)
    return estimate_run(Workload(SCENES, num_files=5), refused, found, wanted)


def test_totals_are_those_of_all_scenes() -> None:
    totals = estimate().totals
    assert totals.num_scenes == 5
    assert totals.refused == (Refusal("odd", "It has seven bands."),)
    for name in ("num_windows", "num_tiles", "lr_pixels", "sr_pixels", "input_bytes", "work_bytes", "area_km2"):
        assert getattr(totals, name) == pytest.approx(3 * getattr(SMALL, name) + 2 * getattr(LARGE, name)), name
    raw = 3 * SMALL.product_raw_bytes + 2 * LARGE.product_raw_bytes
    product = totals.product_bytes
    assert [product.low, product.usual, product.high] == pytest.approx([0.4 * raw, 0.5 * raw, 0.6 * raw])
    assert totals.scratch_bytes.high == pytest.approx(1.6 * LARGE.product_raw_bytes)
    assert totals.read_bytes > 2 * totals.input_bytes


def test_slow_rates_take_longer_than_fast_ones() -> None:
    found = estimate()
    for each in (found.worker_hours, *(row.hours for row in found.table)):
        assert each.low < each.usual < each.high


def test_money_is_for_all_workers_from_begin_to_end() -> None:
    found = estimate(price_per_hour=3.0, workers=[1, 7])
    for row in found.table:
        assert row.money is not None
        assert row.money.usual == pytest.approx(3.0 * row.num_workers * row.hours.usual)
        assert row.money.high == pytest.approx(3.0 * row.num_workers * row.hours.high)
    one, seven = found.table
    assert one.money is not None and seven.money is not None
    assert seven.money.usual > one.money.usual  # some have nothing to do at the end
    assert estimate().chosen.money is None


@pytest.mark.parametrize(("configured", "told"), [(0, 1), (1, 1), (6, 6)])
def test_the_run_is_told_for_the_workers_that_are_configured(configured: int, told: int) -> None:
    found = estimate(configured, workers=[1, 2, 6])
    assert found.chosen.num_workers == told
    assert found.chosen in found.table
    assert [row.num_workers for row in found.table] == [1, 2, 6]


def test_one_worker_wastes_nothing_and_many_wait_for_the_end() -> None:
    one, many = estimate(workers=[1, 50]).table
    assert one.efficiency == pytest.approx(1)
    assert one.hours.usual == pytest.approx(estimate().worker_hours.usual)
    assert one.lost_to == ""
    assert many.lost_to == "end"
    assert many.efficiency + sum(many.lost_shares.values()) == pytest.approx(1)
    assert many.scenes_per_hour == pytest.approx(5 / many.hours.usual)


def test_windows_lie_in_the_output_for_as_long_as_they_are_needed() -> None:
    one, many = estimate(workers=[1, 50]).table
    assert one.work_bytes == pytest.approx(LARGE.work_bytes)
    assert many.work_bytes == pytest.approx(estimate().totals.work_bytes)
    assert estimate(keep_work=True).chosen.work_bytes == pytest.approx(estimate().totals.work_bytes)


def test_the_limit_is_looked_for_on_demand() -> None:
    assert estimate().limit is None
    limit = estimate(simulate=True).limit
    assert limit is not None
    assert limit.efficiency < 0.8


def test_it_can_be_written_as_json() -> None:
    values = json.loads(json.dumps(estimate(simulate=True, price_per_hour=1).to_json(), allow_nan=False))
    assert values["totals"]["num_scenes"] == 5
    assert values["totals"]["refused"] == [{"name": "odd", "reason": "It has seven bands."}]
    assert values["table"][0]["money"]["usual"] > 0
    assert values["rates"]["model"]["tile_s"]["middle"] == 1
