"""What the scripts share that kill parts of a job at random moments: two Ray nodes, an object store, the killing."""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cluster.local.servers import LocalCluster, Server, object_store

ROOT = Path(__file__).resolve().parents[1]

Job = subprocess.Popen[bytes]


@dataclass
class Place:
    """Everything that a run uses and that can be killed.

    Attributes:
        folder: Of servers, their logs and what they hold.
        store: The object store; its bucket is called `bucket`.
        cluster: Two nodes of one CPU.
        env: Environment of jobs.
    """

    folder: Path
    store: Server
    cluster: LocalCluster
    env: Mapping[str, str]

    def objects(self, name: str) -> Path:
        """Where what lies below `s3://bucket/NAME` lies behind the object store."""
        return self.folder / "objects" / "bucket" / name

    def start_job(self, name: str, command: Sequence[str]) -> Job:
        """Type a run's command."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=dict(self.env), cwd=ROOT)

    def log(self, name: str) -> str:
        """The end of what a run has said."""
        return (self.folder / f"{name}.log").read_text()[-3000:]


def start_place(folder: Path, running: ExitStack) -> Place:
    """Start store and cluster, until the stack is closed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end with this process
    store, environment = object_store(folder)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": f"token-of-{folder.name}-0123456789"}
    env = {**os.environ, **environment, **token, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    session = Path(
        running.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True))
    )
    cluster = LocalCluster(folder, session, num_cpus=1, env=env)
    for server in (store, cluster):
        running.callback(server.kill)
        server.start()
    return Place(folder, store, cluster, env)


def kill_worker(place: Place, title: str) -> None:
    """Kill -9 one of the processes with such a title, if there are any."""
    workers = place.cluster.processes_titled(title)
    if workers:
        os.kill(random.choice(workers), signal.SIGKILL)


def kill_driver(job: Job) -> None:
    """Kill -9 a job's own process."""
    job.kill()
    job.wait()


def take_away(server: Server, seconds: float) -> None:
    """Kill a server, and start it again later."""
    server.kill()
    time.sleep(seconds)
    server.start()


def parse_options(about: str | None, faults: Sequence[str], num_runs: int) -> argparse.Namespace:
    """The command line: `runs`, `seed` and `only`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=num_runs, help="disturbed runs")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=faults, help="faults, in turn")
    options = parser.parse_args()
    if not set(options.only) <= set(faults):
        parser.error(f"faults are {', '.join(faults)}")
    return options


def say(text: str) -> None:
    """To whoever waits, at once."""
    print(text, file=sys.stderr, flush=True)
