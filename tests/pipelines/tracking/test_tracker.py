import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.tracking import Run, Tracker, TrackingConfig, TrackingError, code_version, open_tracker
from pipelines.tracking.tracker import RUN_KEY_TAG

QUIET = TrackingConfig(system_metrics=False)


def tags_of(tracker: Tracker, run: Run) -> dict[str, str]:
    return dict(tracker.client.get_run(run.run_id).data.tags)


def runs_of(tracker: Tracker) -> list[Any]:
    return tracker.client.search_runs([tracker.experiment_id])


def test_the_same_key_opens_the_same_run_again(output: Path) -> None:
    first = open_tracker(QUIET, str(output)).open_run("key", "name")
    first.finish("FAILED")
    tracker = open_tracker(QUIET, str(output))
    second = tracker.open_run("key", "name")
    assert (second.run_id, first.reopened, second.reopened) == (first.run_id, False, True)
    assert tracker.client.get_run(second.run_id).info.status == "RUNNING"


def test_other_keys_open_other_runs(tracker: Tracker) -> None:
    assert tracker.open_run("one", "name").run_id != tracker.open_run("two", "name").run_id


def test_a_killed_process_leaves_a_run_that_goes_on(output: Path, tracker: Tracker) -> None:
    code = """
import os, sys
from pipelines.tracking import TrackingConfig, open_tracker
run = open_tracker(TrackingConfig(), sys.argv[1]).open_run("key", "name")
run.log_metrics({"loss": 1.0}, 1)
print(run.run_id, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(output)], capture_output=True, text=True, timeout=120)
    run = tracker.open_run("key", "name")
    assert (run.run_id, run.reopened) == (done.stdout.strip(), True)
    assert run.last_logged_step() == 1


def test_child_runs_are_shown_below_their_parent(tracker: Tracker) -> None:
    parent = tracker.open_run("key", "experiment")
    child = tracker.open_run("key/teacher", "teacher", parent=parent)
    tags = tags_of(tracker, child)
    assert tags["mlflow.parentRunId"] == parent.run_id
    assert tags["mlflow.runName"] == "teacher"
    assert "mlflow.parentRunId" not in tags_of(tracker, parent)


def test_runs_tell_the_code_that_made_them(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    code_version.code_version_tags.cache_clear()
    monkeypatch.setenv("RSSR_GIT_COMMIT", "1234abcd")
    first = tracker.open_run("key", "name", tags={"own": "tag"})
    tags = tags_of(tracker, first)
    assert tags["mlflow.source.git.commit"] == "1234abcd"
    assert tags["rssr.version"] and tags["own"] == "tag" and tags[RUN_KEY_TAG] == "key"
    code_version.code_version_tags.cache_clear()
    monkeypatch.setenv("RSSR_GIT_COMMIT", "5678")
    tracker.open_run("key", "name")
    assert tags_of(tracker, first)["rssr.changed.mlflow.source.git.commit"] == "1234abcd -> 5678"
    code_version.code_version_tags.cache_clear()


def test_openers_at_the_same_moment_end_up_in_one_run(tracker: Tracker) -> None:
    with ThreadPoolExecutor(6) as pool:
        run_ids = set(pool.map(lambda _: tracker.open_run("key", "name").run_id, range(6)))
    assert {tracker.open_run("key", "name").run_id} == {run.info.run_id for run in runs_of(tracker)}
    assert len(run_ids) == 1


def test_a_run_that_says_it_was_begun_earlier_but_shows_later_does_not_take_over(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock says so, or the store was slow to take it; whoever looked meanwhile has chosen already."""
    monkeypatch.setattr("pipelines.tracking.tracker._DRAW_S", 0.2)
    chosen = tracker.open_run("key", "name").run_id
    tracker.client.create_run(tracker.experiment_id, start_time=1000, tags={RUN_KEY_TAG: "key"})
    assert tracker.open_run("key", "name").run_id == chosen


def test_openers_of_a_fresh_output_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = """
import sys
from pipelines.tracking import TrackingConfig, open_tracker
print(open_tracker(TrackingConfig(system_metrics=False), sys.argv[1]).experiment_id)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "fresh")]
    openers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [opener.communicate(timeout=120) for opener in openers]
    assert [opener.returncode for opener in openers] == [0, 0], answers
    assert len({out for out, _ in answers}) == 1


def test_works_through_a_server(server: Any, tmp_path: Path) -> None:
    config = TrackingConfig(tracking_uri=server.uri, system_metrics=False)
    with open_tracker(config, str(tmp_path)).open_run("through-a-server", "name") as run:
        run.log_params({"a": 1})
        run.log_text("hello", "notes/a.txt")
    tracker = open_tracker(config, str(tmp_path))
    again = tracker.open_run("through-a-server", "name")
    assert again.run_id == run.run_id
    assert [entry.path for entry in tracker.client.list_artifacts(run.run_id, "notes")] == ["notes/a.txt"]
    assert not any(tmp_path.rglob("*.txt")), "a server decides where artifacts lie"


def test_a_deleted_experiment_is_reported(tracker: Tracker, output: Path) -> None:
    tracker.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError, match=r"is deleted.*another name"):
        open_tracker(QUIET, str(output))


def test_a_run_is_unfinished_until_it_has_ended(tracker: Tracker) -> None:
    assert not tracker.is_unfinished("key")
    run = tracker.open_run("key", "name")
    assert tracker.is_unfinished("key")
    run.finish()
    assert not tracker.is_unfinished("key")
    with pytest.raises(KeyboardInterrupt), tracker.open_run("key", "name"):
        raise KeyboardInterrupt
    assert tracker.is_unfinished("key")


@pytest.mark.parametrize("key", ["", "it's", "a b", "x" * 501])
def test_keys_that_could_be_misread_are_refused(tracker: Tracker, key: str) -> None:
    with pytest.raises(ValueError, match="not a run key"):
        tracker.open_run(key, "name")


def test_object_store_output_moves_between_machines(
    s3_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3_server.use(monkeypatch)
    uri = f"{s3_server.make_bucket()}/runs"
    here = open_tracker(QUIET, uri, tmp_path / "here")
    first = here.open_run("key", "name")
    first.log_metrics({"loss": 1.0}, 7)
    first.log_text("hello", "notes.txt")
    here.backup()
    there = open_tracker(QUIET, uri, tmp_path / "there")
    second = there.open_run("key", "name")
    assert (second.run_id, second.last_logged_step()) == (first.run_id, 7)
    path = Path(there.client.download_artifacts(second.run_id, "notes.txt", str(tmp_path)))
    assert path.read_text() == "hello"
