"""How workers that share stores and a driver get through a run: events in order of time, computed, not drawn.

A worker asks the driver for a piece of work, reads scenes, reads computed windows, computes, writes, and has objects
taken note of; then it asks again. It is alone with its arithmetic. A store gives each connection as much as one can
take, until its bandwidth is used up; the next ones wait. The driver and the store's requests are queues as well, first
come, first served. A product is made when all windows of its scene are there, before any other window.

Of every worker's second one can say where it went: to work, to waiting for one of the things that are shared, or to
having nothing to do. So an efficiency comes with its reason.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

DRIVER, INPUT, FETCH, UPLOAD, REQUESTS = "driver", "input", "fetch", "upload", "requests"
"""What is shared."""


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
class Connections:
    """A store in one direction.

    Attributes:
        one_bytes_per_s: Bytes a second of one connection; every worker has one.
        all_bytes_per_s: Of all together.
    """

    one_bytes_per_s: float = math.inf
    all_bytes_per_s: float = math.inf

    def seconds(self, num_bytes: float) -> float:
        """Of one connection that is alone."""
        return num_bytes / min(self.one_bytes_per_s, self.all_bytes_per_s)


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

    input: Connections = Connections()
    fetch: Connections = Connections()
    upload: Connections = Connections()
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
    """

    num_workers: int
    makespan_s: float
    demand_s: float
    waiting_s: Mapping[str, float]
    idle_s: float
    most_kept_bytes: float = 0.0

    @property
    def efficiency(self) -> float:
        """Share of the workers' time that is work."""
        return self.demand_s / (self.num_workers * self.makespan_s) if self.makespan_s else 1.0

    def stretched(self, demand_s: float) -> "Outcome":
        """The same workers on more of the same work: waiting grows with it, idling at the end does not."""
        factor = demand_s / self.demand_s if self.demand_s else 1.0
        waiting = {name: seconds * factor for name, seconds in self.waiting_s.items()}
        makespan_s = (demand_s + sum(waiting.values()) + self.idle_s) / self.num_workers
        return replace(self, makespan_s=makespan_s, demand_s=demand_s, waiting_s=waiting)

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


Resume = Callable[[], None]
Wait = Callable[[Resume], None]
"""Something that takes its time, then goes on with what it is given."""


class _Clock:
    """Events in order of time; of those at one time the first that was asked for comes first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Resume]] = []
        self._numbers = itertools.count()

    def at(self, time: float, act: Resume) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), act))

    def run(self) -> None:
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()


class _Queue:
    """Takes one after the other."""

    def __init__(self, clock: _Clock) -> None:
        self._clock, self._free_at = clock, 0.0

    def take(self, seconds: float) -> Wait:
        def wait(resume: Resume) -> None:
            self._free_at = max(self._clock.now, self._free_at) + seconds
            self._clock.at(self._free_at, resume)

        return wait


class _Flow:
    """Bytes on their way."""

    def __init__(self, num_bytes: float, resume: Resume) -> None:
        self.missing = num_bytes
        self.resume = resume


class _Pipe:
    """A bandwidth that gives each connection all it can take, in the order in which they came.

    What is left, less than one connection can take, goes to the next; those after it wait.
    """

    def __init__(self, clock: _Clock, limits: Connections) -> None:
        self._clock = clock
        self._one, together = min(limits.one_bytes_per_s, limits.all_bytes_per_s), limits.all_bytes_per_s
        self._num_slots = together // self._one if together < math.inf else math.inf
        self._rest = together - self._num_slots * self._one if self._num_slots < math.inf else 0.0
        self._num_full = 0
        self._partly: _Flow | None = None
        self._partly_since = 0.0
        self._waiting: deque[_Flow] = deque()

    def carry(self, num_bytes: float) -> Wait:
        def wait(resume: Resume) -> None:
            self._waiting.append(_Flow(num_bytes, resume))
            self._serve()

        return wait

    def _serve(self) -> None:
        """Give what is free to those who have waited longest."""
        while self._num_full < self._num_slots and (self._partly is not None or self._waiting):
            self._num_full += 1
            flow = self._taken_over() if self._partly is not None else self._waiting.popleft()
            self._clock.at(self._clock.now + flow.missing / self._one, partial(self._finish_full, flow))
        if self._partly is None and self._rest > 0 and self._waiting:
            self._partly, self._partly_since = self._waiting.popleft(), self._clock.now
            seconds = self._partly.missing / self._rest
            self._clock.at(self._clock.now + seconds, partial(self._finish_partly, self._partly))

    def _taken_over(self) -> _Flow:
        """The flow that got what was left, with what it still misses."""
        flow, self._partly = self._partly, None
        assert flow is not None, "the caller looks"
        flow.missing = max(0.0, flow.missing - self._rest * (self._clock.now - self._partly_since))
        return flow

    def _finish_full(self, flow: _Flow) -> None:
        self._num_full -= 1
        self._serve()
        flow.resume()

    def _finish_partly(self, flow: _Flow) -> None:
        if flow is self._partly:  # else it was given more meanwhile
            self._partly = None
            self._serve()
            flow.resume()


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


class _Run:
    """Workers on their way through scenes."""

    def __init__(self, scenes: Sequence[SceneTasks], shared: Shared) -> None:
        self._shared, self._clock = shared, _Clock()
        self._queues = {DRIVER: _Queue(self._clock), REQUESTS: _Queue(self._clock)}
        limits = {INPUT: shared.input, FETCH: shared.fetch, UPLOAD: shared.upload}
        self._pipes = {name: _Pipe(self._clock, found) for name, found in limits.items()}
        self._products: deque[_Piece] = deque()
        self._pieces = itertools.chain.from_iterable(_Progress(scene).pieces() for scene in scenes)
        self._resting: deque[Resume] = deque()
        self._demand_s, self._ended_at = 0.0, 0.0
        self._kept_bytes, self._most_kept_bytes = 0.0, 0.0
        self._waiting_s = dict.fromkeys((DRIVER, INPUT, FETCH, UPLOAD, REQUESTS), 0.0)

    def outcome(self, num_workers: int) -> Outcome:
        for _ in range(num_workers):
            self._go_on(self._work())
        self._clock.run()
        busy_s = self._demand_s + sum(self._waiting_s.values())
        idle_s = max(0.0, num_workers * self._ended_at - busy_s)
        return Outcome(num_workers, self._ended_at, self._demand_s, self._waiting_s, idle_s, self._most_kept_bytes)

    def _go_on(self, worker: Iterator[Wait]) -> None:
        next(worker)(lambda: self._go_on(worker))

    def _work(self) -> Iterator[Wait]:
        """A worker's life; at the end it rests for ever."""
        while True:
            piece = self._products.popleft() if self._products else next(self._pieces, None)
            if piece is None:
                yield self._resting.append
                continue
            tasks = piece.scene.tasks
            yield from self._do(tasks.window if piece.is_window else tasks.product)
            self._ended_at = self._clock.now
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

    def _keep(self, scene: _Progress) -> None:
        """A window is there."""
        self._kept_bytes += scene.tasks.window.upload_bytes
        self._most_kept_bytes = max(self._most_kept_bytes, self._kept_bytes)
        scene.num_missing -= 1
        if scene.num_missing == 0:
            self._products.append(_Piece(scene, is_window=False))
            if self._resting:
                self._clock.at(self._clock.now, self._resting.popleft())
