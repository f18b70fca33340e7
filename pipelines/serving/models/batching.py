"""Tiles of all requests that are in flight together, through one model.

A request's engine hands its tiles to a `SharedTiles`, which waits for their results. Whoever gathers what waits
(`@serve.batch` in a replica) calls `run_together`: on an accelerator tiles of one kind share batches of a fixed size,
so that a result does not depend on who shares; the CPU takes them one by one, as `rssr sr` does.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rssr.errors import RssrError
from rssr.inference.options import CompleteOptions
from rssr.inference.tile_batch import TileBatch
from rssr.inference.tile_runner import RunsTiles, TileCounts, TileRunner
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws, SamplingResolver

FloatArray = NDArray[np.float32]

_MOST_RUNNERS = 64  # one for each kind of request; seeds make as many as there are


class NobodyWaits(RssrError):
    """The request was given up, or its time is over."""


@dataclass(frozen=True, eq=False)
class TileJob:
    """Tiles of one shape of one request.

    Attributes:
        batch: The tiles.
        kind: Jobs of equal kinds may share a batch.
        runner: Runs tiles of this kind; the same object for equal kinds.
    """

    batch: TileBatch
    kind: Hashable
    runner: RunsTiles


@dataclass(frozen=True, eq=False)
class TileOutcome:
    """What came of a job.

    Attributes:
        results: As `TileRunner.run` gives them; None where it failed.
        failure: Why.
        counts: What became of the tiles.
        seconds: That the model took for it, alone or with those it shared with.
    """

    results: list[FloatArray] | None
    failure: Exception | None
    counts: TileCounts
    seconds: float


Submit = Callable[[TileJob], TileOutcome]
"""Hands a job in and waits for its outcome."""


class Runners:
    """A runner for each way to run a model: what one has learnt about memory serves all later requests.

    Args:
        model: The model.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._runners: dict[Hashable, RunsTiles] = {}
        self._lock = threading.Lock()

    def get(self, options: CompleteOptions, with_deviation: bool, draws: Draws) -> tuple[Hashable, RunsTiles]:
        """The runner for these, and what names it among all runners of all models."""
        drawn = draws if isinstance(self._model.resolver, SamplingResolver) else None
        key = (options, with_deviation, drawn)
        with self._lock:
            runner = self._runners.pop(key, None) or TileRunner(self._model, options, with_deviation, draws)
            self._runners[key] = runner  # the last one used is last
            while len(self._runners) > _MOST_RUNNERS:
                del self._runners[next(iter(self._runners))]
        return (id(runner), *key), runner


class Waiting:
    """Whether somebody still waits for a request.

    Args:
        deadline: Seconds since the epoch.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._given_up.set()

    def require(self) -> None:
        """Go on only while somebody waits.

        Raises:
            NobodyWaits: Nobody does.
        """
        if self._given_up.is_set() or time.time() > self._deadline:
            raise NobodyWaits("The request was given up.")


class SharedTiles:
    """Runs the tiles of one request among those of others.

    Args:
        kind: What names the runner.
        runner: Of this kind.
        submit: Hands a job in and waits for its outcome.
        waiting: Whether somebody still waits.

    Attributes:
        seconds: That the model took so far.
    """

    def __init__(self, kind: Hashable, runner: RunsTiles, submit: Submit, waiting: Waiting) -> None:
        self._kind = kind
        self._runner = runner
        self._submit = submit
        self._waiting = waiting
        self.seconds = 0.0

    @property
    def batch_size(self) -> int:
        """See `RunsTiles`."""
        return self._runner.batch_size

    def run(self, batch: TileBatch, counts: TileCounts) -> list[FloatArray]:
        """See `RunsTiles`.

        Raises:
            NobodyWaits: The request was given up.
            RssrError: A tile failed.
        """
        self._waiting.require()
        kind = (self._kind, batch.lr.shape[1:], batch.size, batch.grid)
        outcome = self._submit(TileJob(batch, kind, self._runner))
        self.seconds += outcome.seconds
        counts.num_splits += outcome.counts.num_splits
        counts.num_smaller_tiles += outcome.counts.num_smaller_tiles
        if outcome.results is None:
            raise outcome.failure or RssrError("Tiles came back without results.")
        return outcome.results


def run_together(jobs: Sequence[TileJob], batch_size: int | None) -> list[TileOutcome]:
    """Run what waits, in one thread.

    Args:
        jobs: In the order of their arrival.
        batch_size: Tiles at a time on an accelerator; None on the CPU, where none depends on another.

    Returns:
        The outcome of each.
    """
    if batch_size is None:
        return [_alone(job) for job in jobs]
    outcomes: dict[int, TileOutcome] = {}
    for numbers in _grouped(jobs):
        shared = _shared([jobs[number] for number in numbers], batch_size)
        outcomes.update(zip(numbers, shared, strict=True))
    return [outcomes[number] for number in range(len(jobs))]


def num_tiles(jobs: Iterable[TileJob]) -> int:
    """Tiles of several jobs."""
    return sum(len(job.batch.lr) for job in jobs)


def _grouped(jobs: Sequence[TileJob]) -> list[list[int]]:
    """Numbers of jobs that may share, in the order of the first of each."""
    groups: dict[Hashable, list[int]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(job.kind, []).append(number)
    return list(groups.values())


def _alone(job: TileJob, count: int | None = None) -> TileOutcome:
    """A job by itself, in batches filled up to `count`; as the engine asked for where that is None."""
    started, counts = time.perf_counter(), TileCounts()
    batch = job.batch if count is None else replace(job.batch, count=count)
    try:
        return TileOutcome(job.runner.run(batch, counts), None, counts, time.perf_counter() - started)
    except Exception as error:  # whatever it is, it belongs to this job, and others go on
        return TileOutcome(None, error, counts, time.perf_counter() - started)


def _shared(jobs: list[TileJob], batch_size: int) -> list[TileOutcome]:
    """Jobs of one kind in batches of one size.

    Where a batch fails each job runs by itself, so that one does not fail another.
    """
    if len(jobs) == 1:
        return [_alone(jobs[0], batch_size)]
    first, started, counts = jobs[0], time.perf_counter(), TileCounts()
    together = replace(
        first.batch,
        lr=np.concatenate([job.batch.lr for job in jobs]),
        places=[place for job in jobs for place in job.batch.places],
        count=batch_size,
    )
    try:
        results = [tile for part in together.parts(batch_size) for tile in first.runner.run(part, counts)]
    except Exception:  # told again by the job whose tile it is
        return [_alone(job, batch_size) for job in jobs]
    seconds = time.perf_counter() - started
    outcomes, begin = [], 0
    for job in jobs:
        end = begin + len(job.batch.lr)
        told = counts if begin == 0 else TileCounts()
        outcomes.append(TileOutcome(results[begin:end], None, told, seconds))
        begin = end
    return outcomes
