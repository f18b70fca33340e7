"""Whether data keeps up: degradation, Ray Data against bare functions, one worker against two, memory, many objects.

Degradation: 512 x 512 HR patches to x4, fast and in plain float32 PyTorch from the same draws, on one thread. Streams:
JPEG images of 600 x 600 pixels are read, decoded, cropped to 512 and degraded to x4, nothing kept; the bare functions
do so in as many processes. Rates are per CPU-second of the worker processes, with wall-clock beside, since Ray's own
processes share the cores; runs alternate, medians of the rounds. Memory: proportional set size of all processes while
20,000 samples pass. Objects: 100,000 small images in shards, from nothing known to the first batch. The last table has
what was aimed at beside what was measured; nothing is asserted.

Run: python benchmarks/data.py [--only degradation,streams,memory,objects] [--rounds 5] [--patches 12] [--batches 120]
     [--patch-size 512] [--samples 20000] [--objects 100000] [--uri FOLDER_OR_S3_URI_FOR_SHARDS]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil  # type: ignore[import-untyped]  # ships no stubs
import ray
import torch

if __name__ == "__main__":  # the folder above is not on the path of a file that is run by name
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import data_workers
from benchmarks.data_workers import Rate, measure_bare, measure_ray
from benchmarks.degradation import Timing, sample_patch, timed_side_by_side
from benchmarks.measuring import describe_machine, markdown_table
from pipelines.datasets import DataConfig, build_manifest
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.run import run_ingest
from pipelines.plan import StreamSpec
from pipelines.stream import StreamInputs, ray_stream
from rssr.degradation import configure_worker_threads, degradation_preset
from rssr.images import encode_jpeg
from rssr.seeds import numpy_generator

_PARTS = ("degradation", "streams", "memory", "objects")
_NUM_WORKERS = 2
_OBJECT_STORE_BYTES = 512 * 2**20
_MIB = 2**20
_MARGIN = 88  # pixels around a patch: photographs of 600 give patches of 512
_OBJECT_SIDE = 32
_NUM_POINTS = 10  # of the curve of memory
_KEEPS_UP = "Ray / bare, 2 processes, per CPU-s"
_SCALES = "Ray, 2 / 1 workers, delivered per s"


class Target(NamedTuple):
    """What was aimed at, as a row of the last table."""

    what: str
    measured: str
    target: str


class Part(NamedTuple):
    """What was measured, as Markdown, and what of it has a target."""

    text: str
    targets: list[Target]


def main() -> int:
    """Measure the parts asked for and print them as Markdown."""
    options = _options()
    torch.set_num_threads(1)
    print(describe_machine(torch.device("cpu")), flush=True)
    targets: list[Target] = []
    with tempfile.TemporaryDirectory(prefix="rssr-data-") as name:
        for part in _measured(Path(name), options):
            print(part.text, flush=True)
            targets += part.targets
    rows: list[tuple[str, ...]] = [("ratio or figure", "measured", "target"), *targets]
    print(f"\n## Targets\n\n{markdown_table(rows)}")
    return 0


def _measured(folder: Path, options: argparse.Namespace) -> Iterator[Part]:
    if "degradation" in options.only:
        yield _degradation(options.rounds, options.patches)
    if options.only == ["degradation"]:
        return  # needs no cluster
    with _cluster():
        if "streams" in options.only:
            yield _streams(folder / "photographs", options)
        if "memory" in options.only:
            yield _memory(folder / "memory", options.samples)
        if "objects" in options.only:
            yield _objects(folder / "objects", options.objects, options.uri or f"{folder}/shards")


def _degradation(rounds: int, num_patches: int) -> Part:
    """Time of the reference over that of the fast degradation, a round at a time."""
    configure_worker_threads()
    hr, config = sample_patch(512), degradation_preset("slimdiffsr")
    timed_side_by_side(hr, 4, config, range(-2, 0))  # warms up
    times = []
    for number in range(rounds):
        _say(f"round {number + 1} of {rounds}: degradation")
        times.append(timed_side_by_side(hr, 4, config, range(number * num_patches, (number + 1) * num_patches)))
    rows: list[tuple[str, ...]] = [("clock", "fast, ms a patch", "plain, ms a patch", "plain / fast")]
    for clock in Timing._fields:
        fast, plain = ([sum(getattr(one, clock) for one in t[name]) for t in times] for name in ("fast", "plain"))
        each = (1e3 * statistics.median(totals) / num_patches for totals in (fast, plain))
        ratio = statistics.median(slow / quick for slow, quick in zip(plain, fast, strict=True))
        rows.append((clock.removesuffix("_s"), *(f"{milliseconds:.1f}" for milliseconds in each), f"{ratio:.1f}"))
    what = "degradation of a 512 x 512 patch to x4, reference / fast, per CPU-s"
    return Part(f"\n## Degradation\n\n{markdown_table(rows)}", [Target(what, rows[1][-1], "at least 8")])


def _streams(folder: Path, options: argparse.Namespace) -> Part:
    """Rates of the bare functions and of Ray, with one worker and two."""
    uri = _write_photographs(folder, options.patch_size + _MARGIN)
    inputs = _inputs(uri, patch_size=options.patch_size, num_batches=options.batches)
    rates: dict[str, list[Rate]] = {}
    for number in range(options.rounds):
        subjects = [(kind, workers) for workers in range(1, _NUM_WORKERS + 1) for kind in ("bare", "ray")]
        for kind, workers in subjects if number % 2 == 0 else reversed(subjects):
            _say(f"round {number + 1} of {options.rounds}: {kind}, {workers}")
            rate = (measure_bare if kind == "bare" else measure_ray)(inputs, workers)
            assert rate.num_workers == workers, f"{rate.num_workers} workers instead of {workers}"
            rates.setdefault(f"{kind} {workers}", []).append(rate)
    ratios = _ratios(rates)
    targets = [
        Target(name, f"{statistics.median(ratios[name]):.2f}", wanted)
        for name, wanted in ((_KEEPS_UP, "at least 0.85"), (_SCALES, "at least 1.5"))
    ]
    return Part(f"\n## Streams\n\n{_rates_table(rates)}\n\n{_ratios_table(ratios)}", targets)


def _rates_table(rates: dict[str, list[Rate]]) -> str:
    rows: list[tuple[str, ...]] = [("what", "processes", "batches/CPU-s", "batches/s made", "batches/s delivered")]
    for name, found in rates.items():
        figures = ("per_cpu_s", "per_s", "delivered_per_s")
        medians = [f"{statistics.median(getattr(rate, figure) for rate in found):.3g}" for figure in figures]
        kind, workers = name.split()
        rows.append(({"bare": "bare functions", "ray": "Ray Data"}[kind], workers, *medians))
    return markdown_table(rows)


def _ratios(rates: dict[str, list[Rate]]) -> dict[str, list[float]]:
    """Ratios within each round."""
    wanted = (
        ("Ray / bare, 1 process, per CPU-s", "ray 1", "bare 1", "per_cpu_s"),
        (_KEEPS_UP, "ray 2", "bare 2", "per_cpu_s"),
        ("Ray / bare, 2 processes, delivered per s", "ray 2", "bare 2", "delivered_per_s"),
        (_SCALES, "ray 2", "ray 1", "delivered_per_s"),
        ("bare, 2 / 1 workers, per s", "bare 2", "bare 1", "per_s"),
    )
    return {
        name: [
            getattr(one, figure) / getattr(other, figure) for one, other in zip(rates[upper], rates[lower], strict=True)
        ]
        for name, upper, lower, figure in wanted
    }


def _ratios_table(ratios: dict[str, list[float]]) -> str:
    rows: list[tuple[str, ...]] = [("ratio", "median", "smallest", "largest")]
    for name, values in ratios.items():
        rows.append((name, *(f"{value:.2f}" for value in (statistics.median(values), min(values), max(values)))))
    return markdown_table(rows)


def _memory(folder: Path, num_samples: int) -> Part:
    """Memory of all processes while a stream of small patches passes."""
    batch_size = 16
    uri = _write_photographs(folder, 256)
    inputs = _inputs(uri, patch_size=128, num_batches=-(-num_samples // batch_size), batch_size=batch_size)
    rows: list[tuple[str, ...]] = [("samples", "consumer, MiB", "data workers, MiB", "rest of Ray, MiB", "all, MiB")]
    totals = []
    every = max(1, inputs.spec.num_steps // _NUM_POINTS)
    with data_workers.noted_actors(_NUM_WORKERS):
        for number, _ in enumerate(ray_stream(inputs, 0), start=1):
            if number % every == 0:
                parts = _memory_of_processes()
                totals.append(sum(parts))
                rows.append((str(number * batch_size), *(f"{part / _MIB:.0f}" for part in (*parts, sum(parts)))))
    what = f"memory of all after {rows[-1][0]} samples / after {rows[1][0]}"
    flat = Target(what, f"{totals[-1] / totals[0]:.2f}", "1 (flat)")
    return Part(f"\n## Memory (proportional set size)\n\n{markdown_table(rows)}", [flat])


def _memory_of_processes() -> tuple[int, int, int]:
    """This process, its data actors, and all else that Ray started."""
    consumer, workers, rest = _pss(psutil.Process()), 0, 0
    for process in psutil.Process().children(recursive=True):
        try:
            is_worker = any("MapWorker" in part for part in process.cmdline()[:1])
            used = _pss(process)
        except psutil.Error:
            continue
        workers, rest = (workers + used, rest) if is_worker else (workers, rest + used)
    return consumer, workers, rest


def _objects(folder: Path, num_objects: int, uri: str) -> Part:
    """Time from nothing known to the first batch of many small images in shards."""
    _say(f"writing and ingesting {num_objects} images")
    for number in range(num_objects):
        path = folder / f"class{number % 50:02d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = numpy_generator("object", number).integers(0, 256, (_OBJECT_SIDE, _OBJECT_SIDE, 3), dtype=np.uint8)
        path.write_bytes(encode_jpeg(pixels))
    started_s = time.monotonic()
    run_ingest(IngestConfig.model_validate({"input": {"uri": str(folder)}, "output": {"uri": uri}}))
    ingested_s = time.monotonic()
    inputs = _inputs(uri, patch_size=_OBJECT_SIDE, num_batches=100)
    planned_s = time.monotonic()
    batches = ray_stream(inputs, 0)
    first = next(batches)
    delivered_s = time.monotonic()
    for _ in batches:  # to the end: threads that still fetch ahead would outlive Ray
        pass
    assert len(first["key"]) == inputs.spec.global_batch_size
    rows = [
        ("step", "seconds"),
        ("ingest (done once)", f"{ingested_s - started_s:.1f}"),
        (f"{len(inputs.images)} images planned", f"{planned_s - ingested_s:.1f}"),
        ("first batch delivered after that", f"{delivered_s - planned_s:.1f}"),
        ("both", f"{delivered_s - ingested_s:.1f}"),
    ]
    what = f"{num_objects} small objects in shards, planned and the first batch delivered"
    text = f"\n## {num_objects} small objects\n\nshards in {uri}\n\n{markdown_table(rows)}"
    return Part(text, [Target(what, f"{rows[-1][1]} s", "below 60 s")])


def _inputs(uri: str, patch_size: int, num_batches: int, batch_size: int = 8) -> StreamInputs:
    config = DataConfig.model_validate({"uri": uri, "scale": 4, "degradation": "slimdiffsr", "num_test": 0})
    manifest = build_manifest([uri], config, seed=0)
    spec = StreamSpec(
        seed=0,
        num_steps=num_batches,
        micro_batches_per_step=1,
        global_batch_size=batch_size,
        patch_size=patch_size,
        scale_range=(4.0, 4.0),
    )
    return StreamInputs(
        manifest.training_images(patch_size), manifest.sources, spec, config.degradation, max_cached_bytes=0
    )


def _write_photographs(folder: Path, side: int, num_images: int = 48) -> str:
    """JPEG files about as smooth as aerial photographs, no two alike."""
    folder.mkdir()
    whole = sample_patch(2 * side)
    for number in range(num_images):
        top, left = (int(place) for place in numpy_generator("photograph", number).integers(0, side, 2))
        (folder / f"{number:02d}.jpg").write_bytes(encode_jpeg(whole[top : top + side, left : left + side].copy()))
    return str(folder)


@contextmanager
def _cluster() -> Iterator[None]:
    """A local Ray cluster of as many CPUs as there are workers; the consumer reserves none."""
    ray.init(
        address="local",
        num_cpus=_NUM_WORKERS,
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="warning",
    )
    ray.cloudpickle.register_pickle_by_value(data_workers)  # workers need not find this folder
    try:
        yield
    finally:
        ray.shutdown()


def _pss(process: psutil.Process) -> int:
    return int(process.memory_full_info().pss)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(_PARTS), help="parts to measure, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="of the streams, in alternating order")
    parser.add_argument("--patches", type=int, default=12, help="degraded both ways in each round")
    parser.add_argument("--batches", type=int, default=120, help="of 8 patches in each run of a stream")
    parser.add_argument("--patch-size", type=int, default=512, help="side of these patches, pixels (default 512)")
    parser.add_argument("--samples", type=int, default=20_000, help="that pass while memory is watched")
    parser.add_argument("--objects", type=int, default=100_000, help="small images in shards")
    parser.add_argument("--uri", help="where the shards go; by default a temporary folder")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    unknown = [part for part in options.only if part not in _PARTS]
    if unknown:
        parser.error(f"--only takes {', '.join(_PARTS)}, not {', '.join(unknown)}")
    return options


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.exit(main())
