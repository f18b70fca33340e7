"""Killed at any moment, the same command goes on and ends with the weights of an undisturbed run."""

import random
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.jobs.running import (
    TIMEOUT_S,
    Run,
    environment,
    job_command,
    mlflow_runs,
    phase_digests,
    run_job,
    run_job_here,
    with_store,
)


@pytest.mark.parametrize(
    ("num_workers", "phases", "longest_s"),
    [(0, ("base", "deviation", "student", "teacher", "uncertainty"), 6.0), (1, ("base", "uncertainty"), 3.0)],
)
def test_killed_at_a_random_moment_it_ends_with_the_same_weights(
    undisturbed: Run, tmp_path: Path, num_workers: int, phases: tuple[str, ...], longest_s: float
) -> None:
    arguments = (f"num_workers={num_workers}", f"output.uri={with_store(tmp_path)}", f"phases=[{','.join(phases)}]")
    start_and_kill(arguments, tmp_path, wait_s=random.Random(num_workers).uniform(0, longest_s))
    resumed = (run_job if num_workers else run_job_here)(*arguments)  # Ray is started by a process of its own
    assert resumed.status == 0, resumed.err
    expected = {name: digest for name, digest in phase_digests(undisturbed.folder).items() if name.startswith(phases)}
    assert phase_digests(tmp_path) == expected
    assert mlflow_runs(tmp_path / "mlflow.db") == sorted((name, "FINISHED") for name in [*phases, "slimdiffsr"])
    assert logged_losses(tmp_path, phases) == logged_losses(undisturbed.folder, phases)


def test_asked_to_end_it_keeps_the_newest_step_and_says_so(tmp_path: Path) -> None:
    arguments = ("num_workers=0", "phases=[base]", "base.num_steps=100000", f"output.uri={with_store(tmp_path)}")
    with subprocess.Popen(
        job_command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment(), text=True
    ) as job:
        try:
            _await_checkpoint(tmp_path, job)
            job.send_signal(signal.SIGTERM)
            _, told = job.communicate(timeout=60)
        finally:
            job.kill()
    assert job.returncode == 128 + signal.SIGTERM
    [step] = re.findall(r"phase base is to end; step (\d+) is kept", told)
    assert list(tmp_path.glob(f"phases/base-*/checkpoints/step-{int(step):08d}/index.json"))
    assert mlflow_runs(tmp_path / "mlflow.db") == [("base", "KILLED"), ("slimdiffsr", "KILLED")]


def logged_losses(folder: Path, phases: tuple[str, ...]) -> list[tuple[str, str, int, float]]:
    """Run, metric, step and value of every loss in the MLflow store."""
    query = "SELECT name, key, step, value FROM metrics JOIN runs USING (run_uuid) WHERE key LIKE 'loss/%'"
    with sqlite3.connect(folder / "mlflow.db") as connection:
        return sorted(row for row in connection.execute(query) if row[0] in phases)


def start_and_kill(arguments: tuple[str, ...], folder: Path, wait_s: float) -> None:
    """Kill -9 the job some time after its first checkpoint."""
    with subprocess.Popen(
        job_command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment(), text=True
    ) as job:
        try:
            _await_checkpoint(folder, job)
            time.sleep(wait_s)
        finally:
            job.send_signal(signal.SIGKILL)


def _await_checkpoint(folder: Path, job: "subprocess.Popen[str]") -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not list(folder.glob("phases/*/checkpoints/*/index.json")):
        assert job.poll() is None, job.communicate()[1]
        assert time.monotonic() < deadline_s, "no checkpoint"
        time.sleep(0.05)
