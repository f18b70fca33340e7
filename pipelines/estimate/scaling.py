"""From what scenes ask for and how fast a worker is to what N workers take, and where more of them stop helping."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.bulk.planning.scenes import NUM_THREADS
from pipelines.estimate.config import StoreLimitsConfig
from pipelines.estimate.events import Connections
from pipelines.estimate.simulation import (
    DRIVER,
    FETCH,
    INPUT,
    REQUESTS,
    UPLOAD,
    Outcome,
    SceneTasks,
    Shared,
    Task,
    simulate,
)
from pipelines.estimate.speed import Speed
from pipelines.estimate.workload import SceneWork

WORTH_IT = 0.8
"""Share of the workers' time that should be work."""

MOST_WORKERS = 10_000
"""That are looked at."""

MODEL, READING, WINDOWS, FINISHING, UPLOADING, COMMITTING, VERIFYING, DRIVING = (
    "model",
    "reading scenes",
    "keeping windows",
    "finishing and compressing",
    "uploading products",
    "committing",
    "verifying",
    "driver",
)
"""What a worker's time goes to."""

PLANNING = "plan"
"""What the driver does alone, before the work."""

_FEWEST_WINDOWS = 2000  # that are simulated, where there are as many
_WINDOWS_A_WORKER = 40
_SCENES_A_WORKER = 3  # times the longest scene, that each worker is busy
_PLANNED_AT_ONCE = NUM_THREADS
_DELETIONS_AT_ONCE = 8
_LOST = 0.05  # of the workers' time, beyond which what it is lost to is named


@dataclass(frozen=True)
class Workload:
    """All there is to do.

    Attributes:
        scenes: Scenes that can be run, each with how many there are like it.
        num_files: Of a product, with its item, its thumbnail and its entry in the ledger.
        is_verified: Whether workers read all products at the end.
    """

    scenes: Sequence[tuple[SceneWork, int]]
    num_files: int
    is_verified: bool = False

    @property
    def num_windows(self) -> int:
        """Of all scenes, each piece of work that is simulated."""
        return sum(work.num_windows * count for work, count in self.scenes)

    @property
    def num_scenes(self) -> int:
        """All of them."""
        return sum(count for _, count in self.scenes)


