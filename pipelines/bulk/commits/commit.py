"""Products enter the output once: a name that is taken is never overwritten, and nobody ever sees half a file."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from pathlib import Path

from pipelines.bulk.commits.scene_keys import scene_part
from pipelines.bulk.records import FileRole, ProductFile
from pipelines.leases.lease import Held, Lease, LeaseLost
from pipelines.storage import Store, is_local
from pipelines.storage.file_errors import explained
from pipelines.storage.store import file_sha256
from rssr.errors import StorageError

_log = logging.getLogger(__name__)

COMMIT_LEASES = "_run/committing"
"""Folder of leases of single products, on stores that refuse nothing."""

_NUM_TRIES = 5
_PATIENCE_S = 1800.0  # with another process that commits the same product: it may be large, and the network slow


class Guard(Enum):
    """What keeps two processes from committing one product."""

    CONDITIONAL_PUT = "conditional put"
    HARD_LINK = "hard link"
    LEASE = "lease"


class Committer:
    """Puts products into an output.

    Args:
        store: The output.
        lease: Of the run: who has lost it commits nothing more. A worker's is `Lease.witness()`.
    """

    def __init__(self, store: Store, lease: Held) -> None:
        self._store = store
        self._lease = lease

    @cached_property
    def guard(self) -> Guard:
        """What holds in this output; probed once.

        Raises:
            StorageError: Nothing can be written there.
        """
        if not self._store.enforces_conditional_upload():
            return Guard.LEASE
        return Guard.HARD_LINK if is_local(self._store.uri) else Guard.CONDITIONAL_PUT

    def describe(self) -> str:
        """A sentence for the log about what holds."""
        uri = self._store.uri
        return {
            Guard.CONDITIONAL_PUT: f"{uri} refuses to overwrite (If-None-Match): each product is committed once.",
            Guard.HARD_LINK: f"{uri} refuses to link to a name that is taken: each product is committed once.",
            Guard.LEASE: f"{uri} would overwrite without a word: each product is committed under a lease.",
        }[self.guard]

    def commit(self, files: Sequence[tuple[Path, str, FileRole]]) -> tuple[ProductFile, ...]:
        """Put the files of one product there, in the given order, each unless it is there already.

        A file that is there with the same content is taken for this run's own: it was killed in the middle. On a local
        disk the files may become the product as they are, so nobody may write to them any more.

        Args:
            files: Local file, key and role of each; the one that says that the product is complete comes last.

        Returns:
            What lies there now, in the same order.

        Raises:
            StorageError: One of the names is taken by other content, or nothing can be written.
            LeaseLost: The run's lease is not held any more.
        """
        if not files:
            return ()
        for _ in range(_NUM_TRIES - 1):
            self._lease.require_held()
            try:
                return self._try(files)
            except LeaseLost as error:  # that of the product, where the machine stood still: what is there stays
                _log.warning("%s is committed once more: %s", files[0][1], error.problem)
        self._lease.require_held()
        return self._try(files)

    def _try(self, files: Sequence[tuple[Path, str, FileRole]]) -> tuple[ProductFile, ...]:
        with self._alone(files[0][1]) as leases:
            return tuple(self._commit(file, leases) for file in files)

    @contextmanager
    def _alone(self, key: str) -> Iterator[Sequence[Held]]:
        """Nobody else commits this product meanwhile, where the store itself does not see to that."""
        if self.guard is not Guard.LEASE:
            yield (self._lease,)
            return
        lease = Lease(self._store, f"{COMMIT_LEASES}/{scene_part(key)}", f"committing {key}")
        lease.acquire(_PATIENCE_S)
        try:
            yield self._lease, lease
        finally:
            lease.release()

    def _commit(self, given: tuple[Path, str, FileRole], leases: Sequence[Held]) -> ProductFile:
        path, key, role = given
        with explained(path):
            file = ProductFile(key, role, path.stat().st_size, file_sha256(path))
        for lease in leases:
            lease.require_held()
        if not self._store.upload_file_if_absent(path, key, takes_source=True):
            self._require_same(file)
        return file

    def _require_same(self, file: ProductFile) -> None:
        found = self._store.stat(file.key)
        if found.num_bytes != file.num_bytes or self._store.sha256(file.key) != file.sha256:
            raise StorageError(
                f"{self._store.describe(file.key)} exists from another run: its content is not what this run makes.",
                "Choose another output, or forget the earlier run with fresh=true.",
            )
