"""Kill parts of a bulk run at random moments; the same command must end with the bytes of the undisturbed run.

Two Ray nodes and `rclone serve s3`, for scenes and products, run on this machine; a job of two workers super-resolves a
few scenes of several windows, and small ones, with a small LDCSR. In each run one thing happens at a random moment: the
driver is killed and the same command typed again, a worker is killed, the second node is killed and comes back after
10 seconds, or the object store is gone for as long. Compared are the SHA-256 of all products; and no window or product
that was there at the moment of the kill may have been written again. Exits with 1 where a run differs.

Run: python benchmarks/chaos_bulk.py [--runs 30] [--seed 0] [--only driver,worker,node,store]
"""

import argparse
import hashlib
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

from benchmarks.local_servers import Server, TwoNodes, object_store
from benchmarks.measuring import describe_machine, markdown_table
from pipelines.bulk.records import RUN_KEY
from rssr.card import ModelCard
from rssr.models.registry import create_model
from rssr.scenes.geotiff import write_scene_geotiff
from rssr.weights.folder import save_model_folder

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ("driver", "worker", "node", "store")
_AWAY_S = 10.0
_LONGEST_RUN_S = 600.0
_UNDER_WAY_NS = 2 * 10**9  # what was written since may not have been finished: the server shows objects as they grow
_LARGE, _SMALL = (300, 340), (60, 50)  # LR pixels
_NUM_LARGE, _NUM_SMALL = 4, 6
_SETTINGS = (
    "scale=4",
    "seed=3",
    "num_workers=2",
    "keep_work=true",
    "worker.max_attempts=10",
    "tiling.tile_size=48",
    "tiling.halo=8",
    "tiling.tiles_a_side=3",
)

_ARCHITECTURE = {
    "channels": 8,
    "channel_multipliers": (1, 1, 1, 1),
    "num_res_blocks": 1,
    "norm_num_groups": 4,
    "num_distillation_blocks": (1, 1),
    "upsampler_channels": 8,
    "denoiser_channels": 8,
    "denoiser_multipliers": (1, 1),
    "denoiser_num_res_blocks": 1,
    "attention_resolutions": (8,),
    "head_channels": 8,
}

Digests = dict[str, str]


@dataclass
class Place:
    """Everything that a run uses and that can be killed."""

    folder: Path
    store: Server
    cluster: TwoNodes
    env: Mapping[str, str]

    def objects(self, name: str) -> Path:
        """Where an output lies behind the object store."""
        return self.folder / "objects" / "bucket" / name

    def start_job(self, name: str) -> subprocess.Popen[bytes]:
        """Type a run's command."""
        command = [sys.executable, str(ROOT / "jobs" / "bulk.py"), *_SETTINGS, f"model={self.folder / 'model'}"]
        command += ["input=s3://bucket/in", f"output=s3://bucket/{name}", f"ray.address={self.cluster.address}"]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=dict(self.env), cwd=ROOT)


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        fault: What happened.
        at_s: How long after the first window.
        took_s: From the command to the end.
        work_s: From the first window to the end.
        status: Exit status of the last command.
        num_kept: Windows and products that were there when it happened.
        num_redone: Those of them that were written again.
        products: SHA-256 of every product.
    """

    fault: str
    at_s: float
    took_s: float
    work_s: float
    status: int
    num_kept: int
    num_redone: int
    products: Digests

    def verdict(self, calm: "Outcome") -> str:
        """In a word or two."""
        if self.status != 0:
            return f"exit status {self.status}"
        if self.products != calm.products:
            return "other bytes" if self.products.keys() == calm.products.keys() else "other products"
        return "equal" if self.num_redone == 0 else f"{self.num_redone} written again"


def main() -> int:
    """Run, print the table; 1 where a run differs from the undisturbed one."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end with this process
    with tempfile.TemporaryDirectory(prefix="rssr-chaos-") as name, ExitStack() as running:
        place = _start(Path(name), running)
        _make_input(place)
        calm = _run(place, "calm", "none", 0.0)
        _say(f"undisturbed: {calm.took_s:.0f} s, {len(calm.products)} files of products, status {calm.status}")
        rng = random.Random(options.seed)
        outcomes = []
        for number in range(options.runs):
            fault = options.only[number % len(options.only)]
            name = f"run{number:02d}"
            _begin_as_calm(place, name)
            outcome = _run(place, name, fault, rng.uniform(0, 0.95 * calm.work_s))
            outcomes.append(outcome)
            _say(f"{number + 1} of {options.runs}: {fault} after {outcome.at_s:.1f} s: {outcome.verdict(calm)}")
        print(describe_machine(torch.device("cpu")))
        print(f"- two nodes of one CPU, two workers; seed {options.seed}")
        print(f"- undisturbed {calm.took_s:.0f} s, of which {calm.work_s:.0f} from the first window on\n")
        print(_table(outcomes, calm))
    return 0 if calm.status == 0 and all(outcome.verdict(calm) == "equal" for outcome in outcomes) else 1