@dataclass(frozen=True)
class Worker:
    """One worker as it is simulated.

    Attributes:
        speed: How fast it is.
        limits: What it shares with others.
    """

    speed: Speed
    limits: StoreLimitsConfig

    def shared(self) -> Shared:
        """As `simulate` takes it."""
        speed, limits = self.speed, self.limits
        return Shared(
            input=_connections(speed.input_bytes_per_s, limits.input_bytes_per_s),
            fetch=_connections(speed.fetch_bytes_per_s, limits.fetch_bytes_per_s),
            upload=_connections(speed.upload_bytes_per_s, limits.upload_bytes_per_s),
            request_s=1 / limits.requests_per_s if limits.requests_per_s else 0.0,
            dispatch_s=speed.dispatch_s,
        )

    def tasks(self, work: SceneWork, num_files: int) -> SceneTasks:
        """The windows and the product of a scene."""
        speed, number = self.speed, work.num_windows
        compute_s, read_bytes = work.whole_tiles * speed.tile_s, work.input_bytes * work.read_share
        window = Task(
            own_s=speed.open_s + compute_s / number + speed.commit_s,
            input_bytes=read_bytes / number,
            upload_bytes=work.work_bytes / number,
            num_requests=1,
        )
        product = Task(
            own_s=speed.open_s
            + (compute_s if work.is_whole else 0.0)
            + work.extra_tiles * speed.tile_s
            + work.sr_values / speed.finish_values_per_s
            + self._commit_s(work, num_files),
            input_bytes=work.input_bytes + (read_bytes if work.is_whole else 0.0),
            fetch_bytes=work.work_bytes,
            upload_bytes=work.product_raw_bytes * speed.compression_ratio,
            num_requests=num_files,
        )
        return SceneTasks(0 if work.is_whole else number, window, product)

    def _commit_s(self, work: SceneWork, num_files: int) -> float:
        """Of a product: its files, a lease where one is needed, and the removal of its windows, several at a time."""
        num_windows = 0 if work.is_whole else work.num_windows
        return self.speed.lease_s + self.speed.commit_s * (num_files + num_windows / _DELETIONS_AT_ONCE)

    def shared_when_checking(self) -> Shared:
        """As `simulate` takes it, for what comes after all products are there."""
        fetch = _connections(self.speed.verify_bytes_per_s, self.limits.fetch_bytes_per_s)
        return Shared(fetch=fetch, dispatch_s=self.speed.dispatch_s)

    def check(self, work: SceneWork) -> SceneTasks:
        """The verification of a scene's product."""
        nothing, num_bytes = Task(own_s=0.0), work.product_raw_bytes * self.speed.compression_ratio
        return SceneTasks(0, nothing, Task(own_s=0.0, fetch_bytes=num_bytes))

    def demand_s(self, workload: Workload) -> float:
        """Seconds of one worker that is alone for all of it."""
        return self.making_s(workload) + self.checking_s(workload)

    def making_s(self, workload: Workload) -> float:
        """Of it, for all products."""
        shared = self.shared()
        return sum(count * _demand_s(self.tasks(work, workload.num_files), shared) for work, count in workload.scenes)

    def checking_s(self, workload: Workload) -> float:
        """Of it, for their verification."""
        if not workload.is_verified:
            return 0.0
        shared = self.shared_when_checking()
        return sum(count * _demand_s(self.check(work), shared) for work, count in workload.scenes)

    def shares(self, workload: Workload) -> dict[str, float]:
        """Share of its time by what it goes to, the largest first."""
        seconds: dict[str, float] = dict.fromkeys(
            (MODEL, READING, WINDOWS, FINISHING, UPLOADING, COMMITTING, VERIFYING, DRIVING), 0.0
        )
        for work, count in workload.scenes:
            for name, of_scene_s in self._parts(work, workload.num_files).items():
                seconds[name] += count * of_scene_s
        seconds[VERIFYING] = self.checking_s(workload)
        total = sum(seconds.values()) or 1.0
        ordered = sorted(seconds.items(), key=lambda item: -item[1])
        return {name: spent_s / total for name, spent_s in ordered if spent_s > 0}

    def _parts(self, work: SceneWork, num_files: int) -> dict[str, float]:
        speed, shared, scene = self.speed, self.shared(), self.tasks(work, num_files)
        alone = [shared.seconds(scene.window), shared.seconds(scene.product)]
        counts = (scene.num_windows, 1)

        def total(name: str) -> float:
            return sum(count * seconds[name] for count, seconds in zip(counts, alone, strict=True))

        return {
            MODEL: (work.whole_tiles + work.extra_tiles) * speed.tile_s,
            READING: total(INPUT) + speed.open_s * sum(counts),
            WINDOWS: scene.num_windows * alone[0][UPLOAD] + total(FETCH),
            FINISHING: work.sr_values / speed.finish_values_per_s,
            UPLOADING: alone[1][UPLOAD],
            COMMITTING: speed.commit_s * scene.num_windows + self._commit_s(work, num_files) + total(REQUESTS),
            DRIVING: total(DRIVER),
        }

    def alone_s(self, workload: Workload) -> dict[str, float]:
        """What the driver takes before the work begins, while workers wait."""
        return {PLANNING: workload.num_scenes * self.speed.open_s / _PLANNED_AT_ONCE}


def run_with(workload: Workload, worker: Worker, num_workers: int) -> Outcome:
    """What so many workers take.

    Long runs are told from a part of them, drawn by a fixed seed: so long that most of it is neither beginning nor end.

    Args:
        workload: All there is to do.
        worker: Each of them.
        num_workers: How many.
    """
    making_s, scene_s = worker.making_s(workload), _longest_scene_s(workload, worker)
    windows_s = making_s / workload.num_windows * max(_FEWEST_WINDOWS, _WINDOWS_A_WORKER * num_workers)
    wanted_s = max(windows_s, _SCENES_A_WORKER * num_workers * scene_s)
    scenes = [worker.tasks(work, workload.num_files) for work in _part_of(workload, wanted_s / making_s)]
    outcome = simulate(scenes, num_workers, worker.shared()).stretched(making_s)
    if workload.is_verified:
        outcome = outcome.then(_checking_with(workload, worker, num_workers))
    for name, seconds in worker.alone_s(workload).items():
        outcome = outcome.with_pause(name, seconds)
    return outcome


def _checking_with(workload: Workload, worker: Worker, num_workers: int) -> Outcome:
    """What so many workers take for the verification, once all products are there."""
    most = max(_FEWEST_WINDOWS, _WINDOWS_A_WORKER * num_workers) * workload.num_windows / workload.num_scenes
    checks = [worker.check(work) for work in _part_of(workload, most / workload.num_windows)]
    return simulate(checks, num_workers, worker.shared_when_checking()).stretched(worker.checking_s(workload))


def most_at_once(workload: Workload, worker: Worker) -> dict[str, float]:
    """For each thing that is shared: so many workers keep it busy all the time, and more of them gain nothing.

    For what the driver does alone: so many workers take as long for all the rest.
    """
    demand_s, busy_s = worker.demand_s(workload), _busy_s(workload, worker) | worker.alone_s(workload)
    return {name: demand_s / seconds for name, seconds in busy_s.items() if seconds > 0}


