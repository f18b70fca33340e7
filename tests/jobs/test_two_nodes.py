"""A submitted job on two nodes: workers on both, one of which is announced to go, goes and comes back."""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.local.servers import LocalCluster
from tests.jobs.running import ROOT, TIMEOUT_S, TINY, environment, run_job

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

RAY = str(Path(sys.executable).parent / "ray")
PHASES = "phases=[base,uncertainty]"
STEPS = ("base.num_steps=180", "base.autoencoder_steps=90", "base.checkpoint_every_n_steps=60")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[LocalCluster]:
    """Two raylets of one CPU each."""
    env = environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-two-nodes-0123456789"})
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as session:
        cluster = LocalCluster(tmp_path, Path(session), num_cpus=1, env=env)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill()


@pytest.mark.parametrize(("num_workers", "comes_back"), [("2", True), ("[1,2]", False)])
def test_a_node_is_announced_to_go_and_goes(
    nodes: LocalCluster, tmp_path: Path, num_workers: str, comes_back: bool
) -> None:
    calm = run_job("num_workers=[0,2]", PHASES, *STEPS, f"output.uri={tmp_path / 'calm'}")
    assert calm.status == 0, calm.err
    output = tmp_path / "output"
    address = f"http://127.0.0.1:{nodes.dashboard_port}"
    await_true(lambda: takes_jobs(nodes, address))
    entrypoint = [sys.executable, "jobs/slimdiffsr.py", str(TINY), PHASES, *STEPS, f"num_workers={num_workers}"]
    command = [RAY, "job", "submit", "--address", address, "--working-dir", str(ROOT), "--", *entrypoint]
    told = tmp_path / "job.log"
    with (
        told.open("w") as log,
        subprocess.Popen(
            [*command, f"output.uri={output}", "worker.max_failures=5"], env=dict(nodes.env), stdout=log, stderr=log
        ) as job,
    ):
        for happens in (
            lambda: bool(list(output.glob("phases/base-*/checkpoints/*/index.json"))),
            lambda: workers_on_both(nodes),
            lambda: drain_other(nodes),
            lambda: "is kept, where the same command goes on" in told.read_text(),
        ):
            await_true(happens, job, told)
        nodes.other.kill()
        if comes_back:
            time.sleep(3)
            nodes.other.start()
        job.wait(TIMEOUT_S)
    out = told.read_text()
    assert job.returncode == 0, out
    assert (kept := re.search(r"step (\d+) is kept", out)) is not None
    assert f"goes on after step {kept[1]}" in out, "no step since the announcement is computed again"
    # Weights of other numbers of workers differ by rounding, which two hundred steps of Adam make larger.
    ours, theirs = (validation(folder) for folder in (output, tmp_path / "calm"))
    assert ours.keys() == theirs.keys() == {"base", "uncertainty"}
    assert ours["base"] == pytest.approx(theirs["base"], rel=0.05)


def validation(output: Path) -> dict[str, dict[str, float]]:
    """Figures of each finished phase."""
    records = [json.loads(path.read_text()) for path in output.glob("phases/*/done.json")]
    return {record["phase"]: record["validation"] for record in records}


def await_true(
    condition: Callable[[], bool], job: subprocess.Popen[bytes] | None = None, told: Path | None = None
) -> None:
    """Wait for something, no longer than a job that shall bring it about runs."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert job is None or told is None or job.poll() is None, told.read_text()
        assert time.monotonic() < deadline_s, "it did not happen in time" if told is None else told.read_text()
        time.sleep(0.2)


def takes_jobs(nodes: LocalCluster, address: str) -> bool:
    """Whether the job server has an agent: it answers before."""
    headers = {"Authorization": f"Bearer {nodes.env['RAY_AUTH_TOKEN']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/api/jobs/", json.dumps({"entrypoint": "true"}).encode(), headers)
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except OSError:
        return False
    return True


def state_of(nodes: LocalCluster, what: str) -> list[dict[str, str]]:
    """`ray list`, as JSON."""
    command = [RAY, "list", what, "--address", f"http://127.0.0.1:{nodes.dashboard_port}", "--format", "json"]
    done = subprocess.run(command, env=dict(nodes.env), capture_output=True, text=True, check=True)
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def workers_on_both(nodes: LocalCluster) -> bool:
    """Whether a training worker lives on each node."""
    actors = [actor for actor in state_of(nodes, "actors") if actor["state"] == "ALIVE"]
    workers = [actor for actor in actors if re.search("RayTrainWorker", actor["class_name"])]
    return len({worker["node_id"] for worker in workers}) == 2


def drain_other(nodes: LocalCluster) -> bool:
    """Announce that the second node will be taken away, as a cloud does with spot machines; true once that is done."""
    [other] = [node for node in state_of(nodes, "nodes") if node["state"] == "ALIVE" and not node["is_head_node"]]
    reason = [
        "--reason",
        "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message",
        "spot",
        "--deadline-remaining-seconds",
        "60",
    ]
    command = [RAY, "drain-node", "--address", nodes.address, "--node-id", other["node_id"], *reason]
    subprocess.run(command, env=dict(nodes.env), check=True, capture_output=True)
    return True
