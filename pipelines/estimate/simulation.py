"""How workers that share stores and a driver get through a run: events in order of time, computed, not drawn.

A worker asks the driver for a piece of work, reads scenes, reads computed windows, computes, writes, and has objects
taken note of; then it asks again. It is alone with its arithmetic. A store gives each connection as much as one can
take, until its bandwidth is used up; the next ones wait. The driver and the store's requests are queues as well, first
come, first served. A product is made when all windows of its scene are there, before any other window.

Of every worker's second one can say where it went: to work, to waiting for one of the things that are shared, or to
having nothing to do. So an efficiency comes with its reason.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pipelines.estimate.events import UNLIMITED, Clock, Connections, Pipe, Queue, Resume, Wait

DRIVER, INPUT, FETCH, UPLOAD, REQUESTS = "driver", "input", "fetch", "upload", "requests"
"""What is shared."""

_BEGINNING = 0.5  # share of the pieces of work until which a run is not steady


@dataclass(frozen=True)
class Task:
    """One piece of work of one worker.

    Attributes:
        own_s: Seconds that are not shared with anyone: arithmetic, local disk, answers that everyone waits for.
        input_bytes: Read from the store of the scenes.
        fetch_bytes: Read from the output.
        upload_bytes: Written to it.
        num_requests: Objects written to it.
    """

    own_s: float
    input_bytes: float = 0.0
    fetch_bytes: float = 0.0
    upload_bytes: float = 0.0
    num_requests: float = 0.0


@dataclass(frozen=True)
class SceneTasks:
    """A scene: windows, all alike, then its product; without windows the product alone.

    What windows upload is kept until the product is there.
    """

    num_windows: int
    window: Task
    product: Task

    @property
    def kept_bytes(self) -> float:
        """Of all its windows."""
        return self.num_windows * self.window.upload_bytes


@dataclass(frozen=True)
class Shared:
    """What all workers share.

    Attributes:
        input: Store of the scenes.
        fetch: Output, reading.
        upload: Output, writing.
        request_s: Seconds between two objects that the output takes.
        dispatch_s: Seconds of the driver for each piece of work.
    """

    input: Connections = UNLIMITED
    fetch: Connections = UNLIMITED
    upload: Connections = UNLIMITED
    request_s: float = 0.0
    dispatch_s: float = 0.0

    def seconds(self, task: Task) -> dict[str, float]:
        """What each shared thing takes of a worker that is alone."""
        return {
            DRIVER: self.dispatch_s,
            INPUT: self.input.seconds(task.input_bytes),
            FETCH: self.fetch.seconds(task.fetch_bytes),
            UPLOAD: self.upload.seconds(task.upload_bytes),
            REQUESTS: self.request_s * task.num_requests,
        }

    def demand_s(self, task: Task) -> float:
        """Seconds of a task for a worker that is alone."""
        return task.own_s + sum(self.seconds(task).values())


@dataclass(frozen=True)
class Outcome:
    """Where the time of all workers went.

    Attributes:
        num_workers: How many.
        makespan_s: Seconds until the last product is there.
        demand_s: Seconds of work, as workers that are alone would take.
        waiting_s: Beyond these, by what was waited for.
        idle_s: Seconds without anything to do.
        most_kept_bytes: Of windows that wait for their product, at most.
        steady_waiting: Seconds of waiting for each second of work, between the beginning and the end, by what is waited
            for.
    """

    num_workers: int
    makespan_s: float
    demand_s: float
    waiting_s: Mapping[str, float]
    idle_s: float
    most_kept_bytes: float = 0.0
    steady_waiting: Mapping[str, float] = field(default_factory=dict)

    @property
    def efficiency(self) -> float:
        """Share of the workers' time that is work."""
        return self.demand_s / (self.num_workers * self.makespan_s) if self.makespan_s else 1.0

    def stretched(self, demand_s: float) -> "Outcome":
        """The same workers on more of the same work, between the same beginning and the same end."""
        more_s = demand_s - self.demand_s
        waiting = {name: each + more_s * self.steady_waiting.get(name, 0.0) for name, each in self.waiting_s.items()}
        makespan_s = (demand_s + sum(waiting.values()) + self.idle_s) / self.num_workers
        return replace(self, makespan_s=makespan_s, demand_s=demand_s, waiting_s=waiting)

    def then(self, other: "Outcome") -> "Outcome":
        """This, and when all of it is done something else by the same workers."""
        names = self.waiting_s.keys() | other.waiting_s.keys()
        return replace(
            self,
            makespan_s=self.makespan_s + other.makespan_s,
            demand_s=self.demand_s + other.demand_s,
            waiting_s={name: self.waiting_s.get(name, 0.0) + other.waiting_s.get(name, 0.0) for name in sorted(names)},
            idle_s=self.idle_s + other.idle_s,
        )

    def with_pause(self, name: str, seconds: float) -> "Outcome":
        """The same, and for some time all workers wait for something that one process does."""
        waiting = {**self.waiting_s, name: self.waiting_s.get(name, 0.0) + self.num_workers * seconds}
        return replace(self, makespan_s=self.makespan_s + seconds, waiting_s=waiting)


def simulate(scenes: Sequence[SceneTasks], num_workers: int, shared: Shared) -> Outcome:
    """Run through scenes in the order given.

    Args:
        scenes: What there is to do.
        num_workers: That do it, all ready at once.
        shared: What they share.
    """
    return _Run(scenes, shared).outcome(num_workers)


