"""Copies of models in the service's state: kept as long as a version that is served, or the one before it, is one."""

import logging
import time
from collections.abc import Callable

from pipelines.models import copy_key
from pipelines.serving.models.records import COPIES_FOLDER, ModelRecords

log = logging.getLogger(__name__)

_GRACE_S = 3600.0  # far longer than it takes to load one: a replica may have begun when it was still named
_LOOKS = 10  # in that time
_DEPTH = COPIES_FOLDER.count("/") + 2  # parts of the key of a copy's folder


class CopySweeper:
    """Removes copies that no record has named for long. For one thread.

    What is removed halfway is removed at a later look, and never loaded: copies are compared with their digest.

    Args:
        records: What is known of the models; one whose model is not configured any more counts as well.
        grace_s: How long a copy stays after it was last named, as far as this object has seen, seconds.
        clock: Seconds, never falling.
    """

    def __init__(
        self, records: ModelRecords, grace_s: float = _GRACE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._records = records
        self._grace_s = grace_s
        self._clock = clock
        self._looked_at = float("-inf")
        self._unnamed_since: dict[str, float] = {}

    def sweep(self) -> int:
        """Look, unless that was done just now; returns how many copies were removed.

        Raises:
            StorageError: The state cannot be read or written.
        """
        now = self._clock()
        if now - self._looked_at < self._grace_s / _LOOKS:
            return 0
        self._looked_at = now
        named = self._named()
        if named is None:
            return 0
        output = self._records.output
        there = {"/".join(entry.key.split("/")[:_DEPTH]) for entry in output.list(COPIES_FOLDER)}
        self._unnamed_since = {key: self._unnamed_since.get(key, now) for key in sorted(there - named)}
        due = [key for key, since in self._unnamed_since.items() if now - since >= self._grace_s]
        for key in due:
            output.delete_prefix(key)
            log.info("The copy %s is removed: neither what is served nor what was before needs it.", key)
        return len(due)

    def _named(self) -> set[str] | None:
        """Keys of the copies that are needed; None where that cannot be told."""
        records = self._records.read_all()
        if records is None:
            return None
        versions = [version for record in records for version in (record.version, record.previous)]
        return {copy_key(COPIES_FOLDER, version.digest) for version in versions if version is not None}
