"""Leases: one holder at a time, and one that knows when it holds nothing any more.

The holder writes its flag anew in the background (see `flags`). If it is kept from that for as long as the lease
lasts, then by its own clock it does not hold it any more; others wait half as long again before they take over. When it
can write again it goes on only if nobody has.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from pipelines.leases.flags import Flag, FlagFolder, Rival, now_s
from pipelines.leases.process_identity import ProcessIdentity
from pipelines.storage import Store
from pipelines.timestamps import timestamp
from rssr.errors import StorageError

_log = logging.getLogger(__name__)

_RENEWALS = 4  # in the time that a lease lasts
_PAUSE_S = (0.05, 0.4)  # between two looks, drawn: those that met draw apart
_PATIENCE_S = 2.0  # with a holder that is surely alive: it may just be ending


class LeaseHeld(StorageError):
    """Somebody else holds the lease, and is alive."""


class LeaseLost(StorageError):
    """The lease is not held any more."""


class Held(Protocol):
    """What lets somebody write."""

    def require_held(self) -> None:
        """Return if it still does.

        Raises:
            LeaseLost: It does not.
        """


class Lease:
    """A lease of this process; `with` acquires and releases it. For one thread at a time.

    Args:
        store: Where it lies.
        key: Folder of its flags.
        owner: What it is held for, e.g. the job: others are told.
        lasts_s: After so long without renewal it is not held any more.
    """

    def __init__(self, store: Store, key: str, owner: str = "this program", lasts_s: float = 30.0) -> None:
        self._store = store
        self._key = key
        self._lasts_s = lasts_s
        since = timestamp()
        flag = Flag(secrets.token_hex(8), owner, ProcessIdentity.of_this_process(), since)
        self._nonce = flag.nonce
        self._flags = FlagFolder(store, key, flag, lasts_s)
        self._valid_until = float("-inf")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # between renewal and release

    def acquire(self, waits_s: float = _PATIENCE_S) -> None:
        """Hold it, and go on holding it in the background.

        Where somebody elsewhere may be dead, this takes as long as it takes to be sure.

        Args:
            waits_s: How long to wait for a holder that is alive.

        Raises:
            LeaseHeld: Somebody else is alive and holds it.
        """
        deadline, has_told = now_s() + waits_s, False
        try:
            while not self._flags.enter():
                has_told = self._consider(list(self._flags.rivals.values()), deadline, has_told)
                time.sleep(random.uniform(*_PAUSE_S))
        except BaseException:
            self._flags.lower()
            raise
        self._valid_until = self._flags.raised_at + self._lasts_s
        self._ended.clear()
        self._thread = threading.Thread(target=self._renew_always, name=f"lease of {self._key}", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let others have it; once more is no error."""
        self._ended.set()
        with self._lock:
            if self._thread is not None:
                self._thread = None
                self._valid_until = float("-inf")
                self._flags.lower()

    def require_held(self) -> None:
        """Return if it is held.

        Raises:
            LeaseLost: It is not, or not any more.
        """
        if now_s() > self._valid_until:
            raise LeaseLost(
                f"{self._store.describe(self._key)} could not be renewed for {self._lasts_s:g} s, so another run may "
                "have taken over.",
                "Run the same command again: it goes on where this one ends.",
            )

    def witness(self) -> "LeaseWitness":
        """The lease for other processes that work for its holder."""
        return LeaseWitness(self._store, self._key, self._nonce)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _consider(self, rivals: Sequence[Rival], deadline: float, has_told: bool) -> bool:
        """Give up, or tell what is waited for; returns whether that has been told."""
        alive = [rival for rival in rivals if rival.is_alive]
        if alive and now_s() > deadline:
            raise LeaseHeld(
                f"{self._store.uri} is being written to by another run: {alive[0].flag}.",
                "Wait until it ends, or end it; then run again. It goes on where the other one ends.",
            )
        if rivals and not alive and not has_told:
            _log.info("Waiting to see whether it is still alive: %s.", rivals[0].flag)
        return has_told or (bool(rivals) and not alive)

    def _renew_always(self) -> None:
        while not self._ended.wait(self._lasts_s / _RENEWALS):
            with self._lock:
                if self._ended.is_set():
                    return
                try:
                    if not self._renew():
                        return
                except StorageError as error:  # it is tried again; `require_held` tells in time
                    _log.warning("%s cannot be renewed: %s", self._store.describe(self._key), error)

    def _renew(self) -> bool:
        self._flags.raise_flag()
        if now_s() > self._valid_until and not self._flags.is_alone():
            # It had lapsed, and somebody has taken over or is about to.
            _log.warning("%s was lost.", self._store.describe(self._key))
            self._flags.lower()
            return False
        self._valid_until = self._flags.raised_at + self._lasts_s
        return True


@dataclass(frozen=True)
class LeaseWitness:
    """A lease that another process holds; travels to the processes that work for it.

    Attributes:
        store: Where it lies.
        key: Folder of its flags.
        nonce: Of the holder.
    """

    store: Store
    key: str
    nonce: str

    def require_held(self) -> None:
        """Ask the store whether the holder's flag is still up.

        Raises:
            LeaseLost: It is not: somebody has taken over, or the holder has ended.
        """
        if not self.store.exists(f"{self.key}/{self.nonce}"):
            raise LeaseLost(
                f"The run that leads {self.store.uri} has ended, or another one has taken over.",
                "Nothing is to be done here: the other one goes on.",
            )
