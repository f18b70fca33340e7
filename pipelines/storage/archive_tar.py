"""Tar archives: one pass over their headers."""

import tarfile
from collections.abc import Iterator
from typing import Protocol

from pipelines.storage.archive_members import Inspector, Member, tar_member

_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENSION_BYTES = 2**20  # of a header that only carries a long name and the like
_SLICE_BYTES = 2**20
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_KINDS = {
    tarfile.SYMTYPE: "is a symbolic link",
    tarfile.LNKTYPE: "is a hard link",
    tarfile.CHRTYPE: "is a device",
    tarfile.BLKTYPE: "is a device",
    tarfile.FIFOTYPE: "is a pipe",
    tarfile.GNUTYPE_SPARSE: "is a sparse file",
}


class TarStream(Protocol):
    """Reads forward only."""

    def read(self, num_bytes: int) -> bytes:
        """The next bytes, fewer at the end."""

    def skip(self, num_bytes: int) -> None:
        """Go on without them."""

    def num_packed(self) -> int:
        """Bytes of the archive's file gone through so far."""


def index_tar(stream: TarStream, version: str, inspector: Inspector) -> dict[str, Member]:
    """Find the members of a tar archive.

    Args:
        stream: At the beginning.
        version: Of the whole archive: tar has no checksums of its members.
        inspector: Says what is refused.

    Raises:
        StorageError: It is no tar archive, cut off, or holds what is not safe; names the member.
    """
    return inspector.collect(_members(stream, version, inspector))


def _members(stream: TarStream, version: str, inspector: Inspector) -> Iterator[Member]:
    position = 0
    extended: dict[str, str] = {}
    while (header := _read(stream, _BLOCK, inspector)).strip(b"\0"):
        position += _BLOCK
        info = _parsed(header, inspector)
        num_blocks = -(-info.size // _BLOCK)
        if info.type in _EXTENSIONS:
            extended |= _extension(info, stream, inspector)
            position += num_blocks * _BLOCK
            continue
        name, size = extended.pop("path", info.name), _size(extended.pop("size", None), info.size, inspector)
        key = inspector.key(_readable(name))
        _check_kind(info, extended, name, inspector)
        extended = {}
        if key is not None and info.type != tarfile.DIRTYPE:
            inspector.check(key, size, size)
            yield tar_member(key, size, position, version)
        padded = -(-size // _BLOCK) * _BLOCK if info.type in _FILES else 0
        _skip(stream, padded, key or name, inspector)
        position += padded
    stream.skip(_SLICE_BYTES)  # the rest is padding, behind which a compressed archive has its checksum


def _read(stream: TarStream, num_bytes: int, inspector: Inspector) -> bytes:
    data = stream.read(num_bytes)
    if len(data) < num_bytes:
        raise inspector.damaged("it is cut off")
    return data


def _parsed(header: bytes, inspector: Inspector) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        raise inspector.damaged("it holds something other than a tar header where one belongs") from None
    if info.size < 0:
        raise inspector.damaged("a member has a negative size")
    return info


def _extension(info: tarfile.TarInfo, stream: TarStream, inspector: Inspector) -> dict[str, str]:
    """What a header says of the member that follows it: its name, size, or that it is sparse."""
    if info.size > _MAX_EXTENSION_BYTES:
        raise inspector.refusal(info.name, f"is a header of {info.size:,} bytes")
    data = _read(stream, -(-info.size // _BLOCK) * _BLOCK, inspector)[: info.size]
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    if info.type in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE):  # of links, which are refused, and comments
        return {}
    return dict(_records(data, inspector))


def _records(data: bytes, inspector: Inspector) -> Iterator[tuple[str, str]]:
    """Length, space, `key=value`, line end; the length counts all of it."""
    while data:
        digits, _, _ = data[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        name, equals, value = data[len(digits) + 1 : max(length - 1, 0)].partition(b"=")
        if not equals or length > len(data):
            raise inspector.damaged("an extended header makes no sense")
        yield name.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")
        data = data[length:]


def _size(extended: str | None, plain: int, inspector: Inspector) -> int:
    if extended is None:
        return plain
    if not (extended.isascii() and extended.isdigit() and len(extended) < 20):
        raise inspector.damaged("an extended header gives a size that is no number")
    return int(extended)


def _check_kind(info: tarfile.TarInfo, extended: dict[str, str], name: str, inspector: Inspector) -> None:
    if info.type not in (*_FILES, tarfile.DIRTYPE):
        kind = _KINDS.get(info.type, f"is of the unknown kind {info.type!r}")
        raise inspector.refusal(
            _readable(name), f"{kind}, not a file", "Pack the files themselves (tar -h --hard-dereference)."
        )
    if any(key.startswith("GNU.sparse") for key in extended):
        raise inspector.refusal(_readable(name), "is a sparse file", "Pack it without --sparse.")


def _skip(stream: TarStream, num_bytes: int, key: str, inspector: Inspector) -> None:
    """In slices, so that a bomb is noticed soon after it begins to unpack."""
    before = stream.num_packed()
    for done in range(0, num_bytes, _SLICE_BYTES):
        stream.skip(min(_SLICE_BYTES, num_bytes - done))
        packed = stream.num_packed() - before
        inspector.check(key, min(done + _SLICE_BYTES, num_bytes), max(packed, 1))


def _readable(name: str) -> str:
    """A name whose bytes are no UTF-8 as what they are in most of Europe: text can then be stored anywhere."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name
