"""Kill parts of a training at random moments; every run must end with the weights of the undisturbed one.

Two Ray nodes, `rclone serve s3` for everything durable and `mlflow server` run on this machine; a job of two workers
trains two short phases of SlimDiffSR. In each run one thing happens at a random moment after the first checkpoint: a
training worker is killed, the second node's raylet (the node comes back 10 seconds later), the driver (the same command
is typed again), the object store for 20 seconds, or the MLflow server for 60. Compared are the digests of all outputs
and the number of losses that MLflow has. Exits with 1 where a run differs.

Run: python benchmarks/chaos_train.py [--runs 20] [--seed 0] [--only worker,raylet,driver,store,tracking]
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.faults import ROOT, Job, Place, kill_driver, kill_worker, parse_options, say, start_place, take_away
from benchmarks.measuring import describe_machine, markdown_table
from cluster.local.servers import Server, tracking_server

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
class Training:
    """Where trainings run, and the MLflow server that they tell of themselves."""

    place: Place
    tracking: Server

    def command(self, name: str) -> list[str]:
        """Of a run."""
        command = [sys.executable, str(ROOT / "jobs" / "slimdiffsr.py"), *_SETTINGS]
        command += [f"output.uri=s3://bucket/{name}", f"ray.address={self.place.cluster.address}"]
        return [*command, f"mlflow.tracking_uri=http://127.0.0.1:{self.tracking.port}", f"mlflow.experiment={name}"]


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
    options = parse_options(__doc__, FAULTS, 20)
    with tempfile.TemporaryDirectory(prefix="rssr-chaos-") as name, ExitStack() as running:
        training = _start(Path(name), running)
        calm = _run(training, "calm", "none", 0.0)
        say(f"undisturbed: {calm.took_s:.0f} s, {calm.num_losses} losses")
        rng = random.Random(options.seed)
        faults = [options.only[number % len(options.only)] for number in range(options.runs)]
        outcomes = []
        for number, fault in enumerate(faults):
            outcome = _run(training, f"run{number:02d}", fault, rng.uniform(0, 0.5 * calm.took_s))
            outcomes.append(outcome)
            say(f"{number + 1} of {len(faults)}: {fault} after {outcome.at_s:.1f} s: {_verdict(outcome, calm)}")
        print(describe_machine(torch.device("cpu")))
        print(f"- two nodes of one CPU, two workers; seed {options.seed}; undisturbed {calm.took_s:.0f} s\n")
        print(_table(outcomes, calm))
    return 0 if all(_verdict(outcome, calm) == "equal" for outcome in outcomes) else 1


def _start(folder: Path, running: ExitStack) -> Training:
    place, tracking = start_place(folder, running), tracking_server(folder)
    running.callback(tracking.kill)
    tracking.start()
    return Training(place, tracking)


def _run(training: Training, name: str, fault: str, at_s: float) -> Outcome:
    place = training.place
    place.cluster.await_all()
    started_s = time.monotonic()
    job = place.start_job(name, training.command(name))
    try:
        _await_checkpoint(place, name, job)
        time.sleep(at_s)
        job = _disturb(training, name, fault, job)
        status = job.wait(_LONGEST_RUN_S)
    finally:
        job.kill()
    took_s = time.monotonic() - started_s
    if status != 0:
        say(f"{name} ended with status {status}:\n{place.log(name)}")
    records = place.objects(name).glob("phases/*/done.json")
    digests = {path.parent.name.rsplit("-", 1)[0]: json.loads(path.read_bytes())["files"] for path in records}
    return Outcome(fault, at_s, took_s, digests, _num_losses(place, name))


def _await_checkpoint(place: Place, name: str, job: Job) -> None:
    deadline_s = time.monotonic() + _LONGEST_RUN_S
    while not list(place.objects(name).glob("phases/*/checkpoints/*/index.json")):
        if job.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"no checkpoint: {place.log(name)}")
        time.sleep(0.1)


def _disturb(training: Training, name: str, fault: str, job: Job) -> Job:
    """Let it happen; returns the job, or the one that goes on."""
    place = training.place
    if fault == "driver":
        kill_driver(job)
        return place.start_job(name, training.command(name))
    if fault == "worker":
        kill_worker(place, "RayTrainWorker")
    elif fault == "raylet":
        os.kill(place.cluster.raylet_of_other(), signal.SIGKILL)
        time.sleep(_NODE_AWAY_S)
        place.cluster.other.kill()
        place.cluster.other.start()
    elif fault == "store":
        take_away(place.store, _STORE_AWAY_S)
    elif fault == "tracking":
        take_away(training.tracking, _TRACKING_AWAY_S)
    return job


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


if __name__ == "__main__":
    sys.exit(main())
