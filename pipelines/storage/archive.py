"""Zip and tar archives as stores: members are read in place, nothing is unpacked to disk.

A zip is read by its table, each member by one range. A tar has no table: its headers are gone through once a machine,
fetching everything between them where members are small, and each member then is one range. A `.tar.gz` is unpacked
once a process without being kept, and a member then costs unpacking about 2 MB before it. Where many processes read,
ingest such an archive or pack it anew as zip.
"""

import re
import threading
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from pipelines.storage.archive_gzip import GzipContent
from pipelines.storage.archive_members import ArchiveLimits, Inspector, Member, damaged
from pipelines.storage.archive_tar import index_tar
from pipelines.storage.archive_zip import index_zip, unpack
from pipelines.storage.kept_index import kept_index
from pipelines.storage.ranged_file import RangedFile
from pipelines.storage.read_only import ReadOnlyStore
from pipelines.storage.store import Entry, ObjectMissing, Store, clean_key
from rssr.errors import StorageError

_ENDINGS = r"\.(?:zip|tar|tar\.gz|tgz)"
_ARCHIVE = re.compile(rf"(?P<archive>.+?{_ENDINGS})(?:!/?(?P<inner>.*))?", re.IGNORECASE | re.DOTALL)
_TABLE_WINDOW = 64 * 2**10  # holds the whole table of a small zip
_REMOTE_WINDOW = 2**20  # a request costs about as much time
_LOCAL_WINDOW = 4 * 2**10
_STREAM_WINDOW = 8 * 2**20
_NUM_INDEXES = 8  # archives remembered by a process

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
"""How archives' names end."""


def split_archive_uri(uri: str) -> tuple[str, str] | None:
    """An archive's URI and the folder in it (`AID.zip!/Airport`); None where the URI names no archive."""
    found = _ARCHIVE.fullmatch(uri)
    return (found["archive"], (found["inner"] or "").strip("/")) if found else None


@dataclass(frozen=True)
class _Opened:
    """An archive's members by key, and its content where it is compressed as a whole."""

    members: dict[str, Member]
    content: GzipContent | None = None


class ArchiveStore(ReadOnlyStore[_Opened]):
    """The files of an archive; read-only.

    Args:
        container: Where the archive lies.
        key: The archive.
        prefix: Folder within it, see `child`.
        limits: Beyond which it is refused.
    """

    def __init__(self, container: Store, key: str, prefix: str = "", limits: ArchiveLimits | None = None) -> None:
        super().__init__()
        self._container = container
        self._key = key
        self._prefix = f"{clean_key(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._limits = limits or ArchiveLimits()

    @property
    def uri(self) -> str:
        """The archive's address, and the folder within it."""
        return self._archive + (f"!/{self._prefix.rstrip('/')}" if self._prefix else "")

    @property
    def has_ranges(self) -> bool:
        """Only a plain tar's members lie there as they are."""
        return self._key.lower().endswith(".tar")

    def child(self, key: str) -> "ArchiveStore":
        """The files below a folder of the archive."""
        return ArchiveStore(self._container, self._key, f"{self._prefix}{clean_key(key)}", self._limits)

    def list(self, prefix: str = "") -> list[Entry]:
        """Members below a folder; their versions follow content in a zip, place and archive in a tar."""
        below = self._prefix + (f"{clean_key(prefix.strip('/'))}/" if prefix.strip("/") else "")
        start = len(self._prefix)
        found = [member for key, member in self._contents.members.items() if key.startswith(below)]
        return [Entry(member.key[start:], member.num_bytes, member.version) for member in found]

    def stat(self, key: str) -> Entry:
        """Size and version of one member."""
        member = self._member(key)
        return Entry(key, member.num_bytes, member.version)

    def exists(self, key: str) -> bool:
        """Whether there is such a member."""
        return self._prefix + clean_key(key) in self._contents.members

    def has_folder(self) -> bool:
        """Whether the archive is there."""
        return self._container.exists(self._key)

    def read_bytes(self, key: str) -> bytes:
        """One member.

        Raises:
            ObjectMissing: There is none of this key.
            ObjectDamaged: It is not what a zip's table says.
        """
        member = self._member(key)
        if self._is_zip:
            return unpack(member, self._read, self.describe(key))
        return self._read_tar(member, key, 0, member.num_bytes)

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """A part of one member; packed ones are unpacked for it."""
        member = self._member(key)
        if self._is_zip:
            return unpack(member, self._read, self.describe(key))[start : start + num_bytes]
        first = min(start, member.num_bytes)
        return self._read_tar(member, key, first, max(min(num_bytes, member.num_bytes - first), 0))

    def describe(self, key: str) -> str:
        """Archive and member."""
        return f"{self._archive}!/{self._prefix}{key}" if key else self.uri

    @property
    def _archive(self) -> str:
        return self._container.describe(self._key)

    @property
    def _is_zip(self) -> bool:
        return self._key.lower().endswith(".zip")

    def _member(self, key: str) -> Member:
        member = self._contents.members.get(self._prefix + clean_key(key))
        if member is None:
            raise ObjectMissing(f"There is no file {self.describe(key)}.", "Check the key.")
        return member

    def _read(self, start: int, num_bytes: int) -> bytes:
        return self._container.read_range(self._key, start, num_bytes)

    def _read_tar(self, member: Member, key: str, start: int, num_bytes: int) -> bytes:
        content = self._contents.content
        read = self._read if content is None else content.read
        data = read(member.offset + start, num_bytes) if num_bytes else b""
        if len(data) < num_bytes:
            raise damaged(self._archive, f"it ends within '{key}'")
        return data

    def _look(self) -> _Opened:
        return _INDEXES.get(self._container, self._key, self._limits)

    def _refuse(self) -> NoReturn:
        raise StorageError(f"The archive {self._archive} is read-only.", "Give a folder to write to.")


