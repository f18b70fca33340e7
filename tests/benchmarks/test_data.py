import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.data_workers import Line, reckon

ROOT = Path(__file__).parents[2]


def test_rates_count_what_lies_between_lines_while_all_work() -> None:
    """Two workers, of which one starts late and one ends early; both need a quarter of a second for a batch."""
    early = [Line(at / 4, 10 + at / 8) for at in range(0, 21)]  # from 0 s to 5 s
    late = [Line(at / 4, 3 + at / 8) for at in range(8, 33)]  # from 2 s to 8 s
    delivered = [at / 2 for at in range(0, 17)]
    rate = reckon([early, late], delivered)
    assert rate.num_workers == 2
    assert rate.per_s == pytest.approx(8)
    assert rate.per_cpu_s == pytest.approx(8)
    assert rate.delivered_per_s == pytest.approx(7 / 3)
    assert reckon([early], []).delivered_per_s == pytest.approx(4)


def test_workers_that_never_worked_together_are_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="too few batches"):
        reckon([[Line(0, 0), Line(1, 1)], [Line(1, 0), Line(2, 1)]], [])


def test_it_measures_all_parts_at_a_small_size() -> None:
    """Only the words and the counts are to be trusted, not the figures."""
    small = "--rounds 1 --patches 1 --batches 40 --patch-size 256 --samples 320 --objects 120"
    command = [sys.executable, "benchmarks/data.py", *small.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [
        line.split(" | ") for line in done.stdout.splitlines() if re.match(r"\| (bare functions|Ray Data) \|", line)
    ]
    assert [(row[0], row[1]) for row in rows] == [
        ("| bare functions", "1"),
        ("| Ray Data", "1"),
        ("| bare functions", "2"),
        ("| Ray Data", "2"),
    ]
    assert all(float(figure.strip(" |")) > 0 for row in rows for figure in row[2:])
    assert "Ray, 2 / 1 workers, delivered per s" in done.stdout
    samples = re.findall(r"^\| (\d+) \| \d+ \| \d+ \| \d+ \| \d+ \|$", done.stdout, re.MULTILINE)
    assert [int(number) for number in samples] == [32 * point for point in range(1, 11)]
    assert "| 120 images planned |" in done.stdout
    assert "first batch delivered" in done.stdout
    last_table = done.stdout.partition("## Targets")[2]
    targets = re.findall(r"^\| (.+) \| ([\d.]+)(?: s)? \| (.+) \|$", last_table, re.MULTILINE)
    wanted = ["at least 8", "at least 0.85", "at least 1.5", "1 (flat)", "below 60 s"]
    assert [target for _, _, target in targets] == wanted
    assert all(float(measured) > 0 for _, measured, _ in targets)


def test_an_unknown_part_is_refused_wherever_it_is_started(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/data.py"), "--only", "stream"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not stream" in done.stderr
