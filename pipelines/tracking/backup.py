"""Keep a SQLite file safe in object storage.

SQLite cannot work on an object store, so the file lives on the driver's disk. The copy in the store is the
authority: a machine that finds there what another machine has put since takes it over, and keeps its own file
aside instead of overwriting the other's work.
"""

import hashlib
import json
import logging
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.storage import Store
from rssr.publish import write_aside

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatabaseBackup:
    """A local SQLite file and its copy in a store.

    Args:
        database: The local file.
        store: Where the copy goes.
        key: The copy's key in the store.
    """

    database: Path
    store: Store
    key: str

    def restore(self) -> None:
        """Take the store's copy where there is no local file, or where the copy came from elsewhere."""
        if not self.store.exists(self.key):
            return
        data = self.store.read_bytes(self.key)
        if self.database.exists():
            if _digest(data) in self._known_copies():
                return  # the local file is where the copy came from, and may be newer
            self._keep_aside()
        with write_aside(self.database) as path:
            path.write_bytes(data)
        self._remember([_digest(data)])
        _log.info("Restored the MLflow database from %s.", self.store.describe(self.key))

    def backup(self) -> None:
        """Put a consistent copy of the local file, even while others write to it, with one request."""
        if not self.database.exists():
            return
        data = _snapshot(self.database)
        digest = _digest(data)
        if self._known_copies() == [digest] and self.store.exists(self.key):
            return
        # Remembered before the put: a kill between the two must not make our own copy look foreign. Until a put
        # has succeeded, the store may hold any of those that were tried.
        self._remember([*self._known_copies(), digest])
        self.store.write_bytes(self.key, data)
        self._remember([digest])

    def _known_copies(self) -> list[str]:
        path = self._record()
        return [str(digest) for digest in json.loads(path.read_text())] if path.exists() else []

    def _remember(self, digests: list[str]) -> None:
        with write_aside(self._record()) as path:
            path.write_text(json.dumps(digests))

    def _record(self) -> Path:
        return self.database.with_name(f"{self.database.name}.copies.json")

    def _keep_aside(self) -> None:
        number = 1
        while (aside := self.database.with_name(f"{self.database.name}.replaced-{number}")).exists():
            number += 1
        self.database.rename(aside)
        _log.warning(
            "%s was changed by another machine; its copy is used from now on. What this machine had is kept as %s.",
            self.store.describe(self.key),
            aside,
        )


def _snapshot(database: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="rssr-mlflow-") as folder:
        target = Path(folder) / "snapshot.db"
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        return target.read_bytes()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