class _Indexes:
    """What this process knows of archives; one that has changed is looked at again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: defaultdict[tuple[Any, ...], threading.Lock] = defaultdict(threading.Lock)
        self._known: OrderedDict[tuple[Any, ...], _Opened] = OrderedDict()

    def get(self, container: Store, key: str, limits: ArchiveLimits) -> _Opened:
        entry = container.stat(key)
        identity = (container.describe(key), entry.version, limits)
        with self._lock:
            lock = self._locks[identity]
        with lock:
            if identity not in self._known:
                opened = _look(container, entry, limits)
                with self._lock:
                    self._known[identity] = opened
                    while len(self._known) > _NUM_INDEXES:
                        self._known.popitem(last=False)
            return self._known[identity]


_INDEXES = _Indexes()


def _look(container: Store, entry: Entry, limits: ArchiveLimits) -> _Opened:
    archive, name = container.describe(entry.key), entry.key.lower()
    inspector = Inspector(archive, limits)
    if name.endswith(".zip"):
        return _Opened(index_zip(RangedFile(container, entry.key, entry.num_bytes, _TABLE_WINDOW), inspector))
    if name.endswith(".tar"):
        is_local = Path(container.uri).is_absolute()
        window = _LOCAL_WINDOW if is_local else _REMOTE_WINDOW
        stream = _PlainStream(container, entry.key, entry.num_bytes, window)
        if is_local:
            return _Opened(index_tar(stream, entry.version, inspector))
        find = partial(index_tar, stream, entry.version, inspector)
        return _Opened(kept_index(archive, entry, limits, find))
    if entry.num_bytes > limits.max_gzip_bytes:
        raise StorageError(
            f"The archive {archive} has {entry.num_bytes:,} bytes; a compressed tar above {limits.max_gzip_bytes:,} is "
            "refused, since every process would have to unpack all of it.",
            "Unpack it (gunzip, which leaves a .tar), or pack it anew as zip.",
        )
    content = GzipContent(
        lambda start, num_bytes: container.read_range(entry.key, start, num_bytes), entry.num_bytes, archive
    )
    return _Opened(index_tar(content.forward(_STREAM_WINDOW), entry.version, inspector), content)


class _PlainStream(RangedFile):
    """An uncompressed tar, gone through forward."""

    def skip(self, num_bytes: int) -> None:
        """Nothing is fetched."""
        self.seek(self.tell() + num_bytes)

    def num_packed(self) -> int:
        """As much as has been gone through."""
        return self.tell()
