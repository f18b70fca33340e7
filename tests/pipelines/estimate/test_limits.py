"""Runs that would take too much."""

import logging
from pathlib import Path

import pytest

from pipelines.estimate.estimate import Estimate, estimate_run
from pipelines.estimate.limits import check_limits, warn_of_full_disks
from pipelines.estimate.scaling import Workload
from rssr.errors import ExitCode, Refused
from tests.pipelines.estimate.known_rates import config, rates, spread
from tests.pipelines.estimate.planned_scenes import cut, work_of

WORKLOAD = Workload([(work_of(cut((512, 512))), 10)], num_files=5)
USUAL_HOURS = 0.5
PRICE = 8.0


def estimate(num_workers: int = 0) -> Estimate:
    found = rates(tile_s=spread(0.5, 1, 2))
    return estimate_run(WORKLOAD, [], found, config(num_workers=num_workers, plan={"price_per_hour": PRICE}))


def check(num_workers: int = 0, **plan: object) -> None:
    check_limits(estimate(num_workers), config(num_workers=num_workers, plan={"price_per_hour": PRICE, **plan}))


def test_what_stays_within_its_limits_passes(caplog: pytest.LogCaptureFixture) -> None:
    found = estimate()
    assert found.chosen.money is not None
    check(budget=found.chosen.money.high, max_hours=found.chosen.hours.high, disk_bytes=10**9)
    assert caplog.text == ""


@pytest.mark.parametrize("key", ["budget", "max_hours", "disk_bytes"])
def test_what_is_over_a_limit_is_refused_with_both_numbers(key: str) -> None:
    found = estimate(2)
    assert found.chosen.money is not None
    usual = {
        "budget": found.chosen.money.usual,
        "max_hours": found.chosen.hours.usual,
        "disk_bytes": found.totals.scratch_bytes.usual,
    }[key]
    limit = round(0.9 * usual) if key == "disk_bytes" else round(0.9 * usual, 3)
    with pytest.raises(Refused, match=f"plan.{key}={str(limit)[:4]}") as told:
        check(2, **{key: limit})
    assert told.value.exit_code == ExitCode.REFUSED == 4
    check(2, **{key: usual + 1})


def test_the_number_of_workers_that_would_do_is_told() -> None:
    hours = estimate(1).chosen.hours.usual
    with pytest.raises(Refused, match="4 workers would take"):
        check(1, max_hours=hours / 3)
    with pytest.raises(Refused, match="None of the numbers of workers"):
        check(1, max_hours=hours / 1000)


def test_all_that_is_too_much_is_told_at_once() -> None:
    with pytest.raises(Refused) as told:
        check(budget=0.001, max_hours=0.001, disk_bytes=1)
    assert all(f"plan.{key}=" in str(told.value) for key in ("budget", "max_hours", "disk_bytes"))


def test_what_may_be_too_much_is_said(caplog: pytest.LogCaptureFixture) -> None:
    found = estimate()
    assert found.chosen.money is not None
    with caplog.at_level(logging.WARNING):
        check(budget=1.1 * found.chosen.money.usual, max_hours=1.1 * found.chosen.hours.usual)
    assert "over budget" in caplog.text
    assert "too long" in caplog.text


def test_a_full_disk_is_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Usage:
        free = 1000

    wanted = config(output=str(tmp_path / "not" / "yet"))
    with caplog.at_level(logging.WARNING):
        warn_of_full_disks(estimate(), wanted)
        assert caplog.text == ""
        monkeypatch.setattr("pipelines.estimate.limits.shutil.disk_usage", lambda path: Usage)
        warn_of_full_disks(estimate(), wanted)
        assert "Products, computed windows" in caplog.text
        warn_of_full_disks(estimate(), config(output="s3://bucket/out"))
        assert "The largest product" in caplog.text
    assert caplog.text.count("has 1 kB free") == 2
    caplog.clear()
    warn_of_full_disks(estimate(), config(output="s3://bucket/out", plan={"disk_bytes": 5}))
    assert caplog.text == ""
