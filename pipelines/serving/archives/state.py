"""The book of all archives: in the state store, so that it outlives every process, and whole in the leader's memory."""

import hashlib
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipelines.bulk.threads import in_threads
from pipelines.leases.lease import Held
from pipelines.serving.archives.ids import is_archive_id
from pipelines.serving.archives.records import (
    ENDED,
    KEYS,
    REQUESTS,
    STATES,
    ArchiveRecord,
    ArchiveRequest,
    ArchiveState,
    Standing,
    id_of_key,
    request_key,
    standing_key,
)
from pipelines.serving.problems import Problem
from pipelines.storage import ObjectMissing, Store
from pipelines.timestamps import timestamp

log = logging.getLogger(__name__)

ParsedT = TypeVar("ParsedT")

_FOLLOWS: dict[ArchiveState, frozenset[ArchiveState]] = {
    "queued": frozenset(("running", "cancelled", "failed")),
    "running": frozenset(("queued", "cancelling", *ENDED)),
    "cancelling": ENDED,
}
"""Which states may come after which; a state also follows itself, unless it is final."""


@dataclass(frozen=True)
class KnownKey:
    """What an Idempotency-Key stands for.

    Attributes:
        id: The archive that was made with it.
        digest: Of what was asked for then.
    """

    id: str
    digest: str


