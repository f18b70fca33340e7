"""Events in order of time, and what things that are shared do to them: queues, and pipes of some bandwidth."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

Resume = Callable[[], None]
Wait = Callable[[Resume], None]
"""Something that takes its time, then goes on with what it is given."""


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


UNLIMITED = Connections()


class Clock:
    """Events in order of time; of those at one time the first that was asked for comes first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Resume]] = []
        self._numbers = itertools.count()

    def at(self, time: float, act: Resume) -> None:
        """Let something happen, not before now."""
        heapq.heappush(self._events, (time, next(self._numbers), act))

    def run(self) -> None:
        """Go through all events, and those that they bring."""
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()


class Queue:
    """Takes one after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._free_at = clock, 0.0

    def take(self, seconds: float) -> Wait:
        """Something that takes so long once it is its turn."""

        def wait(resume: Resume) -> None:
            self._free_at = max(self._clock.now, self._free_at) + seconds
            self._clock.at(self._free_at, resume)

        return wait


class _Flow:
    """Bytes on their way."""

    def __init__(self, num_bytes: float, resume: Resume) -> None:
        self.missing = num_bytes
        self.resume = resume


class Pipe:
    """A bandwidth that gives each connection all it can take, in the order in which they came.

    What is left, less than one connection can take, goes to the next; those after it wait.
    """

    def __init__(self, clock: Clock, limits: Connections) -> None:
        self._clock = clock
        self._one, together = min(limits.one_bytes_per_s, limits.all_bytes_per_s), limits.all_bytes_per_s
        self._num_slots = together // self._one if together < math.inf else math.inf
        self._rest = together - self._num_slots * self._one if self._num_slots < math.inf else 0.0
        self._num_full = 0
        self._partly: _Flow | None = None
        self._partly_since = 0.0
        self._waiting: deque[_Flow] = deque()

    def carry(self, num_bytes: float) -> Wait:
        """So many bytes through one connection."""

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
