"""Kill parts of a bulk run at random moments; the same command must end with the bytes of the undisturbed run.

Two Ray nodes and `rclone serve s3`, for scenes and products, run on this machine; a job of two workers super-resolves a
few scenes of several windows, and small ones, with a small LDCSR. In each run one thing happens at a random moment: the
driver is killed and the same command typed again, a worker is killed, the second node is killed and comes back after
10 seconds, or the object store is gone for as long. Compared are the SHA-256 of all products; and no window or product
that was there at the moment of the kill may have been written again. Exits with 1 where a run differs.

Run: python benchmarks/chaos_bulk.py [--runs 30] [--seed 0] [--only driver,worker,node,store]
"""

import hashlib
import random
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
from pipelines.bulk.records import RUN_KEY
from rssr.card import ModelCard
from rssr.models.registry import create_model
from rssr.scenes.geotiff import write_scene_geotiff
from rssr.weights.folder import save_model_folder

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
    options = parse_options(__doc__, FAULTS, 30)
    with tempfile.TemporaryDirectory(prefix="rssr-chaos-") as name, ExitStack() as running:
        place = start_place(Path(name), running)
        _make_input(place)
        calm = _run(place, "calm", "none", 0.0)
        say(f"undisturbed: {calm.took_s:.0f} s, {len(calm.products)} files of products, status {calm.status}")
        rng = random.Random(options.seed)
        outcomes = []
        for number in range(options.runs):
            fault = options.only[number % len(options.only)]
            name = f"run{number:02d}"
            _begin_as_calm(place, name)
            outcome = _run(place, name, fault, rng.uniform(0, 0.95 * calm.work_s))
            outcomes.append(outcome)
            say(f"{number + 1} of {options.runs}: {fault} after {outcome.at_s:.1f} s: {outcome.verdict(calm)}")
        print(describe_machine(torch.device("cpu")))
        print(f"- two nodes of one CPU, two workers; seed {options.seed}")
        print(f"- undisturbed {calm.took_s:.0f} s, of which {calm.work_s:.0f} from the first window on\n")
        print(_table(outcomes, calm))
    return 0 if calm.status == 0 and all(outcome.verdict(calm) == "equal" for outcome in outcomes) else 1


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
    place.cluster.await_all()
    started_s = time.monotonic()
    job = place.start_job(name, _command(place, name))
    kept: dict[Path, int] = {}
    try:
        _await_window(place, name, job)
        first_s = time.monotonic()
        time.sleep(at_s)
        kept = {path: at for path, at in _written(place.objects(name)).items() if at < time.time_ns() - _UNDER_WAY_NS}
        job = _disturb(place, name, fault, job)
        status = job.wait(_LONGEST_RUN_S)
    finally:
        job.kill()
    took_s, work_s = time.monotonic() - started_s, time.monotonic() - first_s
    if status != 0:
        say(f"{name} ended with status {status}:\n{place.log(name)}")
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


def _await_window(place: Place, name: str, job: Job) -> None:
    deadline_s = time.monotonic() + _LONGEST_RUN_S
    while not any(path.is_file() for path in (place.objects(name) / "_work").rglob("*")):
        if job.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"no window: {place.log(name)}")
        time.sleep(0.05)


def _command(place: Place, name: str) -> list[str]:
    command = [sys.executable, str(ROOT / "jobs" / "bulk.py"), *_SETTINGS, f"model={place.folder / 'model'}"]
    return [*command, "input=s3://bucket/in", f"output=s3://bucket/{name}", f"ray.address={place.cluster.address}"]


def _disturb(place: Place, name: str, fault: str, job: Job) -> Job:
    """Let it happen; returns the job, or the one that goes on."""
    if fault == "driver":
        kill_driver(job)
        return place.start_job(name, _command(place, name))
    if fault == "worker":
        kill_worker(place, "SceneActor")
    elif fault == "node":
        take_away(place.cluster.other, _AWAY_S)
    elif fault == "store":
        take_away(place.store, _AWAY_S)
    return job


def _table(outcomes: Sequence[Outcome], calm: Outcome) -> str:
    rows = [("what was killed", "s after the first window", "s in all", "windows and files there", "products")]
    rows += [
        (one.fault, f"{one.at_s:.1f}", f"{one.took_s:.0f}", str(one.num_kept), one.verdict(calm)) for one in outcomes
    ]
    return markdown_table(rows)


if __name__ == "__main__":
    sys.exit(main())