def find_limit(workload: Workload, worker: Worker) -> Outcome | None:
    """The fewest workers, to a tenth, of whose time less than four fifths is work.

    Args:
        workload: All there is to do.
        worker: Each of them.

    Returns:
        How they fare; None where there are none such among those that can be simulated.
    """
    few, many = _certain(workload, worker)
    if few >= MOST_WORKERS:
        return None
    found = run_with(workload, worker, min(many, MOST_WORKERS))
    if many > MOST_WORKERS and found.efficiency >= WORTH_IT:
        return None
    many = found.num_workers
    while many - few > max(1, few // 10):
        middle = (few + many) // 2
        tried = run_with(workload, worker, middle)
        if tried.efficiency < WORTH_IT:
            many, found = middle, tried
        else:
            few = middle
    return found


def _certain(workload: Workload, worker: Worker) -> tuple[int, int]:
    """Numbers of workers that are certainly few enough, and too many.

    A run takes no longer than its work shared out evenly, a window, its product and its check, all that is shared and
    all that the driver does, one after the other; and no less than the longest of these.
    """
    demand_s = worker.demand_s(workload)
    busy_s = (_busy_s(workload, worker) | worker.alone_s(workload)).values()
    scene_s = _longest_scene_s(workload, worker)
    few = (1 / WORTH_IT - 1) * demand_s / (scene_s + sum(busy_s))
    many = demand_s / (WORTH_IT * max(scene_s, *busy_s))
    return max(1, math.floor(few)), max(2, math.ceil(many) + 1)


def _longest_scene_s(workload: Workload, worker: Worker) -> float:
    """Of a scene that all workers help with: a window, its product, and the check of that."""
    shared, checking = worker.shared(), worker.shared_when_checking()

    def seconds(work: SceneWork) -> float:
        scene = worker.tasks(work, workload.num_files)
        window_s = min(1, scene.num_windows) * shared.demand_s(scene.window)
        check_s = checking.demand_s(worker.check(work).product) if workload.is_verified else 0.0
        return window_s + shared.demand_s(scene.product) + check_s

    return max(seconds(work) for work, _ in workload.scenes)


def _busy_s(workload: Workload, worker: Worker) -> dict[str, float]:
    """For how long each shared thing must be at work."""
    shared = worker.shared()
    busy_s = dict.fromkeys((DRIVER, INPUT, FETCH, UPLOAD, REQUESTS), 0.0)
    for work, count in workload.scenes:
        scene = worker.tasks(work, workload.num_files)
        for number, task in ((count * scene.num_windows, scene.window), (count, scene.product)):
            busy_s[DRIVER] += number * shared.dispatch_s
            busy_s[REQUESTS] += number * shared.request_s * task.num_requests
            busy_s[INPUT] += number * task.input_bytes / shared.input.all_bytes_per_s
            busy_s[FETCH] += number * task.fetch_bytes / shared.fetch.all_bytes_per_s
            busy_s[UPLOAD] += number * task.upload_bytes / shared.upload.all_bytes_per_s
        if workload.is_verified:
            busy_s[DRIVER] += count * shared.dispatch_s
            busy_s[FETCH] += count * worker.check(work).product.fetch_bytes / shared.fetch.all_bytes_per_s
    return busy_s


def lost_to(outcome: Outcome) -> str:
    """What most of the time that is not work is lost to; empty where that is little."""
    losses = {**outcome.waiting_s, "end": outcome.idle_s}
    name, seconds = max(losses.items(), key=lambda item: item[1])
    return name if seconds > _LOST * outcome.num_workers * outcome.makespan_s else ""


def _connections(one: float, together: float | None) -> Connections:
    return Connections(one, math.inf if together is None else together)


def _demand_s(scene: SceneTasks, shared: Shared) -> float:
    return scene.num_windows * shared.demand_s(scene.window) + shared.demand_s(scene.product)


def _part_of(workload: Workload, share: float) -> list[SceneWork]:
    """Scenes as they come; where it is a part, drawn until it is so large."""
    if share >= 1:
        return [work for work, count in workload.scenes for _ in range(count)]
    works, counts = zip(*workload.scenes, strict=True)
    up_to, generator = list(itertools.accumulate(counts)), random.Random(0)
    num_windows, drawn = share * workload.num_windows, list[SceneWork]()
    while num_windows > 0:
        drawn += generator.choices(works, cum_weights=up_to)
        num_windows -= drawn[-1].num_windows
    return drawn
