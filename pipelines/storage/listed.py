"""A list of files as a store: for places that cannot be listed, such as the web."""

from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from pipelines.storage.read_only import ReadOnlyStore
from pipelines.storage.store import Entry, ObjectMissing, Store, clean_key
from rssr.errors import StorageError

LIST_SUFFIX = ".txt"
"""How lists' names end."""

_MAX_LIST_BYTES = 256 * 2**20
_NUM_REQUESTS = 16  # sizes asked for at once


class ListedStore(ReadOnlyStore[dict[str, None]]):
    """The files that a text file names, a key a line, relative to the folder of the list; read-only.

    Args:
        container: Folder of the list.
        key: The list.
    """

    def __init__(self, container: Store, key: str) -> None:
        super().__init__()
        self._container = container
        self._key = key

    @property
    def uri(self) -> str:
        """The list's address."""
        return self._container.describe(self._key)

    def child(self, key: str) -> Store:
        """The folder itself: a list has no parts."""
        return self._container.child(key)

    def list(self, prefix: str = "") -> list[Entry]:
        """The files named, with size and version as their server tells them, one request each.

        Raises:
            ObjectMissing: One of them is not there.
        """
        below = f"{clean_key(prefix.strip('/'))}/" if prefix.strip("/") else ""
        keys = sorted(key for key in self._contents if key.startswith(below))
        with ThreadPoolExecutor(_NUM_REQUESTS) as pool:
            return list(pool.map(self._container.stat, keys))

    def stat(self, key: str) -> Entry:
        """Size and version of one of the files."""
        return self._container.stat(self._require(key))

    def exists(self, key: str) -> bool:
        """Whether the list names it."""
        return key in self._contents

    def has_folder(self) -> bool:
        """Whether the list is there."""
        return self._container.exists(self._key)

    def read_bytes(self, key: str) -> bytes:
        """One of the files."""
        return self._container.read_bytes(self._require(key))

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """A part of one of the files."""
        return self._container.read_range(self._require(key), start, num_bytes)

    def describe(self, key: str) -> str:
        """Address of a file."""
        return self._container.describe(key) if key else self.uri

    def _require(self, key: str) -> str:
        if key not in self._contents:
            raise ObjectMissing(f"The list {self.uri} does not name {key}.", "Check the key.")
        return key

    def _look(self) -> dict[str, None]:
        return dict.fromkeys(self._checked(line, number) for number, line in read_lines(self._container, self._key))

    def _checked(self, line: str, number: int) -> str:
        if "://" in line:
            raise no_key(line, number, self.uri)
        return key_in_line(line, number, self.uri)

    def _refuse(self) -> NoReturn:
        raise StorageError(f"The list {self.uri} is read-only.", "Give a folder to write to.")


def read_lines(container: Store, key: str) -> list[tuple[int, str]]:
    """The lines of a list that are not empty, with their numbers from 1.

    Raises:
        ObjectMissing: There is no such list.
        StorageError: It is no text, or too long.
    """
    data = container.read_range(key, 0, _MAX_LIST_BYTES + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or len(data) > _MAX_LIST_BYTES:
        raise StorageError(
            f"{container.describe(key)} is no list of files.", "Give a text file in UTF-8 with a key a line."
        )
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [(number, line) for number, line in lines if line]


def key_in_line(line: str, number: int, address: str) -> str:
    """A line as a key below the folder of the list.

    Raises:
        StorageError: It is none; names line and list.
    """
    try:
        return clean_key(line)
    except StorageError:
        raise no_key(line, number, address) from None


def no_key(line: str, number: int, address: str) -> StorageError:
    """The error for a line that is no key."""
    return StorageError(
        f"Line {number} of the list {address} is no key: {line[:100]!a}.",
        "Write paths relative to the folder of the list, without '..'.",
    )
