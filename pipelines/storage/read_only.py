"""What stores that hold published data have in common: nothing is written to them."""

from abc import abstractmethod
from pathlib import Path
from typing import NoReturn

from pipelines.storage.store import Store


class ReadOnlyStore(Store):
    """A store whose every writing method is refused."""

    def write_bytes(self, key: str, data: bytes) -> None:
        """Refused."""
        self._refuse()

    def put_if_absent(self, key: str, data: bytes) -> bool:
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

    def download_file(self, key: str, target: Path) -> None:
        """Copy one object to a local file."""
        target.write_bytes(self.read_bytes(key))

    @abstractmethod
    def _refuse(self) -> NoReturn:
        """Raise the `StorageError` that says where to write instead."""
