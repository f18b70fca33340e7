"""The same job through `ray job submit` on a running cluster."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import free_port
from tests.jobs.running import ROOT, Run, environment

TIMEOUT_S = 400


@dataclass(frozen=True)
class Cluster:
    """A cluster of one node with a job server."""

    address: str
    env: dict[str, str]

    def submit(self, *arguments: str, submission_id: str | None = None) -> "subprocess.Popen[str]":
        """Start `ray job submit` of the smallest job, as a user types it."""
        ray = str(Path(sys.executable).parent / "ray")
        name = ["--submission-id", submission_id] if submission_id else []
        command = [ray, "job", "submit", "--address", self.address, "--working-dir", ".", *name, "--"]
        job = [sys.executable, "jobs/slimdiffsr.py", "tiny_slimdiffsr.yaml", *arguments]
        return subprocess.Popen(
            [*command, *job],
            env=self.env,
            cwd=self.env["PROJECT"],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Submit and wait; returns the exit status and what was printed."""
        job = self.submit(*arguments)
        out, _ = job.communicate(timeout=TIMEOUT_S)
        return job.returncode, out


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """`ray start --head` with token authentication, as recent Ray has it."""
    folder = tmp_path_factory.mktemp("cluster")
    project = folder / "project"  # a checkout: what a user would submit from
    ignored = shutil.ignore_patterns(".git", ".venv", "runs", "data", "__pycache__", "tests", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, project, ignore=ignored)
    shutil.copy(ROOT / "tests" / "data" / "tiny_slimdiffsr.yaml", project)
    port, dashboard = free_port(), free_port()
    env = environment(
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-this-test-0123456789", "PROJECT": str(project)}
    )
    ray = str(Path(sys.executable).parent / "ray")
    options = ["--head", "--node-ip-address", "127.0.0.1", f"--port={port}", f"--dashboard-port={dashboard}"]
    sizes = [
        "--num-cpus=2",
        f"--object-store-memory={200 * 2**20}",
        f"--temp-dir={_short(folder)}",
        "--disable-usage-stats",
    ]
    head = subprocess.Popen([ray, "start", *options, *sizes, "--block"], env=env, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{dashboard}"
        _await_job_server(ray, address, env, head)
        yield Cluster(address, env)
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        try:
            head.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)


def test_a_submitted_job_reaches_the_same_metrics(cluster: Cluster, undisturbed: Run, tmp_path: Path) -> None:
    status, out = cluster.run("num_workers=1", f"output.uri={tmp_path}")
    assert status == 0, out
    assert _evaluation(tmp_path) == _evaluation(undisturbed.folder)


def test_the_exit_status_is_the_jobs(cluster: Cluster, tmp_path: Path) -> None:
    status, out = cluster.run(f"output.uri={tmp_path}", "student.nun_steps=1")
    assert status != 0
    assert "did you mean 'student.num_steps'" in out


def test_a_relative_output_is_refused(cluster: Cluster) -> None:
    status, out = cluster.run("output.uri=runs")
    assert status != 0
    assert "temporary copy" in out
    assert "Traceback" not in out[out.index("Error:") :].split("\n")[0]


def test_after_a_stop_the_same_mlflow_run_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    import sqlite3

    job = cluster.submit("num_workers=1", f"output.uri={tmp_path}", submission_id="stopped-early")
    deadline = time.monotonic() + TIMEOUT_S
    while not list(tmp_path.glob("phases/*/checkpoints/*/index.json")):
        assert time.monotonic() < deadline
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.2)
    ray = str(Path(sys.executable).parent / "ray")
    subprocess.run([ray, "job", "stop", "--address", cluster.address, "stopped-early"], env=cluster.env, check=True)
    job.communicate(timeout=60)
    status, out = cluster.run("num_workers=1", f"output.uri={tmp_path}")
    assert status == 0, out
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        rows = connection.execute("SELECT name, status FROM runs ORDER BY start_time").fetchall()
    assert sorted(name for name, _ in rows) == ["base", "slimdiffsr", "student", "teacher", "uncertainty"]
    assert {status for _, status in rows} == {"FINISHED"}


def test_the_upload_is_small(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    package = tmp_path / "upload.zip"
    create_package(str(ROOT), package, include_gitignore=True)
    assert package.stat().st_size < 5 * 2**20
    names = zipfile.ZipFile(package).namelist()
    assert "jobs/slimdiffsr.py" in names
    assert not [name for name in names if name.startswith((".venv/", "runs/", "data/", ".git/"))]


def _evaluation(folder: Path) -> list[dict[str, float | str]]:
    [path] = folder.glob("evaluations/*.parquet")
    rows: list[dict[str, float | str]] = pq.read_table(path).to_pylist()
    return rows


def _short(folder: Path) -> str:
    """A temporary folder short enough for Ray's socket names."""
    return f"/tmp/rssr-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def _await_job_server(ray: str, address: str, env: dict[str, str], head: "subprocess.Popen[bytes]") -> None:
    for _ in range(60):
        assert head.poll() is None, "the head node stopped"
        done = subprocess.run([ray, "job", "list", "--address", address], env=env, capture_output=True)
        if done.returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(json.dumps({"address": address, "stderr": done.stderr.decode()[-500:]}))
