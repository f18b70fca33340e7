"""Runs every job on a cluster of three nodes on this machine, and loses a node in each: python cluster/local/demo.py.

A head and two workers (each with a raylet of its own), an S3 server and an MLflow server are started. Then, with `ray
job submit` alone: images are ingested, SlimDiffSR is trained on them by two workers, the model is compared with
interpolation, a few scenes are super-resolved, and the model is served and asked. In each step the worker node that has
most to do is killed with SIGKILL once the work has begun, and comes back a few seconds later. Each step must end with
status 0 and be complete. What happened when is printed; exits with 1 where a step is not complete.

Run: python cluster/local/demo.py [--folder FOLDER]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no stubs

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cluster.local.complete import (
    evaluation_is_complete,
    ingest_is_complete,
    products_are_complete,
    training_is_complete,
)
from cluster.local.servers import LocalCluster, Server, free_port, object_store, tracking_server
from rssr.client import Client
from rssr.images import encode_png
from rssr.scenes import generate_scene
from rssr.scenes.geotiff import write_scene_geotiff

ROOT = Path(__file__).resolve().parents[2]
MODEL = "slimdiffsr-x4-demo"
NUM_IMAGES, NUM_HELD_OUT, NUM_SCENES = 60, 10, 4
_TOKEN = "token-of-the-demonstration-0123456789"  # of a cluster that only this machine reaches
_NUM_REQUESTS, _ASKED_BEFORE = 40, 10
_AWAY_S = 4.0
_PATIENCE_S = 900.0


@dataclass
class Timeline:
    """What happened when.

    Attributes:
        began_s: Monotonic seconds of the beginning.
        events: Seconds since then, and what.
    """

    began_s: float = field(default_factory=time.monotonic)
    events: list[tuple[float, str]] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Something happens now."""
        self.events.append((time.monotonic() - self.began_s, text))
        print(f"{self.events[-1][0]:7.1f} s  {text}", flush=True)


@dataclass
class Place:
    """Everything that runs.

    Attributes:
        folder: Of logs, and of what the servers hold.
        objects: What the bucket holds, behind the S3 server.
        cluster: Three nodes.
        tracking: The MLflow server.
        env: Environment of whoever submits.
        timeline: Of the demonstration.
    """

    folder: Path
    objects: Path
    cluster: LocalCluster
    tracking: Server
    env: dict[str, str]
    timeline: Timeline

    def submit(self, step: str, *command: str) -> "subprocess.Popen[bytes]":
        """`ray job submit`, as anybody types it."""
        ray = str(Path(sys.executable).parent / "ray")
        options = ["--address", self.cluster.dashboard, "--working-dir", str(ROOT)]
        with (self.folder / f"{step}.log").open("wb") as log:
            return subprocess.Popen(
                [ray, "job", "submit", *options, "--", sys.executable, *command], env=self.env, stdout=log, stderr=log
            )

    def run(self, step: str, has_begun: Callable[[], bool], *command: str) -> None:
        """Submit a job, kill a node once it has begun, and wait for its end.

        Raises:
            RuntimeError: It did not end well, or before anything could be killed.
        """
        self.timeline.tell(f"{step}: submitted")
        job = self.submit(step, *command)
        while not has_begun():
            if job.poll() is not None:
                raise RuntimeError(f"{step} ended with {job.returncode} before a node was killed: {self._end_of(step)}")
            time.sleep(0.1)
        self.lose_a_node(step)
        status = job.wait(_PATIENCE_S)
        self.timeline.tell(f"{step}: ended with status {status}")
        if status != 0:
            raise RuntimeError(f"{step} ended with {status}: {self._end_of(step)}")

    def lose_a_node(self, step: str) -> None:
        """The worker node with most to do dies, and another takes its place after some seconds."""
        number, node = max(enumerate(self.cluster.others, start=1), key=lambda each: _num_busy(each[1]))
        self.timeline.tell(f"{step}: node {number} is killed ({_num_busy(node)} processes at work)")
        node.kill()
        time.sleep(_AWAY_S)
        node.start()
        self.timeline.tell(f"{step}: node {number} is back")

    def holds(self, pattern: str) -> bool:
        """Whether the bucket holds something like this."""
        return next(self.objects.glob(pattern), None) is not None

    def _end_of(self, step: str) -> str:
        return (self.folder / f"{step}.log").read_text(errors="replace")[-3000:]


