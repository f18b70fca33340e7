"""What every store can do, whatever lies behind it."""

import hashlib
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from pipelines.storage.file_errors import explained
from rssr.errors import StorageError

Data = bytes | bytearray | memoryview

PART_SUFFIX = ".rssr-part"  # files being written; never listed
_PROBE_PREFIX = ".rssr-probe-"
_NUM_TRANSFERS = 8
_RANGE_BYTES = 16 * 2**20  # what is held at once of an object that is read in ranges


class ObjectMissing(StorageError):
    """The store answers, but holds no object of this key."""


class ObjectDamaged(StorageError):
    """The store answers, but this object's content is not what it should be; others may be sound."""


class StoreUnavailable(StorageError):
    """The store as a whole cannot be used at present, whatever the object: no connection, no credentials, overload."""


@dataclass(frozen=True, order=True)
class Entry:
    """One object of a listing.

    Args:
        key: Relative to the store, with forward slashes.
        num_bytes: Size.
        version: Changes when the content may have changed: an ETag, or time of change and size.
    """

    key: str
    num_bytes: int
    version: str


class Store(ABC):
    """A folder of objects, addressed by relative keys. Safe to share between threads and to pickle.

    Every method raises `StorageError` that names the URI and says what to do: unreachable, missing bucket,
    no permission. A prefix is a folder: `list("a")` finds `a/b` but not `ab`.
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """Where the store lies; a plain path for local folders. Free of credentials."""

    @abstractmethod
    def child(self, key: str) -> "Store":
        """The store below a key."""

    @property
    def has_ranges(self) -> bool:
        """Whether `read_range` costs what it reads; else who needs several parts had better read the whole object."""
        return True

    def expect_answers(self) -> None:
        """Wait for the store where it cannot be reached, as for one that has answered: another process reached it."""
        return

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """The object's content.

        Raises:
            ObjectMissing: There is no such object.
        """

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """A part of the object, without reading the rest where the store can do that.

        Args:
            key: The object.
            start: First byte, from 0.
            num_bytes: How many; fewer come back where the object ends before.

        Raises:
            ObjectMissing: There is no such object.
        """
        return self.read_bytes(key)[start : start + num_bytes]

    @abstractmethod
    def write_bytes(self, key: str, data: bytes) -> None:
        """Create or replace an object; readers see the old or the new content, never a part."""

    def write_stream(self, key: str, chunks: Iterable[Data]) -> None:
        """Create or replace an object of any size, without holding it in memory.

        Readers see the old or the new content, never a part. Other stores than folders take the chunks through a file
        in the folder for temporary files (`TMPDIR`).

        Args:
            key: The object.
            chunks: Its content, in order.
        """
        with tempfile.TemporaryDirectory(prefix="rssr-") as folder:
            spooled = Path(folder) / "content"
            with explained(spooled), spooled.open("wb") as stream:
                stream.writelines(chunks)
            self.upload_file(spooled, key)

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create an object unless it exists.

        Where `enforces_conditional_put()` is true, exactly one of many concurrent writers is told True.
        Elsewhere this looks first and then writes: two writers at the same moment may both be told True.
        After a lost answer, an object that already holds exactly `data` counts as this call's own; give
        competing writers distinct data.
        """

    @abstractmethod
    def enforces_conditional_put(self) -> bool:
        """Whether the store itself refuses to overwrite in `put_if_absent`; probed once per process."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether there is an object of this key (folders are none)."""

    def stat(self, key: str) -> Entry:
        """Size and version of one object.

        Raises:
            ObjectMissing: There is no such object.
        """
        folder = key.rpartition("/")[0]
        for entry in self.list(folder):
            if entry.key == key:
                return entry
        raise ObjectMissing(f"There is no object {self.describe(key)}.", "Check the URI.")

    @abstractmethod
    def list(self, prefix: str = "") -> list[Entry]:
        """All objects below a prefix, at any depth, sorted by key; empty where there are none."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; one that does not exist is no error."""

    @abstractmethod
    def upload_file(self, source: Path, key: str) -> None:
        """Copy a local file in, without holding it in memory."""

    @abstractmethod
    def upload_file_if_absent(self, source: Path, key: str, *, takes_source: bool = False) -> bool:
        """Copy a local file in unless the object exists; nobody ever sees a part of it.

        Where `enforces_conditional_upload()` is true, exactly one of many concurrent writers is told True. Elsewhere
        this looks just before the object appears: hold a lease. After a lost answer, an object of the same size and
        content counts as this call's own.

        Args:
            source: The file.
            key: The object.
            takes_source: Whether the file may become the object where that saves a copy: it must not be changed any
                more, under whatever name.
        """

    def enforces_conditional_upload(self) -> bool:
        """Whether the store itself refuses to overwrite in `upload_file_if_absent`, whatever the size."""
        return self.enforces_conditional_put()

    def sha256(self, key: str) -> str:
        """Digest of an object's content, hexadecimal; memory holds a range of it.

        Raises:
            ObjectMissing: There is no such object.
            ObjectDamaged: It ends before its size.
        """
        size, digest = self.stat(key).num_bytes, hashlib.sha256()
        for start in range(0, size, _RANGE_BYTES):
            wanted = min(_RANGE_BYTES, size - start)
            part = self.read_range(key, start, wanted)
            if len(part) != wanted:
                raise ObjectDamaged(f"{self.describe(key)} ends before its {size:,} bytes.", "Was it written just now?")
            digest.update(part)
        return digest.hexdigest()

    def delete_unfinished(self) -> int:
        """Remove what killed writers left below this store and nobody sees; returns how much there was.

        Only for who knows that nobody writes there now.
        """
        return 0

    @abstractmethod
    def download_file(self, key: str, target: Path) -> None:
        """Copy an object to a local file, without holding it in memory."""

    def has_folder(self) -> bool:
        """Whether the store's own folder is there; object stores know folders by their content only."""
        return bool(self.list())

    def delete_prefix(self, prefix: str) -> int:
        """Remove everything below a prefix; returns the number of objects."""
        if not prefix.strip("/"):
            raise ValueError("delete_prefix needs a prefix; it does not empty whole stores")
        entries = self.list(prefix)
        with ThreadPoolExecutor(_NUM_TRANSFERS) as pool:
            for _ in pool.map(lambda entry: self.delete(entry.key), entries):
                pass
        return len(entries)

    def upload_folder(self, source: Path, key: str) -> None:
        """Copy a local folder below a key.

        Not one transaction: where readers may look meanwhile, write a marker after it.
        """
        if not source.is_dir():
            raise StorageError(f"The folder {source} does not exist.", "Check the path.")
        files = sorted(path for path in source.rglob("*") if path.is_file() and not is_part(path.name))
        with ThreadPoolExecutor(_NUM_TRANSFERS) as pool:
            targets = (f"{key}/{path.relative_to(source).as_posix()}".lstrip("/") for path in files)
            for _ in pool.map(self.upload_file, files, targets):
                pass

    def download_folder(self, key: str, target: Path) -> None:
        """Copy everything below a key to a new local folder, which appears complete or not at all.

        Raises:
            ObjectMissing: Nothing lies below the key.
        """
        entries = self.list(key)
        if not entries:
            raise ObjectMissing(f"There is nothing below {self.describe(key)}.", "Check the URI.")
        prefix = f"{key.strip('/')}/" if key.strip("/") else ""
        with folder_written_aside(target) as aside, ThreadPoolExecutor(_NUM_TRANSFERS) as pool:
            names = [entry.key.removeprefix(prefix) for entry in entries]
            paths = [aside / clean_key(name) for name in names]
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            for _ in pool.map(self.download_file, (entry.key for entry in entries), paths):
                pass

    def describe(self, key: str) -> str:
        """The full address of a key, for messages."""
        return f"{self.uri}/{key}".rstrip("/") if key else self.uri

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r})"


@contextmanager
def folder_written_aside(target: Path) -> Iterator[Path]:
    """A fresh folder beside the target that takes its name when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PART_SUFFIX}")
    aside.mkdir()
    try:
        yield aside
        try:
            aside.rename(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be created: {error.strerror}.", "Remove what is there.") from None
    finally:
        rmtree(aside, ignore_errors=True)


def clean_key(key: str) -> str:
    """A key as a relative path that stays inside its store.

    Raises:
        StorageError: Absolute, empty or climbing out.
    """
    parts = key.split("/")
    if not key or key.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise StorageError(f"'{key}' is not a key inside a store.", "Use a relative path without '..'.")
    return key


def file_sha256(path: Path) -> str:
    """SHA-256 of a local file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_part(name: str) -> bool:
    """Whether a file name marks something unfinished or a probe."""
    return name.endswith(PART_SUFFIX) or name.startswith(_PROBE_PREFIX)


def probe_key() -> str:
    """A fresh key for probing what a store enforces."""
    return f"{_PROBE_PREFIX}{uuid.uuid4().hex}"
