"""The same job through `ray job submit` on a running cluster."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import free_port
from tests.jobs.running import ROOT, TIMEOUT_S, TINY, Run, environment, mlflow_runs, phase_digests

RAY = str(Path(sys.executable).parent / "ray")
LEFT_BEHIND = (".git", ".venv", "runs", "data", "tests", "__pycache__", "*.egg-info", ".*_cache")
# Says which copy of the code runs, in the submitted process and in a task.
WHERE = """
import ray, pipelines, rssr
ray.init(logging_level="ERROR")
places = [pipelines.__file__, rssr.__file__, ray.get(ray.remote(lambda: __import__("rssr").__file__).remote())]
print("PLACES", *places)
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster of one node with a job server, and a checkout to submit from."""

    address: str
    env: dict[str, str]
    project: Path

    def submit(self, *entrypoint: str, submission_id: str | None = None) -> "subprocess.Popen[str]":
        """Start `ray job submit`, as a user types it in the checkout."""
        name = ["--submission-id", submission_id] if submission_id else []
        options = ["--address", self.address, "--working-dir", ".", *name]
        return subprocess.Popen(
            [RAY, "job", "submit", *options, "--", sys.executable, *entrypoint],
            env=self.env,
            cwd=self.project,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Submit the smallest job and wait; returns the exit status and what was printed."""
        job = self.submit("jobs/slimdiffsr.py", TINY.name, *arguments)
        out, _ = job.communicate(timeout=TIMEOUT_S)
        return job.returncode, out

    def stop(self, submission_id: str) -> None:
        """`ray job stop`."""
        subprocess.run([RAY, "job", "stop", "--address", self.address, submission_id], env=self.env, check=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """`ray start --head` with token authentication, as recent Ray has it."""
    project = tmp_path_factory.mktemp("submit") / "project"
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    shutil.copy(TINY, project)
    (project / "where.py").write_text(WHERE)
    env = environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-this-test-0123456789"})
    port = free_port()
    # Ray's socket names must be short.
    with tempfile.TemporaryDirectory(prefix="rssr-", dir="/tmp", ignore_cleanup_errors=True) as session:
        sizes = ["--num-cpus=2", f"--object-store-memory={200 * 2**20}", f"--temp-dir={session}"]
        head = subprocess.Popen(
            [RAY, "start", "--head", "--block", "--disable-usage-stats", *_ports(port), *sizes],
            env=env,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _await_job_server(address, env["RAY_AUTH_TOKEN"], head)
            yield Cluster(address, env, project)
        finally:
            _end(head)


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_submitted_job_reaches_the_same_metrics(
    cluster: Cluster, undisturbed: Run, tmp_path: Path, num_workers: int
) -> None:
    status, out = cluster.run(f"num_workers={num_workers}", f"output.uri={tmp_path}")
    assert status == 0, out
    assert phase_digests(tmp_path) == phase_digests(undisturbed.folder)
    assert _evaluation(tmp_path) == _evaluation(undisturbed.folder)
    assert str(tmp_path / "reports") in out


def test_the_uploaded_code_runs_and_not_an_installed_one(cluster: Cluster) -> None:
    job = cluster.submit("where.py")
    out, _ = job.communicate(timeout=TIMEOUT_S)
    assert job.returncode == 0, out
    [line] = [line for line in out.splitlines() if line.startswith("PLACES")]
    places = line.split()[1:]
    assert len(places) == 3
    assert all("/working_dir_files/" in place for place in places)


def test_the_exit_status_is_the_jobs(cluster: Cluster, tmp_path: Path) -> None:
    status, out = cluster.run(f"output.uri={tmp_path}", "student.nun_steps=1")
    assert status != 0
    assert "did you mean 'student.num_steps'" in out
    assert "exit code 2" in out


def test_a_relative_output_is_refused(cluster: Cluster) -> None:
    status, out = cluster.run("output.uri=runs")
    assert status != 0
    assert "temporary copy" in out
    assert "Traceback" not in out


def test_after_a_stop_the_same_mlflow_run_goes_on(cluster: Cluster, undisturbed: Run, tmp_path: Path) -> None:
    # Ray lets a job go on for three seconds after it is told to stop: with so much to write it takes longer.
    busy = ("base.checkpoint_every_n_steps=1", "base.validate_every_n_steps=1")
    arguments = ("num_workers=1", f"output.uri={tmp_path}", "phases=[base]", *busy)
    job = cluster.submit("jobs/slimdiffsr.py", TINY.name, *arguments, submission_id="stopped-early")
    deadline = time.monotonic() + TIMEOUT_S
    while not list(tmp_path.glob("phases/*/checkpoints/*/index.json")):
        assert time.monotonic() < deadline
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.05)
    cluster.stop("stopped-early")
    job.communicate(timeout=60)
    assert not list(tmp_path.glob("phases/*/done.json"))
    status, out = cluster.run(*arguments)
    assert status == 0, out
    assert mlflow_runs(tmp_path / "mlflow.db") == [("base", "FINISHED"), ("slimdiffsr", "FINISHED")]
    digests = phase_digests(tmp_path)
    assert digests == {name: phase_digests(undisturbed.folder)[name] for name in digests}


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


def _ports(dashboard: int) -> list[str]:
    """Free ports everywhere, so that another cluster on this machine is no neighbour."""
    names = ("port", "ray-client-server-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port")
    return [f"--dashboard-port={dashboard}", *(f"--{name}={free_port()}" for name in names)]


def _await_job_server(address: str, token: str, head: "subprocess.Popen[bytes]") -> None:
    """Until a job is taken: the server answers before there is an agent to run it."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"entrypoint": "true"}).encode()
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        assert head.poll() is None, "the head node stopped"
        try:
            urllib.request.urlopen(urllib.request.Request(f"{address}/api/jobs/", body, headers), timeout=30).close()
        except OSError as error:
            assert time.monotonic() < deadline, error
            time.sleep(0.5)
        else:
            return


def _end_with_parent() -> None:
    """Have Linux stop the cluster when the tests are killed."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _end(head: "subprocess.Popen[bytes]") -> None:
    head.terminate()
    try:
        head.wait(5)  # draining may take long: Ray Data leaves an actor behind
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