def main() -> int:
    """Run it all; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where logs and objects stay; a temporary one by default")
    options = parser.parse_args()
    with ExitStack() as running:
        folder = options.folder or Path(running.enter_context(tempfile.TemporaryDirectory(prefix="rssr-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        place = _start(folder.resolve(), running)
        try:
            for step in (_ingest, _train, _evaluate, _bulk, _serve):
                step(place)
        except RuntimeError as error:
            print(f"Not complete: {error}", file=sys.stderr)
            return 1
        place.timeline.tell("everything is complete")
    return 0


def _start(folder: Path, running: ExitStack) -> Place:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end with this process
    timeline = Timeline()
    store, reach_store = object_store(folder)
    objects = folder / "objects" / "bucket"
    _put_images(objects)
    tracking = tracking_server(folder)
    env = {**os.environ, **reach_store, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN, "OMP_NUM_THREADS": "1"}
    env |= {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{tracking.port}", "RAY_ADDRESS": ""}
    session = running.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True))
    cluster = LocalCluster(folder, Path(session), num_cpus=2, env=env, num_others=2)
    for server in (store, tracking, cluster):
        running.callback(server.kill)
        server.start()
    timeline.tell("three nodes, an S3 server and an MLflow server run")
    return Place(folder, objects, cluster, tracking, env, timeline)


def _put_images(objects: Path) -> None:
    """What the jobs read, before the S3 server is started, which remembers for minutes what there was."""
    for name, number, first in (("raw", NUM_IMAGES, 0), ("held_out", NUM_HELD_OUT, 1000)):
        (objects / name).mkdir()
        for index in range(number):
            (objects / name / f"{index:03}.png").write_bytes(encode_png(generate_scene(first + index, 128, 128)))
    (objects / "scenes").mkdir()
    for number in range(NUM_SCENES):
        write_scene_geotiff(objects / "scenes" / f"{number}.tif", number, 300, 340, gsd_m=1.6)


def _ingest(place: Place) -> None:
    data = ("input.uri=s3://bucket/raw", "output.uri=s3://bucket/data", "shard_bytes=200000", "num_workers=2")
    place.run("ingest", lambda: place.holds("data/**/*.parquet"), "jobs/ingest.py", "quickstart/ingest", *data)
    _require(ingest_is_complete(place.objects / "data", NUM_IMAGES))


def _train(place: Place) -> None:
    settings = ("output.uri=s3://bucket/runs", "num_workers=2", "worker.max_failures=10")
    began = "runs/phases/*/checkpoints/*/index.json"
    place.run("train", lambda: place.holds(began), "jobs/slimdiffsr.py", "cluster/local/training.yaml", *settings)
    _require(training_is_complete(place.objects / "runs", str(place.env["MLFLOW_TRACKING_URI"]), MODEL))


def _evaluate(place: Place) -> None:
    settings = (
        f"methods=[bicubic, 'models:/{MODEL}@champion']",
        "datasets=[{name: held-out, uri: s3://bucket/held_out}]",
        "metrics.names=[psnr_y, ssim_y]",
        "output.uri=s3://bucket/evaluation",
        "num_workers=2",
    )
    began = "evaluation/**/*.parquet"
    place.run("evaluate", lambda: place.holds(began), "jobs/evaluate.py", "quickstart/evaluate", *settings)
    _require(evaluation_is_complete(place.objects / "evaluation", 2 * NUM_HELD_OUT))


def _bulk(place: Place) -> None:
    settings = (
        "input=s3://bucket/scenes",
        "output=s3://bucket/products",
        f"model=models:/{MODEL}@champion",
        "tiling.tiles_a_side=2",
        "num_workers=2",
        "worker.max_attempts=10",
    )
    began = "products/_work/**/r*"
    place.run("bulk", lambda: place.holds(began), "jobs/bulk.py", "quickstart/bulk", *settings)
    _require(products_are_complete(place.objects / "products", NUM_SCENES))


def _serve(place: Place) -> None:
    port = free_port()
    scaling = "{min_replicas: 2, max_replicas: 2}"
    replica = "{num_cpus: 0.5}"
    served = f"{{name: demo, source: 'models:/{MODEL}@champion', scaling: {scaling}, replica: {replica}}}"
    settings = (f"models=[{served}]", f"port={port}", "output=s3://bucket/service", "wait=false")
    place.timeline.tell("serve: submitted")
    if (status := place.submit("serve", "jobs/serve.py", "quickstart/serve", *settings).wait(_PATIENCE_S)) != 0:
        raise RuntimeError(f"serve ended with {status}: {(place.folder / 'serve.log').read_text()[-3000:]}")
    place.timeline.tell("serve: deployed")
    client = Client(f"http://127.0.0.1:{port}", timeout_s=120.0, max_attempts=30, max_wait_s=240.0)
    image = encode_png(generate_scene(5, 48, 48))
    answers: list[bytes] = []
    with _asked_meanwhile(client, image, answers):
        while len(answers) < _ASKED_BEFORE:
            time.sleep(0.1)
        place.lose_a_node("serve")
    place.timeline.tell(f"serve: {len(answers)} of {_NUM_REQUESTS} images were answered")
    _require("" if len(answers) == _NUM_REQUESTS else "images were lost")
    _require("" if len(set(answers)) == 1 else "answers to one image differ")


@contextmanager
def _asked_meanwhile(client: Client, image: bytes, answers: list[bytes]) -> Iterator[None]:
    """Ask for one image after another until all are answered, beside the block and after it."""

    def ask() -> None:
        for _ in range(_NUM_REQUESTS):
            answers.append(client.super_resolve(image, scale=4).content)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    yield
    asking.join(_PATIENCE_S)


def _require(amiss: str) -> None:
    if amiss:
        raise RuntimeError(amiss)


def _num_busy(node: Server) -> int:
    """Ray's processes of a node that do something."""
    if node.process is None:
        return 0
    titles = [_title(child) for child in psutil.Process(node.process.pid).children(recursive=True)]
    return sum(title.startswith("ray::") and not title.startswith("ray::IDLE") for title in titles)


def _title(process: psutil.Process) -> str:
    try:
        words: Sequence[str] = process.cmdline()
        return " ".join(words)
    except psutil.Error:  # it has just ended
        return ""


if __name__ == "__main__":
    sys.exit(main())