def _start(folder: Path, running: ExitStack) -> Place:
    store, environment = object_store(folder)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": f"token-of-{folder.name}-0123456789"}
    env = {**os.environ, **environment, **token, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    session = Path(
        running.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True))
    )
    cluster = TwoNodes(folder, session, num_cpus=1, env=env)
    for server in (store, cluster):
        running.callback(server.kill)
        server.start()
    return Place(folder, store, cluster, env)


def _make_input(place: Place) -> None:
    scenes = [(_LARGE, f"large_{number}") for number in range(_NUM_LARGE)]
    scenes += [(_SMALL, f"small/{number}") for number in range(_NUM_SMALL)]
    for number, ((height, width), name) in enumerate(scenes):
        path = place.objects("in") / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_scene_geotiff(path, number, height, width, gsd_m=2.0)
    torch.manual_seed(0)
    network = create_model("ldcsr", **_ARCHITECTURE)
    card = ModelCard(
        name="ldcsr-untrained",
        method="ldcsr",
        bands=["red", "green", "blue"],
        scale_range=(1, 8),
        tile_size=48,
        halo=8,
        licence="none",
    )
    save_model_folder(place.folder / "model", "ldcsr", _ARCHITECTURE, network, card)


def _run(place: Place, name: str, fault: str, at_s: float) -> Outcome:
    place.cluster.await_both()
    started_s = time.monotonic()
    job = place.start_job(name)
    kept: dict[Path, int] = {}
    try:
        _await_window(place, name, job)
        first_s = time.monotonic()
        time.sleep(at_s)
        kept = {path: at for path, at in _written(place.objects(name)).items() if at < time.time_ns() - _UNDER_WAY_NS}
        job = _FAULTS[fault](place, name, job)
        status = job.wait(_LONGEST_RUN_S)
    finally:
        job.kill()
    took_s, work_s = time.monotonic() - started_s, time.monotonic() - first_s
    if status != 0:
        _say(f"{name} ended with status {status}:\n{(place.folder / f'{name}.log').read_text()[-3000:]}")
    now = _written(place.objects(name))
    redone = [path for path, written in kept.items() if now.get(path) != written]
    return Outcome(fault, at_s, took_s, work_s, status, len(kept), len(redone), _digests(place.objects(name)))


def _begin_as_calm(place: Place, name: str) -> None:
    """Products tell when their run was planned: let it be the moment of the undisturbed one."""
    target = place.objects(name) / RUN_KEY
    target.parent.mkdir(parents=True)
    target.write_bytes((place.objects("calm") / RUN_KEY).read_bytes())


def _written(output: Path) -> dict[Path, int]:
    """When each window and product was written that is there now."""
    found = {}
    for path in output.rglob("*"):
        if path.is_file() and path.relative_to(output).parts[0] != "_run":
            found[path] = path.stat().st_mtime_ns
    return found


def _digests(output: Path) -> Digests:
    """SHA-256 of every file of a product."""
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.relative_to(output).parts[0] not in ("_run", "_work")
    }


def _await_window(place: Place, name: str, job: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _LONGEST_RUN_S
    while not any(path.is_file() for path in (place.objects(name) / "_work").rglob("*")):
        if job.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"no window: {(place.folder / f'{name}.log').read_text()[-3000:]}")
        time.sleep(0.05)


def _nothing(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    return job


def _kill_driver(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    job.kill()
    job.wait()
    return place.start_job(name)


def _kill_worker(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    workers = place.cluster.processes_titled("SceneActor")
    if workers:
        os.kill(random.choice(workers), signal.SIGKILL)
    return job


def _kill_node(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    place.cluster.other.kill()
    time.sleep(_AWAY_S)
    place.cluster.other.start()
    return job


def _kill_store(place: Place, name: str, job: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    place.store.kill()
    time.sleep(_AWAY_S)
    place.store.start()
    return job


_FAULTS: Mapping[str, Callable[[Place, str, subprocess.Popen[bytes]], subprocess.Popen[bytes]]] = {
    "none": _nothing,
    "driver": _kill_driver,
    "worker": _kill_worker,
    "node": _kill_node,
    "store": _kill_store,
}


def _table(outcomes: Sequence[Outcome], calm: Outcome) -> str:
    rows = [("what was killed", "s after the first window", "s in all", "windows and files there", "products")]
    rows += [
        (one.fault, f"{one.at_s:.1f}", f"{one.took_s:.0f}", str(one.num_kept), one.verdict(calm)) for one in outcomes
    ]
    return markdown_table(rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="disturbed runs")
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
