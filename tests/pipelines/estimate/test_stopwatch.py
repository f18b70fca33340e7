"""Time as it would be on an idle machine."""

import time
from pathlib import Path

import pytest

from pipelines.estimate import stopwatch
from pipelines.estimate.stopwatch import Stopwatch


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the system tells of the thread, and a clock that stands still unless it is set."""
    path = tmp_path / "schedstat"
    monkeypatch.setattr(stopwatch, "_SCHEDULER", path)
    monkeypatch.setattr(stopwatch, "time", Clock())
    return path


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return Clock.now


def test_time_in_which_others_had_the_processor_is_left_out(scheduler: Path) -> None:
    Clock.now = 100.0
    scheduler.write_text("5000000000 2000000000 17\n")
    with Stopwatch() as watch:
        Clock.now = 110.0
        scheduler.write_text("6000000000 9000000000 20\n")
    assert watch.seconds == pytest.approx(3)
    assert watch.waited_s == pytest.approx(7)
    assert watch.waited_share == pytest.approx(0.7)


@pytest.mark.parametrize("content", [None, "", "what", "1 0 1"])
def test_where_the_system_tells_nothing_all_time_counts(scheduler: Path, content: str | None) -> None:
    if content is not None:
        scheduler.write_text(content)
    Clock.now = 100.0
    with Stopwatch() as watch:
        Clock.now = 104.0
    assert watch.seconds == pytest.approx(4)
    assert watch.waited_share == 0


def test_sleeping_counts() -> None:
    with Stopwatch() as watch:
        time.sleep(0.05)
    assert watch.seconds > 0.04
