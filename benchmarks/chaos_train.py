"""Kill parts of a training at random moments; every run must end with the weights of the undisturbed one.

Two Ray nodes, `rclone serve s3` for everything durable and `mlflow server` run on this machine; a job of two workers
trains two short phases of SlimDiffSR. In each run one thing happens at a random moment after the first checkpoint: a
training worker is killed, the second node's raylet (the node comes back 10 seconds later), the driver (the same command
is typed again), the object store for 20 seconds, or the MLflow server for 60. Compared are the digests of all outputs
and the number of losses that MLflow has. Exits with 1 where a run differs.

Run: python benchmarks/chaos_train.py [--runs 20] [--seed 0] [--only worker,raylet,driver,store,tracking]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.local_servers import Server, TwoNodes, object_store, tracking_server
from benchmarks.measuring import describe_machine, markdown_table

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ("worker", "raylet", "driver", "store", "tracking")
_STORE_AWAY_S, _TRACKING_AWAY_S, _NODE_AWAY_S = 20.0, 60.0, 10.0
_LONGEST_RUN_S = 900.0
_SETTINGS = (
    "quickstart/slimdiffsr",
    "phases=[base,uncertainty]",
    "num_workers=2",
    "worker.max_failures=10",
    "num_validation_patches=4",
    "data.sample.num_images=20",
    "base.num_steps=40",
    "base.autoencoder_steps=20",
    "base.batch_size=2",
    "base.min_reconstruction_db=3",
    "base.validate_every_n_steps=20",
    "base.checkpoint_every_n_steps=5",
    "base.log_every_n_steps=1",
    "uncertainty.num_steps=30",
    "uncertainty.batch_size=2",
    "uncertainty.validate_every_n_steps=20",
    "uncertainty.checkpoint_every_n_steps=5",
    "uncertainty.log_every_n_steps=1",
    "mlflow.system_metrics=false",
)


@dataclass
class Place:
    """Everything that a run uses and that can be killed."""

    folder: Path
    store: Server
    tracking: Server
    cluster: TwoNodes
    env: Mapping[str, str]

    def output(self, name: str) -> Path:
        """Where a run's output lies behind the object store."""
        return self.folder / "objects" / "bucket" / name

    def start_job(self, name: str) -> subprocess.Popen[bytes]:
        """Type a run's command."""
        command = [sys.executable, str(ROOT / "jobs" / "slimdiffsr.py"), *_SETTINGS]
        command += [f"output.uri=s3://bucket/{name}", f"ray.address={self.cluster.address}"]
        command += [f"mlflow.tracking_uri=http://127.0.0.1:{self.tracking.port}", f"mlflow.experiment={name}"]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=dict(self.env), cwd=ROOT)


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        fault: What happened.
        at_s: How long after the first checkpoint.
        took_s: From the command to the end.
        digests: SHA-256 of every output file, by phase.
        num_losses: Points of losses in MLflow.
    """

    fault: str
    at_s: float
    took_s: float
    digests: dict[str, dict[str, str]]
    num_losses: int


def main() -> int:
    """Run, print the table; 1 where a run differs from the undisturbed one."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end with this process
    with tempfile.TemporaryDirectory(prefix="rssr-chaos-") as name, ExitStack() as running:
        place = _start(Path(name), running)
        calm = _run(place, "calm", "none", 0.0)
        _say(f"undisturbed: {calm.took_s:.0f} s, {calm.num_losses} losses")
        rng = random.Random(options.seed)
        faults = [options.only[number % len(options.only)] for number in range(options.runs)]
        outcomes = []
        for number, fault in enumerate(faults):
            outcome = _run(place, f"run{number:02d}", fault, rng.uniform(0, 0.5 * calm.took_s))
            outcomes.append(outcome)
            _say(f"{number + 1} of {len(faults)}: {fault} after {outcome.at_s:.1f} s: {_verdict(outcome, calm)}")
        print(describe_machine(torch.device("cpu")))
        print(f"- two nodes of one CPU, two workers; seed {options.seed}; undisturbed {calm.took_s:.0f} s\n")
        print(_table(outcomes, calm))
    return 0 if all(_verdict(outcome, calm) == "equal" for outcome in outcomes) else 1


