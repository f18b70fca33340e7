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
import torch
from safetensors.torch import load_file

from benchmarks.local_servers import TwoNodes
from tests.jobs.running import ROOT, TIMEOUT_S, TINY, environment, run_job

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

RAY = str(Path(sys.executable).parent / "ray")
PHASES = "phases=[base,uncertainty]"
INTERVAL = 60
STEPS = ("base.num_steps=180", "base.autoencoder_steps=90", f"base.checkpoint_every_n_steps={INTERVAL}")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[TwoNodes]:
    """Two raylets of one CPU each."""
    env = environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-two-nodes-0123456789"})
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as session:
        cluster = TwoNodes(tmp_path, Path(session), num_cpus=1, env=env)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill()


@pytest.mark.parametrize(("num_workers", "comes_back"), [("2", True), ("[1,2]", False)])
def test_a_node_is_announced_to_go_and_goes(
    nodes: TwoNodes, tmp_path: Path, num_workers: str, comes_back: bool
) -> None:
    calm = run_job("num_workers=[0,2]", PHASES, *STEPS, f"output.uri={tmp_path / 'calm'}")
    assert calm.status == 0, calm.err
    output = tmp_path / "output"
    address = f"http://127.0.0.1:{nodes.dashboard_port}"
    await_true(lambda: takes_jobs(nodes, address))
    entrypoint = [sys.executable, "jobs/slimdiffsr.py", str(TINY), PHASES, *STEPS, f"num_workers={num_workers}"]
    command = [RAY, "job", "submit", "--address", address, "--working-dir", str(ROOT), "--", *entrypoint]
    with subprocess.Popen(
        [*command, f"output.uri={output}", "worker.max_failures=5"],
        env=dict(nodes.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as job:
        for happens in (
            lambda: bool(checkpoints(output)),
            lambda: workers_on_both(nodes),
            lambda: drain_other(nodes),
            lambda: any(step % INTERVAL for step in checkpoints(output)),  # kept at once
        ):
            await_true(happens, job)
        nodes.other.kill()
        if comes_back:
            time.sleep(3)
            nodes.other.start()
        out, _ = job.communicate(timeout=TIMEOUT_S)
    assert job.returncode == 0, out
    ours, theirs = weights_of(output), weights_of(tmp_path / "calm")
    assert ours.keys() == theirs.keys() != set()
    for name, value in theirs.items():  # sums in another order, whose rounding a hundred steps of Adam make larger
        assert float((ours[name] - value).abs().max()) <= 0.01 * float(value.abs().max()), name


def weights_of(output: Path) -> dict[str, torch.Tensor]:
    """All tensors of all phases' outputs."""
    files = {
        f"{path.parent.parent.name.split('-')[0]}/{path.name}": path
        for path in output.glob("phases/*/output/*.safetensors")
    }
    return {f"{file}/{name}": value for file, path in files.items() for name, value in load_file(path).items()}


def checkpoints(output: Path) -> list[int]:
    """Steps of the first phase at which a whole checkpoint was written."""
    found = output.glob("phases/base-*/checkpoints/*/index.json")
    return sorted(int(path.parent.name.split("-")[1]) for path in found)


def await_true(condition: Callable[[], bool], job: subprocess.Popen[str] | None = None) -> None:
    """Wait for something, no longer than a job that shall bring it about runs."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert job is None or job.poll() is None, job.communicate()[0]
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.2)


def takes_jobs(nodes: TwoNodes, address: str) -> bool:
    """Whether the job server has an agent: it answers before."""
    headers = {"Authorization": f"Bearer {nodes.env['RAY_AUTH_TOKEN']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/api/jobs/", json.dumps({"entrypoint": "true"}).encode(), headers)
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except OSError:
        return False
    return True


def state_of(nodes: TwoNodes, what: str) -> list[dict[str, str]]:
    """`ray list`, as JSON."""
    command = [RAY, "list", what, "--address", f"http://127.0.0.1:{nodes.dashboard_port}", "--format", "json"]
    done = subprocess.run(command, env=dict(nodes.env), capture_output=True, text=True, check=True)
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def workers_on_both(nodes: TwoNodes) -> bool:
    """Whether a training worker lives on each node."""
    actors = [actor for actor in state_of(nodes, "actors") if actor["state"] == "ALIVE"]
    workers = [actor for actor in actors if re.search("RayTrainWorker", actor["class_name"])]
    return len({worker["node_id"] for worker in workers}) == 2


def drain_other(nodes: TwoNodes) -> bool:
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
