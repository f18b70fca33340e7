import pickle
import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.tracking import MetricBuffer, Run, Tracker, TrackingConfig, open_tracker


def history(tracker: Tracker, run: Run, name: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracker.client.get_metric_history(run.run_id, name)]


def put_all(buffer: MetricBuffer, steps: Iterable[int]) -> None:
    for step in steps:
        buffer.put({"loss": 1 / (step + 1)}, step)


def expected(steps: Iterable[int]) -> list[tuple[int, float]]:
    return [(step, 1 / (step + 1)) for step in steps]


@pytest.fixture
def server_tracker(server: Any, tmp_path: Path) -> Tracker:
    return open_tracker(TrackingConfig(tracking_uri=server.uri, system_metrics=False), str(tmp_path))


def test_everything_arrives_once_and_in_order(tracker: Tracker, run: Run) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id, interval_s=0.01) as buffer:
        put_all(buffer, range(2500))
        assert buffer.flush()
        assert sorted(history(tracker, run)) == expected(range(2500))
    assert buffer.num_dropped == 0


def test_close_delivers_what_is_left(tracker: Tracker, run: Run) -> None:
    buffer = MetricBuffer(run.tracking_uri, run.run_id, interval_s=60)
    put_all(buffer, range(10))
    assert buffer.close()
    assert buffer.close(), "closing twice is harmless"
    assert history(tracker, run) == expected(range(10))


def test_a_resumed_run_does_not_log_steps_again(tracker: Tracker, run: Run) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id) as first:
        put_all(first, range(50))
        first.put({"validation": 0.5}, 40)
    with MetricBuffer(run.tracking_uri, run.run_id) as second:
        assert second.last_logged_step() == 49
        put_all(second, range(30, 70))  # from the last checkpoint
        second.put({"validation": 0.5}, 40)
        second.put({"validation": 0.25}, 60)
    assert history(tracker, run) == expected(range(70))
    assert history(tracker, run, "validation") == [(40, 0.5), (60, 0.25)]
    assert second.num_dropped == 0


def test_a_fresh_run_has_no_last_step(run: Run) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id) as buffer:
        assert buffer.last_logged_step() is None


def test_values_that_are_no_numbers_are_told_and_skipped(
    tracker: Tracker, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id) as buffer:
        buffer.put({"loss": "abc"}, 0)
        buffer.put({"loss": None}, 1)
        buffer.put({"loss": 2.0}, 2)
    assert history(tracker, run) == [(2, 2.0)]
    assert caplog.text.count("cannot be recorded") == 2


def test_values_that_are_not_finite_arrive(tracker: Tracker, run: Run) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id) as buffer:
        buffer.put({"nan": float("nan"), "inf": float("inf")}, 0)
    metrics = tracker.client.get_run(run.run_id).data.metrics
    assert metrics["nan"] != metrics["nan"]
    assert metrics["inf"] > 1e300


def test_a_run_that_goes_on_with_the_same_buffer_does_not_log_steps_again(tracker: Tracker, run: Run) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id, interval_s=0.01) as buffer:
        put_all(buffer, range(50))
        put_all(buffer, range(40, 60))  # before anything was sent
        assert buffer.flush()
        put_all(buffer, range(55, 70))  # and after
    assert history(tracker, run) == expected(range(70))
    assert buffer.num_dropped == 0


def pictures(tracker: Tracker, run: Run) -> list[int]:
    """Steps of the pictures named panels, as their files tell."""
    names = [Path(entry.path).name for entry in tracker.client.list_artifacts(run.run_id, "images")]
    steps = [re.match(r"panels[%+]step[%+](\d+)[%+].*\.png", name) for name in names]
    return sorted(int(match[1]) for match in steps if match)


def test_pictures_arrive_once_a_step(tracker: Tracker, run: Run) -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for steps in ((10, 20), (20, 30)):  # the second goes on from an earlier step
        with MetricBuffer(run.tracking_uri, run.run_id) as buffer:
            for step in steps:
                buffer.put_image("panels", image, step)
    assert pictures(tracker, run) == [10, 20, 30]


