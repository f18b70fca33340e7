"""The estimate as text."""

import re

import pytest

from pipelines.estimate.console import bytes_text, duration_text, estimate_text
from pipelines.estimate.estimate import Refusal, estimate_run
from pipelines.estimate.scaling import Workload
from tests.pipelines.estimate.known_rates import config, exactly, rates, spread
from tests.pipelines.estimate.planned_scenes import cut, work_of

WORKLOAD = Workload([(work_of(cut((512, 512))), 200)], num_files=5)


def text(refused: int = 0, **plan: object) -> str:
    wanted = config(plan={"workers": [1, 2], **plan}, worker={"num_gpus": 1})
    found = rates(tile_s=spread(0.5, 1, 2), dispatch_s=exactly(0.02))
    refusals = [Refusal(f"odd{number}", "It has seven bands.") for number in range(refused)]
    return estimate_text(estimate_run(WORKLOAD, refusals, found, wanted), wanted)


def table(told: str) -> list[list[str]]:
    """Rows of the table by workers, the header first; columns are two or more blanks apart."""
    (block,) = (part for part in told.split("\n\n") if part.startswith("WORKERS"))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in block.splitlines()]


def test_each_number_of_workers_has_a_row() -> None:
    header, *rows = table(text(workers=[1, 4, 64], price_per_hour=2.5, currency="EUR"))
    assert header == ["WORKERS", "TIME", "FROM", "TO", "SCENES/H", "AT WORK", "EUR", "THE REST IS LOST TO"]
    assert [row[0] for row in rows] == ["1", "4", "64"]
    assert rows[0][5] == "100 %"
    assert rows[0][7] == "nothing"


def test_money_is_left_out_without_a_price() -> None:
    header, *_ = table(text())
    assert header[-2:] == ["AT WORK", "THE REST IS LOST TO"]


def test_what_is_refused_is_told_with_its_reason() -> None:
    told = text(refused=7)
    assert "200, and 7 refused" in told
    assert "odd4: It has seven bands.\n  ..." in told
    assert "odd5" not in told
    assert "Refused" not in text()


def test_large_numbers_are_told_in_words() -> None:
    told = text()
    assert re.search(r"^LR pixels +52.4 million$", told, re.MULTILINE)
    assert re.search(r"^SR pixels +839 million$", told, re.MULTILINE)


def test_the_limit_and_its_reason_are_told_on_demand() -> None:
    told = text(simulate=True)
    assert "workers keep busy: the driver, which hands out work" in told
    assert "workers on less than 80% of their time is work" in told
    assert "Lost to: driver" in told
    assert "keep busy" not in text()


def test_where_time_goes_is_told_in_hours_of_the_accelerator() -> None:
    told = text()
    assert "GPU-hours of work: model " in told
    assert "a machine of the tests" in told
    assert "1 s a tile of 64 pixels (measured once)" in told
    assert all(len(line) <= 120 for line in told.splitlines())


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (0.001, "3.6 s"),
        (0.01, "36 s"),
        (0.5, "30 min"),
        (1.9, "114 min"),
        (3.456, "3.46 h"),
        (240, "10 days"),
        (1e5, "11.4 years"),
    ],
)
def test_durations_are_told_in_units_that_people_use(hours: float, expected: str) -> None:
    assert duration_text(hours) == expected


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (3.21e17, "321 PB")],
)
def test_sizes_are_told_in_powers_of_a_thousand(num_bytes: float, expected: str) -> None:
    assert bytes_text(num_bytes) == expected
