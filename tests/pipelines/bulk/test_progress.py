import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipelines.bulk.progress import BulkProgress
from pipelines.bulk.records import SceneRecord
from rssr.errors import StorageError
from tests.pipelines.bulk.made_runs import record, scene

PLANNED = [scene(f"s{number}") for number in range(3)]  # four windows each, of 4392 * 4392 / 4 pixels
WINDOW_MPX = 4392**2 / 4 / 1e6


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until it is moved on."""
    now_s = [1000.0]
    for module in ("pipelines.progress", "pipelines.bulk.progress"):
        monkeypatch.setattr(f"{module}.time.monotonic", lambda: now_s[0])

    def move(seconds: float) -> None:
        now_s[0] += seconds

    return move


def test_windows_and_scenes_are_counted(move: Callable[[float], None]) -> None:
    with BulkProgress(PLANNED, {}) as progress:
        progress.begin("s0")
        for _ in range(3):
            move(10)
            progress.advance("s0")
        found = progress.snapshot()
        assert found["windows"] == {"done": 3, "total": 12}
        assert found["scenes"] | {"total": 3} == found["scenes"] and found["scenes"]["waiting"] == 3
        assert found["current"] == [{"name": "s0", "windows": {"done": 3, "total": 4}, "share": 0.75}]
        assert found["windows_per_s"] == pytest.approx(0.1)
        assert found["mpx_per_s"] == pytest.approx(WINDOW_MPX / 10, rel=1e-3)
        assert found["eta_s"] == pytest.approx(90)
        progress.advance("s0")
        progress.finish(record(PLANNED[0], "marked"))
        found = progress.snapshot()
        assert (found["scenes"]["marked"], found["scenes"]["waiting"], found["current"]) == (1, 2, [])


def test_rates_are_those_of_now(move: Callable[[float], None]) -> None:
    long = replace(PLANNED[0], windows=tuple(f"r0000c{number:04d}" for number in range(200)))
    with BulkProgress([long], {}) as progress:
        progress.begin("s0")
        for _ in range(50):
            move(1)
            progress.advance("s0")
        assert progress.snapshot()["windows_per_s"] == pytest.approx(1, rel=0.01)
        for _ in range(20):
            move(10)
            progress.advance("s0")
        assert progress.snapshot()["windows_per_s"] == pytest.approx(0.1, rel=0.15)
        assert progress.snapshot()["eta_s"] == pytest.approx(1300, rel=0.15)
        move(1000)
        assert progress.snapshot()["windows_per_s"] < 0.01, "nothing has come for long"


def test_a_resumed_run_counts_what_was_there_but_not_as_speed(move: Callable[[float], None]) -> None:
    with BulkProgress(PLANNED, {"s0": record(PLANNED[0], "partial")}) as progress:
        progress.begin("s1", num_done=3)
        move(20)
        found = progress.snapshot()
        assert found["windows"] == {"done": 7, "total": 12}
        assert found["scenes"]["partial"] == 1 and found["scenes"]["waiting"] == 2 and found["failed_windows"] == 1
        assert found["windows_per_s"] == 0 and found["eta_s"] is None
        progress.begin("s1", num_done=1)
        assert progress.snapshot()["windows"]["done"] == 5, "begun anew, its windows do not count twice"


def test_failures_are_counted_and_their_windows_are_not_waited_for(move: Callable[[float], None]) -> None:
    refused = replace(scene("r"), refusal="No such band.", windows=())
    with BulkProgress([*PLANNED, refused], {}) as progress:
        progress.begin("s0")
        move(5)
        progress.advance("s0")
        progress.finish(record(PLANNED[0], "failed"))
        progress.finish(record(PLANNED[1], "failed"))
        found = progress.snapshot()
        assert found["windows"] == {"done": 8, "total": 12}
        assert (found["scenes"]["failed"], found["scenes"]["refused"], found["scenes"]["total"]) == (2, 1, 4)
        progress.begin("s2")
        for _ in range(4):
            progress.advance("s2")
        progress.finish(record(PLANNED[2]))
        assert progress.snapshot()["eta_s"] == 0 and progress.snapshot()["scenes"]["waiting"] == 0


def test_without_a_terminal_a_line_comes_every_ten_seconds(
    move: Callable[[float], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    caplog.set_level("INFO", "pipelines.progress")
    with BulkProgress(PLANNED, {}) as progress:
        progress.begin("s0")
        for _ in range(4):
            move(5)
            progress.advance("s0")
        progress.finish(record(PLANNED[0], "failed"))
    lines = [entry.getMessage() for entry in caplog.records]
    assert lines == [
        "windows: 2 of 12, 0.2/s, 50 s left, 0 of 3 scenes, 0.96 Mpx/s",
        "windows: 4 of 12, 0.2/s, 40 s left, 0 of 3 scenes, 0.96 Mpx/s",
    ]


def test_the_status_is_written_every_few_seconds_and_at_the_end(move: Callable[[float], None]) -> None:
    written: list[dict[str, Any]] = []
    with BulkProgress(PLANNED, {}, lambda data: written.append(json.loads(data))) as progress:
        progress.begin("s0")
        for _ in range(12):
            move(1)
            progress.refresh()
    assert 3 <= len(written) <= 5
    assert written[-1] == progress.snapshot() | {"at": written[-1]["at"]}


def test_a_status_that_cannot_be_written_does_not_stop_the_run(
    move: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def fail(data: bytes) -> None:
        calls.append(data)
        raise StorageError("The bucket is read-only.")

    with BulkProgress(PLANNED, {}, fail) as progress:
        for _ in range(5):
            move(6)
            progress.refresh()
    assert len(calls) == 1
    assert sum("read-only" in entry.getMessage() for entry in caplog.records) == 1


def test_a_plan_of_nothing_is_finished(move: Callable[[float], None]) -> None:
    records: dict[str, SceneRecord] = {}
    with BulkProgress([], records) as progress:
        assert progress.snapshot()["eta_s"] == 0