def test_what_is_no_picture_is_told_and_skipped(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id) as buffer:
        buffer.put_image("panels", np.zeros((4, 4), np.uint8), 3)
    assert "step 3 cannot be recorded" in caplog.text


def test_pictures_wait_for_a_killed_server(server: Any, server_tracker: Tracker) -> None:
    run = server_tracker.open_run("pictures", "name")
    buffer = MetricBuffer(run.tracking_uri, run.run_id, interval_s=0.01)
    image = np.zeros((4, 4, 3), np.uint8)
    buffer.put_image("panels", image, 1)
    assert buffer.flush()
    server.kill()
    start = time.monotonic()
    for step in range(2, 5):
        buffer.put_image("panels", image, step)
    assert time.monotonic() - start < 1
    assert not buffer.flush(timeout_s=0.5)
    server.start()
    assert buffer.close(timeout_s=60)
    assert pictures(server_tracker, run) == [1, 2, 3, 4]


def test_a_killed_server_is_not_waited_for_and_costs_nothing_once_it_is_back(
    server: Any, server_tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    run = server_tracker.open_run("killed", "name")
    buffer = MetricBuffer(run.tracking_uri, run.run_id, interval_s=0.01)
    put_all(buffer, range(100))
    assert buffer.flush()
    server.kill()
    start = time.monotonic()
    put_all(buffer, range(100, 1700))
    assert time.monotonic() - start < 2, "put waited for the server"
    assert not buffer.flush(timeout_s=0.5)
    hopeless = MetricBuffer(run.tracking_uri, run.run_id)
    put_all(hopeless, range(5000, 5010))
    start = time.monotonic()
    assert not hopeless.close(timeout_s=0.5)
    assert time.monotonic() - start < 5
    assert "10 metric values never reached MLflow" in caplog.text
    server.start()
    assert buffer.close(timeout_s=60)
    assert sorted(history(server_tracker, run)) == expected(range(1700))
    assert "kept and sent again" in caplog.text
    assert buffer.num_dropped == 0


def test_memory_is_bounded_and_drops_are_counted_and_told(
    tmp_path: Path,
    output: Path,
    run: Run,
    tracker: Tracker,
    eventually: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    moved = tmp_path / "moved.db"
    (output / "mlflow.db").rename(moved)  # a store that cannot be reached
    buffer = MetricBuffer(run.tracking_uri, run.run_id, max_pending=100, interval_s=0.01)
    put_all(buffer, range(250))
    assert buffer.num_dropped == 150
    eventually(lambda: "150 metric values have been dropped" in caplog.text)
    moved.rename(output / "mlflow.db")
    assert buffer.close()
    assert history(tracker, run) == expected(range(150, 250)), "the newest are kept"


def test_a_locked_database_is_waited_for(tracker: Tracker, run: Run, output: Path) -> None:
    with closing(sqlite3.connect(output / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        buffer = MetricBuffer(run.tracking_uri, run.run_id, interval_s=0.01)
        put_all(buffer, range(20))
        assert not buffer.flush(timeout_s=0.5)
        other.rollback()
    assert buffer.close(timeout_s=60)
    assert history(tracker, run) == expected(range(20))


def test_a_run_that_is_gone_does_not_keep_the_buffer_busy_for_ever(
    tracker: Tracker, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with MetricBuffer(run.tracking_uri, run.run_id, interval_s=0.01) as buffer:
        assert buffer.last_logged_step() is None
        tracker.client.delete_run(run.run_id)
        put_all(buffer, range(5))
        assert buffer.flush()
    assert buffer.num_dropped == 5
    assert "refuses" in caplog.text


def test_metrics_put_after_the_end_count_as_dropped(run: Run) -> None:
    buffer = MetricBuffer(run.tracking_uri, run.run_id)
    buffer.close()
    put_all(buffer, range(3))
    assert buffer.num_dropped == 3


def test_arguments_travel_to_other_processes(run: Run) -> None:
    arguments = pickle.loads(pickle.dumps((run.tracking_uri, run.run_id)))
    with MetricBuffer(*arguments) as buffer:
        put_all(buffer, range(3))
    assert run.last_logged_step() == 2
