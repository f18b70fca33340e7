"""An uploaded archive is looked through before it is used: what it holds, how much of it, and under which names."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig
from pipelines.storage.archive import ARCHIVE_SUFFIXES
from pipelines.storage.archive_gzip import GzipContent
from pipelines.storage.archive_members import ArchiveLimits, Inspector, Member
from pipelines.storage.archive_tar import index_tar
from pipelines.storage.archive_zip import index_zip
from pipelines.storage.local import LocalStore
from pipelines.storage.ranged_file import RangedFile
from rssr.errors import StorageError

_TABLE_BYTES = 1024  # of a zip's table, an entry at most: its name is the longest part
_WINDOW_BYTES = 2**20
_LONGEST_NAME = 1024  # bytes; object stores take no longer keys
_NAME = "that was sent"


@dataclass(frozen=True)
class ArchiveFacts:
    """What an archive holds.

    Attributes:
        num_entries: Files.
        num_bytes: Of all of them, unpacked.
    """

    num_entries: int
    num_bytes: int


def check_archive(path: Path, ending: str, limits: LimitsConfig) -> ArchiveFacts:
    """Look an archive through, and refuse what should not be unpacked.

    Nothing is unpacked but a compressed tar, piece by piece and only as far as the limits allow.

    Args:
        path: The file, whatever it is called.
        ending: What it is: `.zip`, `.tar` or `.tar.gz`.
        limits: Beyond which it is refused.

    Raises:
        Problem: It is damaged or encrypted, too large, or holds links, names that climb, or further archives.
    """
    inspector = Inspector(_NAME, _limits(limits))
    try:
        members = _members(path, ending, inspector, limits)
    except StorageError as error:
        raise Problem("invalid-request", error.problem, error.remedy) from None
    if not members:
        raise Problem("invalid-request", "The archive that was sent holds no files.", "Pack images.")
    for key in members:
        _check_name(key)
    return ArchiveFacts(len(members), sum(member.num_bytes for member in members.values()))


def _limits(limits: LimitsConfig) -> ArchiveLimits:
    return ArchiveLimits(
        max_member_bytes=limits.max_entry_bytes,
        max_ratio=limits.max_expansion,
        max_total_bytes=limits.max_expanded_bytes,
        max_members=limits.max_entries,
        max_gzip_bytes=limits.max_upload_bytes,
    )


def _members(path: Path, ending: str, inspector: Inspector, limits: LimitsConfig) -> dict[str, Member]:
    store, num_bytes = LocalStore(path.parent), path.stat().st_size
    if ending == ".zip":
        return index_zip(_Table(store, path.name, num_bytes, limits.max_entries * _TABLE_BYTES), inspector)
    if ending == ".tar":
        return index_tar(_Plain(store, path.name, num_bytes, _WINDOW_BYTES), "", inspector)
    content = GzipContent(lambda start, size: store.read_range(path.name, start, size), num_bytes, inspector.archive)
    return index_tar(_Bounded(content, inspector, limits.max_expanded_bytes), "", inspector)


def _check_name(key: str) -> None:
    shown = key[:80] if key[:80].isprintable() else ascii(key[:80])
    if len(key.encode()) > _LONGEST_NAME:
        raise Problem("invalid-request", f"The archive holds a name that is too long: {shown}...", "Shorten it.")
    if key.lower().endswith(ARCHIVE_SUFFIXES):
        raise Problem(
            "invalid-request",
            f"The archive holds another one, '{shown}', which would not be opened.",
            "Pack the images themselves, or send several archives.",
        )


class _Table(RangedFile):
    """A zip of which no more is read at once than the table of so many entries.

    Args:
        store: Where it lies.
        key: The file.
        num_bytes: Its size.
        most_bytes: Longest table.
    """

    def __init__(self, store: LocalStore, key: str, num_bytes: int, most_bytes: int) -> None:
        super().__init__(store, key, num_bytes, _WINDOW_BYTES // 16)
        self._most_bytes = most_bytes

    def read(self, size: int | None = -1) -> bytes:
        """See `RangedFile.read`."""
        if size is not None and size > self._most_bytes:
            raise OSError("its table is longer than that of so many files as are taken")
        return super().read(size)


class _Plain(RangedFile):
    """A tar, gone through forward."""

    def skip(self, num_bytes: int) -> None:
        """Nothing is read."""
        self.seek(self.tell() + num_bytes)

    def num_packed(self) -> int:
        """As much as has been gone through."""
        return self.tell()


class _Bounded:
    """What a compressed tar unpacks to, up to a limit: headers count as well, and what lies between members.

    Args:
        content: The archive.
        inspector: Says what is refused.
        most_bytes: Limit.
    """

    def __init__(self, content: GzipContent, inspector: Inspector, most_bytes: int) -> None:
        self._stream = content.forward(_WINDOW_BYTES)
        self._inspector = inspector
        self._most_bytes = most_bytes
        self._num_bytes = 0

    def read(self, num_bytes: int) -> bytes:
        """See `TarStream`."""
        self._count(num_bytes)
        return self._stream.read(num_bytes)

    def skip(self, num_bytes: int) -> None:
        """See `TarStream`."""
        self._count(num_bytes)
        self._stream.skip(num_bytes)

    def num_packed(self) -> int:
        """See `TarStream`."""
        return self._stream.num_packed()

    def _count(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        if self._num_bytes > self._most_bytes + _WINDOW_BYTES:
            raise self._inspector.damaged(f"it unpacks to more than {self._most_bytes:,} bytes")