class _Progress:
    """A scene on its way."""

    def __init__(self, tasks: SceneTasks) -> None:
        self.tasks = tasks
        self.num_missing = tasks.num_windows

    def pieces(self) -> Iterator["_Piece"]:
        """What can be begun at once."""
        if self.num_missing == 0:
            return iter([_Piece(self, is_window=False)])
        return itertools.repeat(_Piece(self, is_window=True), self.num_missing)


class _Piece(NamedTuple):
    """What a worker takes: a window of a scene, or its product."""

    scene: _Progress
    is_window: bool


class _Spent(NamedTuple):
    """Seconds of all workers up to some moment."""

    demand_s: float
    waiting_s: Mapping[str, float]


class _Run:
    """Workers on their way through scenes."""

    def __init__(self, scenes: Sequence[SceneTasks], shared: Shared) -> None:
        self._shared, self._clock = shared, Clock()
        self._queues = {DRIVER: Queue(self._clock), REQUESTS: Queue(self._clock)}
        limits = {INPUT: shared.input, FETCH: shared.fetch, UPLOAD: shared.upload}
        self._pipes = {name: Pipe(self._clock, found) for name, found in limits.items()}
        self._products: deque[_Piece] = deque()
        self._pieces = itertools.chain.from_iterable(_Progress(scene).pieces() for scene in scenes)
        self._resting: deque[Resume] = deque()
        self._demand_s, self._ended_at = 0.0, 0.0
        self._kept_bytes, self._most_kept_bytes = 0.0, 0.0
        self._waiting_s = dict.fromkeys((DRIVER, INPUT, FETCH, UPLOAD, REQUESTS), 0.0)
        self._num_to_begin = math.ceil(_BEGINNING * sum(scene.num_windows + 1 for scene in scenes))
        self._begun: _Spent | None = None
        self._spent: _Spent | None = None  # before anybody had nothing to do

    def outcome(self, num_workers: int) -> Outcome:
        for _ in range(num_workers):
            self._go_on(self._work())
        self._clock.run()
        busy_s = self._demand_s + sum(self._waiting_s.values())
        idle_s = max(0.0, num_workers * self._ended_at - busy_s)
        return Outcome(
            num_workers,
            self._ended_at,
            self._demand_s,
            self._waiting_s,
            idle_s,
            self._most_kept_bytes,
            self._steady_waiting(),
        )

    def _steady_waiting(self) -> dict[str, float]:
        """Without the beginning, when all ask for the same at once, and the end; of short runs, of all of it."""
        nothing, everything = _Spent(0.0, {}), _Spent(self._demand_s, self._waiting_s)
        first, last = self._begun or nothing, self._spent or everything
        if last.demand_s <= first.demand_s:
            first, last = nothing, everything
        work_s = last.demand_s - first.demand_s
        waited = {name: seconds - first.waiting_s.get(name, 0.0) for name, seconds in last.waiting_s.items()}
        return {name: seconds / work_s if work_s else 0.0 for name, seconds in waited.items()}

    def _go_on(self, worker: Iterator[Wait]) -> None:
        next(worker)(lambda: self._go_on(worker))

    def _work(self) -> Iterator[Wait]:
        """A worker's life; at the end it rests for ever."""
        while True:
            piece = self._products.popleft() if self._products else next(self._pieces, None)
            if piece is None:
                self._spent = self._spent or self._so_far()
                yield self._resting.append
                continue
            tasks = piece.scene.tasks
            yield from self._do(tasks.window if piece.is_window else tasks.product)
            self._ended_at = self._clock.now
            self._num_to_begin -= 1
            if self._num_to_begin == 0:
                self._begun = self._so_far()
            if piece.is_window:
                self._keep(piece.scene)
            else:
                self._kept_bytes -= tasks.kept_bytes

    def _do(self, task: Task) -> Iterator[Wait]:
        seconds = self._shared.seconds(task)
        yield from self._shared_step(DRIVER, self._queues[DRIVER].take(seconds[DRIVER]), seconds)
        yield from self._shared_step(INPUT, self._pipes[INPUT].carry(task.input_bytes), seconds)
        yield from self._shared_step(FETCH, self._pipes[FETCH].carry(task.fetch_bytes), seconds)
        yield lambda resume: self._clock.at(self._clock.now + task.own_s, resume)
        yield from self._shared_step(UPLOAD, self._pipes[UPLOAD].carry(task.upload_bytes), seconds)
        yield from self._shared_step(REQUESTS, self._queues[REQUESTS].take(seconds[REQUESTS]), seconds)
        self._demand_s += task.own_s + sum(seconds.values())

    def _shared_step(self, name: str, wait: Wait, alone_s: Mapping[str, float]) -> Iterator[Wait]:
        if alone_s[name] > 0:
            began = self._clock.now
            yield wait
            self._waiting_s[name] += max(0.0, self._clock.now - began - alone_s[name])

    def _so_far(self) -> "_Spent":
        return _Spent(self._demand_s, dict(self._waiting_s))

    def _keep(self, scene: _Progress) -> None:
        """A window is there."""
        self._kept_bytes += scene.tasks.window.upload_bytes
        self._most_kept_bytes = max(self._most_kept_bytes, self._kept_bytes)
        scene.num_missing -= 1
        if scene.num_missing == 0:
            self._products.append(_Piece(scene, is_window=False))
            if self._resting:
                self._clock.at(self._clock.now, self._resting.popleft())