def _start(folder: Path, running: ExitStack) -> Place:
    store, environment = object_store(folder)
    tracking = tracking_server(folder)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": f"token-of-{folder.name}-0123456789"}
    env = {**os.environ, **environment, **token, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    session = Path(
        running.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True))
    )
    cluster = TwoNodes(folder, session, num_cpus=1, env=env)
    for server in (store, tracking, cluster):
        running.callback(server.kill)
        server.start()
    return Place(folder, store, tracking, cluster, env)


def _run(place: Place, name: str, fault: str, at_s: float) -> Outcome:
    place.cluster.await_both()
    started_s = time.monotonic()
    job = place.start_job(name)
    try:
        _await_checkpoint(place, name, job)
        time.sleep(at_s)
        job = _FAULTS[fault](place, name, job)
        status = job.wait(_LONGEST_RUN_S)
    finally:
        job.kill()
    took_s = time.monotonic() - started_s
    if status != 0:
        _say(f"{name} ended with status {status}:\n{(place.folder / f'{name}.log').read_text()[-3000:]}")
    records = place.output(name).glob("phases/*/done.json")
    digests = {path.parent.name.rsplit("-", 1)[0]: json.loads(path.read_bytes())["files"] for path in records}
    return Outcome(fault, at_s, took_s, digests, _num_losses(place, name))


def _await_checkpoint(place: Place, name: str, job: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _LONGEST_RUN_S
    while not list(place.output(name).glob("phases/*/checkpoints/*/index.json")):
        if job.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"no checkpoint: {(place.folder / f'{name}.log').read_text()[-3000:]}")
        time.sleep(0.1)


def _nothing(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    return job


def _kill_worker(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    workers = place.cluster.processes_titled("RayTrainWorker")
    if workers:
        os.kill(random.choice(workers), signal.SIGKILL)
    return job


def _kill_raylet(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    os.kill(place.cluster.raylet_of_other(), signal.SIGKILL)
    time.sleep(_NODE_AWAY_S)
    place.cluster.other.kill()
    place.cluster.other.start()
    return job


def _kill_driver(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    job.kill()
    job.wait()
    return place.start_job(name)


def _kill_store(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    return _away(place.store, _STORE_AWAY_S, job)


def _kill_tracking(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    return _away(place.tracking, _TRACKING_AWAY_S, job)


def _away(server: Server, seconds: float, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    server.kill()
    time.sleep(seconds)
    server.start()
    return job


_FAULTS: Mapping[str, Callable[[Place, str, subprocess.Popen[bytes]], subprocess.Popen[bytes]]] = {
    "none": _nothing,
    "worker": _kill_worker,
    "raylet": _kill_raylet,
    "driver": _kill_driver,
    "store": _kill_store,
    "tracking": _kill_tracking,
}


def _num_losses(place: Place, experiment: str) -> int:
    """Points of losses in the store, read once the job has ended."""
    import sqlite3

    query = """SELECT count(*) FROM metrics JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id)
        WHERE key LIKE 'loss/%' AND experiments.name = ?"""
    with sqlite3.connect(place.folder / "mlflow.db") as connection:
        [(count,)] = connection.execute(query, (experiment,))
    return int(count)


def _verdict(outcome: Outcome, calm: Outcome) -> str:
    if outcome.digests != calm.digests:
        return "other weights" if outcome.digests.keys() == calm.digests.keys() else "unfinished"
    return "equal" if outcome.num_losses == calm.num_losses else f"{outcome.num_losses} of {calm.num_losses} losses"


def _table(outcomes: Sequence[Outcome], calm: Outcome) -> str:
    rows = [("what was killed", "s after the first checkpoint", "s in all", "weights and losses")]
    rows += [(one.fault, f"{one.at_s:.1f}", f"{one.took_s:.0f}", _verdict(one, calm)) for one in outcomes]
    return markdown_table(rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="disturbed runs")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=FAULTS, help="faults, in turn")
    options = parser.parse_args()
    if not set(options.only) <= set(FAULTS):
        parser.error(f"faults are {', '.join(FAULTS)}")
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
