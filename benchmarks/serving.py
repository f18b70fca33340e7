"""What serving costs beside its model, and how replicas follow the load.

The service runs on this machine with a narrow LDCSR on CPU, and is asked over loopback. First, one image of 128 x 128
pixels after another: what a request takes beyond the network, and beyond reading, computing and writing the image.
Second, as many requests at a time as one replica can take: images a CPU-second of the replica, beside those of the bare
network, in rounds that alternate. Third, a load that rises and falls again, from `wrk`: replicas over time, latencies
and errors.

Run: python benchmarks/serving.py [--rounds 3] [--only overhead,saturation,scaling]; the last two need wrk
(`apt-get install wrk`)
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.local_service import (
    MODEL,
    ROOT,
    SCALE,
    SIDE,
    LocalService,
    local_service,
    make_scene,
    served_model,
    wait_until_ready,
)
from benchmarks.measuring import describe_machine, markdown_table

PARTS = ("overhead", "saturation", "scaling")
_DEPLOYMENT = f"model-{MODEL}"
_QUIET = ("telemetry.log_level=warning", "ingress.num_replicas=1")
_ONE = (served_model("{min_replicas: 1, max_replicas: 1}"), *_QUIET)
_NUM_REPLICAS = 3
_DELAYS = "upscale_delay_s: 5, downscale_delay_s: 20, look_back_s: 11"
_SEVERAL = (served_model(f"{{min_replicas: 1, max_replicas: {_NUM_REPLICAS}, {_DELAYS}}}", "{num_cpus: 0.5}"), *_QUIET)
_NUM_IMAGES = 60
_SATURATED_S, _AT_A_TIME = 20, 6
_PHASES = ((1, 20), (12, 60), (1, 60))  # connections, seconds
_BARE = """
import sys, time, torch
from pathlib import Path
from rssr.allocator import keep_freed_memory
from rssr.inference import TilingOptions, open_scene
from rssr.inference.planning import plan_scene
from rssr.models.loaded import load_model
keep_freed_memory(); torch.set_num_threads(1)
model = load_model(sys.argv[1])
with open_scene(Path(sys.argv[2])) as reader:
    pixels = torch.from_numpy(reader.read().pixels.astype("float32")) / 127.5 - 1
plan = plan_scene(model, tuple(pixels.shape[1:]), float(sys.argv[3]), TilingOptions().completed(model.card))
tiles = list(plan.tiles)
def once():
    for tile in tiles:
        model.resolver(pixels[None, :, tile.lr[0], tile.lr[1]], tile.sr_size)
with torch.inference_mode():
    once(); once()
    started, number = time.process_time(), 0
    while time.process_time() - started < float(sys.argv[4]):
        once(); number += 1
