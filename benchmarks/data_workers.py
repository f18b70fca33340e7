"""What data workers do, measured in their own processes: plain functions and Ray's data actors alike.

Each worker leaves a line after every batch: when, and how much CPU time its process had used by then, threads of
libraries and of Ray included. What lies between two lines of a worker is its cost of the batches between them, so
starting up counts nowhere, and the same reckoning holds for both.
"""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ray.data

from pipelines import stream
from pipelines.stream import MakeBatch, StreamInputs

_FOLDER = "RSSR_BENCHMARK_FOLDER"


class Line(NamedTuple):
    """State of a worker when a batch was done: seconds of the monotonic clock, and of CPU time."""

    at_s: float
    cpu_s: float


@dataclass(frozen=True)
class Rate:
    """What several workers did while all of them worked.

    Attributes:
        num_workers: Processes that made batches.
        per_cpu_s: Batches for each second of the workers' CPU time.
        per_s: Batches for each second of time.
        delivered_per_s: Batches that came to their consumer each second; `per_s` where there is none.
    """

    num_workers: int
    per_cpu_s: float
    per_s: float
    delivered_per_s: float


def note(folder: Path) -> None:
    """Leave a line of this process."""
    with (folder / f"{os.getpid()}.txt").open("a") as file:
        file.write(json.dumps(Line(time.monotonic(), time.process_time())) + "\n")


class NotedRow(stream._MakeRow):
    """Ray's data actor, leaving lines."""

    def __call__(self, row: Mapping[str, Any]) -> Any:  # type: ignore[override]  # noqa: ANN401  # as in the base
        """A batch, and a line."""
        table = super().__call__(row)
        note(Path(os.environ[_FOLDER]))
        return table


def measure_bare(inputs: StreamInputs, num_workers: int) -> Rate:
    """The bare functions, in processes that take batches in turn and keep none."""
    with tempfile.TemporaryDirectory(prefix="rssr-bare-") as name:
        start = multiprocessing.get_context("spawn")
        ranks = range(num_workers)
        processes = [start.Process(target=_run_bare, args=(inputs, rank, num_workers, name)) for rank in ranks]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return reckon(_read_lines(Path(name)), [])


def measure_ray(inputs: StreamInputs, num_workers: int) -> Rate:
    """Ray Data with as many data actors; what is delivered is dropped."""
    with noted_actors(num_workers) as folder:
        delivered = [time.monotonic() for _ in stream.ray_stream(inputs, 0)]
        return reckon(_read_lines(folder), delivered)


@contextmanager
def noted_actors(num_workers: int) -> Iterator[Path]:
    """While this is open, streams of Ray use so many actors from the start, which leave lines in the folder given."""
    strategy = ray.data.ActorPoolStrategy
    with tempfile.TemporaryDirectory(prefix="rssr-ray-") as name, ExitStack() as changes:
        for place, attribute, value in (
            (stream, "_MakeRow", _noting_in(name)),
            (stream, "MAX_ACTORS", num_workers),
            (ray.data, "ActorPoolStrategy", lambda min_size, max_size: strategy(size=max_size)),
        ):
            changes.callback(setattr, place, attribute, getattr(place, attribute))
            setattr(place, attribute, value)
        yield Path(name)


def reckon(workers: list[list[Line]], delivered: list[float]) -> Rate:
    """Rates from the moment on when all workers had begun until the first of them was done.

    Raises:
        RuntimeError: The workers were not busy at the same time: too few batches.
    """
    begun, done = max(lines[0].at_s for lines in workers), min(lines[-1].at_s for lines in workers)
    within = [[line for line in lines if begun <= line.at_s <= done] for lines in workers]
    if min(len(lines) for lines in within) < 2:
        raise RuntimeError("too few batches: some worker had hardly any while the others worked")
    num_batches = sum(len(lines) - 1 for lines in within)
    span_s = done - begun
    cpu_s = sum(lines[-1].cpu_s - lines[0].cpu_s for lines in within)
    arrived = [at_s for at_s in delivered if begun <= at_s <= done]
    made_per_s = sum((len(lines) - 1) / (lines[-1].at_s - lines[0].at_s) for lines in within)
    return Rate(len(workers), num_batches / cpu_s, made_per_s, len(arrived) / span_s if delivered else made_per_s)


def _noting_in(name: str) -> type[NotedRow]:
    """An actor that knows its folder; made here, it travels to Ray's workers by value."""

    class Actor(NotedRow):
        def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  # as in the base
            super().__init__(*arguments, **named)
            os.environ[_FOLDER] = name

    return Actor


def _run_bare(inputs: StreamInputs, rank: int, num_workers: int, name: str) -> None:
    make = MakeBatch(inputs)
    for number in range(rank, inputs.spec.num_micro_batches, num_workers):
        make(number)
        note(Path(name))


def _read_lines(folder: Path) -> list[list[Line]]:
    files = sorted(folder.glob("*.txt"))
    return [[Line(*json.loads(line)) for line in file.read_text().splitlines()] for file in files]