class ArchiveBook:
    """All archives, for the one runner that leads; safe to use from several threads.

    Args:
        root: The service's own place.
        held: Lets the runner write.
    """

    def __init__(self, root: Store, held: Held) -> None:
        self._root = root
        self._held = held
        self._lock = threading.RLock()
        self._records: dict[str, ArchiveRecord] = {}
        self._open: dict[str, ArchiveRecord] = {}  # history may be long, and what is looked at all the time is short
        self._num_of: Counter[ArchiveState] = Counter()
        self._removing: dict[str, ArchiveRequest | None] = {}  # None where the request is removed already

    def load(self) -> None:
        """Read what the state store holds. Damaged entries are told and left out.

        Raises:
            StorageError: The store fails.
        """
        requests = self._read_all(REQUESTS, ArchiveRequest.from_json)
        standings = self._read_all(STATES, Standing.from_json)
        removing = {name for name, known in standings.items() if known.removal_began_at and is_archive_id(name)}
        records = (
            ArchiveRecord(request, standings.get(name, Standing()))
            for name, request in sorted(requests.items())
            if name == request.id and name not in removing
        )
        with self._lock:
            self._removing = {name: requests.get(name) for name in sorted(removing)}
            for record in records:
                if not self._is_void(record):
                    self._take(record)

    def create(self, request: ArchiveRequest, admit: Callable[[Sequence[ArchiveRecord]], None]) -> tuple[str, bool]:
        """Write an archive down, unless its Idempotency-Key or its id has been seen.

        Args:
            request: With a fresh id.
            admit: Given all archives that have not ended, raises a problem where there is no room for one more.

        Returns:
            The id of the archive there is from now on, and whether it was there before.

        Raises:
            Problem: The key belongs to another request, or there is no room.
            StorageError: The store fails.
        """
        with self._lock:
            known = self.known_key(request.caller, request.idempotency_key)
            if known is not None and known.digest != request.digest:
                raise Problem(
                    "idempotency-key-reused",
                    "This Idempotency-Key was sent with another request before.",
                    "Send a fresh key, or the same request again.",
                )
            if known is not None:
                return known.id, True
            if request.id in self._records:  # asked again after a lost answer
                return request.id, False
            admit(self.open())
            self._held.require_held()
            if request.idempotency_key:
                note = json.dumps({"id": request.id, "digest": request.digest}).encode()
                self._root.write_bytes(_key_of(request.caller, request.idempotency_key), note)
            self._root.put_if_absent(request_key(request.id), request.to_json())
            self._take(ArchiveRecord(request))
            return request.id, False

    def known_key(self, caller: str, idempotency_key: str) -> KnownKey | None:
        """What an Idempotency-Key of a caller stands for; None for nothing.

        A key that was written down for an archive which never came to be stands for nothing.
        """
        if not idempotency_key:
            return None
        known = self._read_key(caller, idempotency_key)
        with self._lock:
            return known if known is not None and known.id in self._records else None

    def find(self, archive_id: str, caller: str | None = None) -> ArchiveRecord:
        """An archive.

        Args:
            archive_id: Its id.
            caller: Who asks; others' archives are not there for them. None asks for the service itself.

        Raises:
            Problem: There is none of this id.
        """
        with self._lock:
            record = self._records.get(archive_id)
        if record is None or caller not in (None, record.caller):
            raise Problem("not-found", "There is no such archive.", "GET /v1/archives lists yours.")
        return record

    def change(self, archive_id: str, state: ArchiveState, **changes: Any) -> ArchiveRecord:  # noqa: ANN401  # fields of `Standing`
        """Let an archive stand otherwise, and write that down first.

        Raises:
            Problem: It has ended, or is not in a state that this one may follow.
            StorageError: The store fails, or this runner does not lead any more.
        """
        with self._lock:
            record = self.find(archive_id)
            if state not in _FOLLOWS.get(record.state, frozenset()) and (state != record.state or state in ENDED):
                raise Problem("conflict", f"The archive is {record.state}, so it cannot become {state}.")
            moment = {"ended_at": timestamp()} if state in ENDED else {}
            standing = replace(record.standing, state=state, **{**moment, **changes})
            self._held.require_held()
            self._root.write_bytes(standing_key(archive_id), standing.to_json())
            return self._take(replace(record, standing=standing))

    def begin_removal(self, archive_id: str) -> None:
        """Let an archive that has ended not be there any more, and write that down first.

        Raises:
            Problem: It has not ended.
            StorageError: The store fails, or this runner does not lead any more.
        """
        with self._lock:
            record = self.find(archive_id)
            if not record.standing.has_ended:
                raise Problem("conflict", f"The archive is {record.state}, so it cannot be removed.")
            standing = replace(record.standing, removal_began_at=timestamp())
            self._held.require_held()
            self._root.write_bytes(standing_key(archive_id), standing.to_json())
            self._num_of[record.state] -= 1
            del self._records[archive_id]
            self._removing[archive_id] = record.request

    def removing(self) -> dict[str, ArchiveRequest | None]:
        """Archives whose removal has begun; None stands for a request that is removed already."""
        with self._lock:
            return dict(self._removing)

    def end_removal(self, archive_id: str) -> None:
        """Remove what is written down of an archive, once nothing else is left of it.

        Raises:
            StorageError: The store fails, or this runner does not lead any more.
        """
        with self._lock:
            request = self._removing[archive_id]
            self._held.require_held()
            if request is not None and request.idempotency_key:
                known = self._read_key(request.caller, request.idempotency_key)
                if known is not None and known.id == archive_id:  # else it was sent again since
                    self._root.delete(_key_of(request.caller, request.idempotency_key))
            self._root.delete(request_key(archive_id))
            self._root.delete(standing_key(archive_id))  # the last: it tells that there is something to remove
            del self._removing[archive_id]

    def require_held(self) -> None:
        """Return if this runner still leads.

        Raises:
            LeaseLost: It does not.
        """
        self._held.require_held()

    def all(self) -> list[ArchiveRecord]:
        """All archives, the oldest first."""
        with self._lock:
            return list(self._records.values())

    def open(self) -> list[ArchiveRecord]:
        """Those that have not ended, the oldest first."""
        with self._lock:
            return list(self._open.values())

    def by_state(self) -> dict[str, int]:
        """How many archives there are in each state."""
        with self._lock:
            return {state: number for state, number in self._num_of.items() if number}

    def _take(self, record: ArchiveRecord) -> ArchiveRecord:
        before = self._records.get(record.id)
        if before is not None:
            self._num_of[before.state] -= 1
        self._num_of[record.state] += 1
        self._records[record.id] = record
        if record.standing.has_ended:
            self._open.pop(record.id, None)
        else:
            self._open[record.id] = record
        return record

    def _is_void(self, record: ArchiveRecord) -> bool:
        """Whether its caller was told that it could not be made, and has made another one with the same key."""
        request = record.request
        if record.state != "queued" or not request.idempotency_key:
            return False
        known = self._read_key(request.caller, request.idempotency_key)
        return known is not None and known.id != record.id

    def _read_key(self, caller: str, idempotency_key: str) -> KnownKey | None:
        try:
            values = json.loads(self._root.read_bytes(_key_of(caller, idempotency_key)))
            return KnownKey(str(values["id"]), str(values["digest"]))
        except (ObjectMissing, ValueError, TypeError, KeyError):
            return None

    def _read_all(self, folder: str, parse: Callable[[bytes], ParsedT]) -> dict[str, ParsedT]:
        def read(key: str) -> ParsedT | None:
            try:
                return parse(self._root.read_bytes(key))
            except ObjectMissing:
                return None
            except ValueError:
                log.warning("%s is damaged and left out.", self._root.describe(key))
                return None

        keys = [entry.key for entry in self._root.list(folder)]
        found = zip(keys, in_threads(read, keys), strict=True)
        return {id_of_key(key): value for key, value in found if value is not None}


def _key_of(caller: str, idempotency_key: str) -> str:
    digest = hashlib.sha256(json.dumps([caller, idempotency_key]).encode()).hexdigest()
    return f"{KEYS}/{digest}.json"