print(number, time.process_time() - started)
"""
_WRK = """
local file = io.open(os.getenv("RSSR_IMAGE"), "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "image/tiff"
function done(summary, latency, requests)
  local failed = summary.errors
  io.stderr:write(string.format('{"images": %d, "seconds": %f, "p50": %f, "p95": %f, "p99": %f, "errors": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk has seen.

    Attributes:
        images: Answers.
        seconds: That it lasted.
        p50: Latency, ms; `p95` and `p99` likewise.
        p95: See p50.
        p99: See p50.
        errors: Answers that are none, and no answers.
    """

    images: int
    seconds: float
    p50: float
    p95: float
    p99: float
    errors: int


def main() -> int:
    """Measure and print; 1 where a request failed."""
    options = _parse()
    print(describe_machine(torch.device("cpu")))
    errors = 0
    if "overhead" in options.only or "saturation" in options.only:
        with _service(_ONE) as (service, image):
            if "overhead" in options.only:
                print(f"\nOne image of {SIDE} x {SIDE} pixels x{SCALE} after another\n\n{_overhead(service, image)}")
            if "saturation" in options.only:
                text, errors = _saturation(service, image, options.rounds)
                print(f"\n{_AT_A_TIME} requests at a time, one replica\n\n{text}")
    if "scaling" in options.only:
        with _service(_SEVERAL) as (service, image):
            text, failed = _scaling(service, image)
            errors += failed
            print(f"\nA load that rises and falls, 1 to {_NUM_REPLICAS} replicas\n\n{text}")
    return 1 if errors else 0


@contextmanager
def _service(settings: Sequence[str]) -> Iterator[tuple[LocalService, Path]]:
    with local_service(settings, num_cpus=4) as service:
        image = make_scene(service.folder / "scene.tif")
        wait_until_ready(service)
        yield service, image


def _overhead(service: LocalService, image: Path) -> str:
    """Of the answers' own timings and the clock here."""
    client, content = service.client, image.read_bytes()
    beyond: dict[str, list[float]] = {"whole": [], "model": [], "replica": []}
    for number in range(_NUM_IMAGES + 5):
        started_s = time.perf_counter()
        result = client.super_resolve(content, scale=SCALE)
        taken_s = time.perf_counter() - started_s
        if number >= 5:
            beyond["whole"].append(taken_s)
            beyond["model"].append(taken_s - result.timings_s["model"])
            beyond["replica"].append(taken_s - result.timings_s["replica"])
    rows = [("of a request", "p50, ms", "p95, ms")]
    names = {
        "whole": "all of it",
        "replica": "beyond reading, computing and writing the image: HTTP and Serve (wanted: at most 25)",
        "model": "beyond the network alone",
    }
    for name, words in names.items():
        rows.append((words, f"{1e3 * statistics.median(beyond[name]):.1f}", f"{1e3 * _p95(beyond[name]):.1f}"))
    return markdown_table(rows)


def _saturation(service: LocalService, image: Path, num_rounds: int) -> tuple[str, int]:
    bare, served, loads = [], [], []
    for number in range(num_rounds):
        _say(f"saturation, round {number + 1} of {num_rounds}")
        ways = ("bare", "served") if number % 2 == 0 else ("served", "bare")
        for way in ways:
            if way == "bare":
                bare.append(_bare(service.folder / MODEL, image))
                continue
            before_s = _cpu_s(service)
            loads.append(_wrk(service, image, _AT_A_TIME, _SATURATED_S))
            served.append(loads[-1].images / (_cpu_s(service) - before_s))
    share = statistics.median(served) / statistics.median(bare)
    rows: list[Sequence[str]] = [
        ("", "median", "smallest", "largest"),
        _row("bare network, images a CPU-second", bare),
        _row("service, images a CPU-second of its replica", served),
        ("share (wanted: at least 0.80)", f"{share:.3f}", "", ""),
        _row("service, images/s", [load.images / load.seconds for load in loads]),
        _row("service, p50, ms", [load.p50 for load in loads]),
        _row("service, p95, ms", [load.p95 for load in loads]),
        _row("service, p99, ms", [load.p99 for load in loads]),
    ]
    errors = sum(load.errors for load in loads)
    return markdown_table(rows) + f"\n\nErrors: {errors}", errors


def _scaling(service: LocalService, image: Path) -> tuple[str, int]:
    timeline, ended = [(0.0, service.num_running(_DEPLOYMENT))], threading.Event()
    began_s = time.monotonic()

    def watch() -> None:
        while not ended.wait(0.5):
            number = service.num_running(_DEPLOYMENT)
            if number != timeline[-1][1]:
                timeline.append((time.monotonic() - began_s, number))

    watching = threading.Thread(target=watch)
    watching.start()
    loads = []
    for connections, seconds in _PHASES:
        _say(f"{connections} at a time for {seconds} s")
        at_s = time.monotonic() - began_s
        loads.append((at_s, connections, _wrk(service, image, connections, seconds)))
    ended.set()
    watching.join()
    rows: list[Sequence[str]] = [
        ("begun at, s", "at a time", "images", "images/s", "p50, ms", "p95, ms", "p99, ms", "errors")
    ]
    for at_s, connections, load in loads:
        latencies = [f"{value:.0f}" for value in (load.p50, load.p95, load.p99)]
        rate = f"{load.images / load.seconds:.2f}"
        rows.append((f"{at_s:.0f}", str(connections), str(load.images), rate, *latencies, str(load.errors)))
    changes = ", ".join(f"{number} at {at_s:.0f} s" for at_s, number in timeline)
    return f"{markdown_table(rows)}\n\nReplicas: {changes}", sum(load.errors for _, _, load in loads)


def _wrk(service: LocalService, image: Path, connections: int, seconds: int) -> Load:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed; `apt-get install wrk` brings it.")
    script = service.folder / "post.lua"
    script.write_text(_WRK)
    command = [wrk, f"-c{connections}", "-t1", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
    command.append(f"{service.url}/v1/super-resolve?scale={SCALE}")
    env = {**os.environ, "RSSR_IMAGE": str(image)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    return Load(**json.loads(done.stderr))


def _bare(model: Path, image: Path) -> float:
    """Images a CPU-second of the network alone, in a process of its own."""
    command = [sys.executable, "-c", _BARE, str(model), str(image), str(SCALE), str(_SATURATED_S)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    number, cpu_s = done.stdout.split()
    return int(number) / float(cpu_s)


def _cpu_s(service: LocalService) -> float:
    """Processor time that the model's replicas have taken so far."""
    times = [process.cpu_times() for process in service.replicas(_DEPLOYMENT)]
    return sum(float(time.user + time.system) for time in times)


def _row(words: str, values: Sequence[float]) -> tuple[str, ...]:
    return (words, *(f"{value:.3g}" for value in (statistics.median(values), min(values), max(values))))


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of the saturated service and the bare network")
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=PARTS, help="parts, by comma")
    options = parser.parse_args()
    if not set(options.only) <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
