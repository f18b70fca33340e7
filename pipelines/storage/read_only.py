"""What stores that hold published data have in common: nothing is written, and contents are looked up once."""

import threading
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from pipelines.storage.store import Data, Store

Contents = TypeVar("Contents")


class ReadOnlyStore(Store, Generic[Contents]):
    """A store whose every writing method is refused.

    What it holds is looked up when it is first needed, once for all threads, and by each process anew.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held: Contents | None = None

    def write_bytes(self, key: str, data: bytes) -> None:
        """Refused."""
        self._refuse()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Refused."""
        self._refuse()

    def write_stream(self, key: str, chunks: Iterable[Data]) -> None:
        """Refused."""
        self._refuse()

    def enforces_conditional_put(self) -> bool:
        """Nothing can be put at all."""
        return False

    def delete(self, key: str) -> None:
        """Refused."""
        self._refuse()

    def upload_file(self, source: Path, key: str) -> None:
        """Refused."""
        self._refuse()

    def upload_file_if_absent(self, source: Path, key: str, *, takes_source: bool = False) -> bool:
        """Refused."""
        self._refuse()

    def download_file(self, key: str, target: Path) -> None:
        """Copy one object to a local file."""
        target.write_bytes(self.read_bytes(key))

    @property
    def _contents(self) -> Contents:
        with self._lock:
            if self._held is None:
                self._held = self._look()
            return self._held

    @abstractmethod
    def _look(self) -> Contents:
        """What there is."""

    @abstractmethod
    def _refuse(self) -> NoReturn:
        """Raise the `StorageError` that says where to write instead."""

    def __getstate__(self) -> dict[str, Any]:
        """Where it lies, without what it holds."""
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_held")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ReadOnlyStore.__init__(self)
        vars(self).update(state)
