"""Flags of those who want one thing at a time, on stores that promise whole objects, true listings and nothing else.

Each contender has an object of its own, its flag, which nobody else overwrites. Who first raises its flag, then looks
and sees no other may go on: of two at the same moment at least one sees the other, however slow their requests are.

Flags are written anew all the time. A contender that has died is known by its process where that is on the same
machine, at once; elsewhere by a flag that has not changed for longer than it lasts, by the clock of whoever looks:
clocks are not compared.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from typing import Self

from pipelines.leases.process_identity import ProcessIdentity
from pipelines.storage import ObjectMissing, Store
from rssr.errors import StorageError

_log = logging.getLogger(__name__)

_MARGIN = 1.5  # times as long as it lasts a flag must not have changed before its owner counts as dead


@dataclass(frozen=True)
class Flag:
    """What a contender's object holds.

    Attributes:
        nonce: Names the contender; the last part of the object's key.
        owner: What it is about, for people.
        process: Who it is.
        since: When it began, for people.
        beat: Counts how often the flag was written.
    """

    nonce: str
    owner: str
    process: ProcessIdentity
    since: str
    beat: int = 0

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, nonce: str, data: bytes) -> Self:
        """What `to_json` wrote; somebody unknown where the object is anything else."""
        try:
            values = json.loads(data)
            return cls(**{**values, "process": ProcessIdentity(**values["process"])})
        except (ValueError, TypeError, KeyError):
            return cls(nonce, "something", ProcessIdentity("an unknown machine", 0), "an unknown time")

    def __str__(self) -> str:
        return f"{self.owner}, {self.process}, since {self.since}"


@dataclass
class Rival:
    """Another contender, as it is seen from here.

    Attributes:
        flag: Its flag.
        data: The same as it is stored.
        seen_at: When it was first seen like this.
        has_changed: Whether it was seen otherwise before.
    """

    flag: Flag
    data: bytes
    seen_at: float
    has_changed: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether it surely is; false where that is not known."""
        return self.has_changed or self.flag.process.is_here()


class FlagFolder:
    """One contender's view of a folder of flags.

    Args:
        store: Where it lies.
        key: The folder.
        flag: Of this contender.
        lasts_s: How long a flag counts that is not written anew.

    Attributes:
        rivals: Others as of the last look, by nonce.
        raised_at: A moment before anybody can have seen the own flag as it is now.
    """

    def __init__(self, store: Store, key: str, flag: Flag, lasts_s: float) -> None:
        self.rivals: dict[str, Rival] = {}
        self.raised_at = float("-inf")
        self._store = store
        self._key = key
        self._flag = flag
        self._lasts_s = lasts_s
        self._is_up = False  # the own flag, as far as is known

    def enter(self) -> bool:
        """One attempt to be alone; afterwards `rivals` are those that stood in the way.

        Of several that met, one leaves its flag up and the others take theirs down.
        """
        self._look()
        alive = [nonce for nonce, rival in self.rivals.items() if not self._is_dead(rival)]
        if alive and not (self._is_up and self._flag.nonce < min(alive)):
            self.lower()
            return False
        self.raise_flag()
        return self.is_alone()

    def is_alone(self) -> bool:
        """With the own flag up: whether there is no other, once those of the dead are taken down."""
        self._look()
        for nonce, rival in self.rivals.items():
            if self._is_dead(rival):
                _log.info("%s is gone; taking over.", rival.flag)
                self._store.delete(f"{self._key}/{nonce}")
        self._look()
        return self._is_up and not self.rivals

    def raise_flag(self) -> None:
        """Write the own flag, anew where it is up."""
        self.raised_at = now_s()
        self._flag = replace(self._flag, beat=self._flag.beat + 1)
        self._is_up = True  # also where the answer gets lost
        self._store.write_bytes(f"{self._key}/{self._flag.nonce}", self._flag.to_json())

    def lower(self) -> None:
        """Take the own flag down, if it is up."""
        if not self._is_up:
            return
        try:
            self._store.delete(f"{self._key}/{self._flag.nonce}")
            self._is_up = False
        except StorageError as error:  # others find out that it is not renewed
            _log.warning("%s cannot be released: %s", self._store.describe(self._key), error)

    def _look(self) -> None:
        """See which flags are up, and since when each has been as it is."""
        seen: dict[str, Rival] = {}
        nonces = [entry.key.rpartition("/")[2] for entry in self._store.list(self._key)]
        self._is_up = self._flag.nonce in nonces
        for nonce in nonces:
            if nonce == self._flag.nonce:
                continue
            try:
                data = self._store.read_bytes(f"{self._key}/{nonce}")
            except ObjectMissing:
                continue  # taken down since
            before = self.rivals.get(nonce)
            if before is None or before.data != data:
                before = Rival(Flag.from_json(nonce, data), data, now_s(), before is not None)
            seen[nonce] = before
        self.rivals = seen

    def _is_dead(self, rival: Rival) -> bool:
        return rival.flag.process.is_gone() or now_s() - rival.seen_at > _MARGIN * self._lasts_s


def now_s() -> float:
    """Seconds that also pass while the machine sleeps, where it tells those."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
