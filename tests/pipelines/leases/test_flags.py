"""However the requests of several contenders follow one another, never two of them go on."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pipelines.leases.flags import Flag, FlagFolder
from pipelines.leases.process_identity import ProcessIdentity
from pipelines.storage import Entry, ObjectMissing

KEY = "flags"
OWN = ProcessIdentity.of_this_process()
DEAD = replace(OWN, started=str(int(OWN.started) - 1))


class Schedule:
    """Lets one thread at a time make one request, in an order that is drawn.

    Args:
        seed: Of the order.
        num: Threads.
    """

    def __init__(self, seed: int, num: int) -> None:
        self._random = random.Random(seed)
        self._turn = threading.Condition()
        self._num_running = num
        self._waiting: list[int] = []
        self._next: int | None = None

    @contextmanager
    def request(self) -> Iterator[None]:
        """Wait for the turn; others wait until this thread asks again or ends."""
        own = threading.get_ident()
        with self._turn:
            self._waiting.append(own)
            self._choose()
            self._turn.wait_for(lambda: self._next == own)
            self._next = None
            self._waiting.remove(own)
        yield

    def end(self) -> None:
        """This thread asks no more."""
        with self._turn:
            self._num_running -= 1
            self._choose()

    def _choose(self) -> None:
        if self._next is None and self._waiting and len(self._waiting) == self._num_running:
            self._next = self._random.choice(sorted(self._waiting))
            self._turn.notify_all()


class ScheduledStore:
    """What a folder of flags needs of a store, in memory."""

    uri = "memory"

    def __init__(self, schedule: Schedule, objects: dict[str, bytes]) -> None:
        self._schedule = schedule
        self._objects = objects

    def list(self, prefix: str) -> list[Entry]:
        with self._schedule.request():
            return [Entry(key, 0, "") for key in sorted(self._objects) if key.startswith(f"{prefix}/")]

    def read_bytes(self, key: str) -> bytes:
        with self._schedule.request():
            if key not in self._objects:
                raise ObjectMissing(key)
            return self._objects[key]

    def write_bytes(self, key: str, data: bytes) -> None:
        with self._schedule.request():
            self._objects[key] = data

    def delete(self, key: str) -> None:
        with self._schedule.request():
            self._objects.pop(key, None)


class Contest:
    """Several contenders, each of which tries some times.

    Args:
        seed: Of their order.
        num: Contenders.
        dead: Whether the flag of somebody who died is up at the beginning.
    """

    def __init__(self, seed: int, num: int, dead: bool) -> None:
        flag = Flag("5" * 16, "dead", DEAD, "then")
        self.objects = {f"{KEY}/{flag.nonce}": flag.to_json()} if dead else {}
        self.most_inside = 0
        self.num_entered = 0
        self._inside = 0
        self._schedule = Schedule(seed, num)
        self._store: Any = ScheduledStore(self._schedule, self.objects)
        self._run([self._contender(number) for number in range(num)])

    def _contender(self, number: int) -> Callable[[], None]:
        nonce = f"{number * 3:016d}"

        def work() -> None:
            flags = FlagFolder(self._store, KEY, Flag(nonce, "a thread", OWN, "now"), lasts_s=3600)
            for _ in range(6):
                if flags.enter():
                    self._inside += 1
                    self.num_entered += 1
                    self.most_inside = max(self.most_inside, self._inside)
                    self._store.read_bytes(f"{KEY}/{nonce}")  # others have their turns meanwhile
                    self._inside -= 1
                    flags.lower()
            flags.lower()
            self._schedule.end()

        return work

    def _run(self, contenders: list[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=contender, daemon=True) for contender in contenders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "somebody waits for ever"


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("num", [2, 3])
def test_two_never_go_on_and_one_does(num: int, dead: bool) -> None:
    for seed in range(150):
        contest = Contest(seed, num, dead)
        assert contest.most_inside == 1, f"seed {seed}"
        assert contest.num_entered >= 1, f"seed {seed}: of those that met one stays until the others have gone"
        assert contest.objects == {}, f"seed {seed}"
