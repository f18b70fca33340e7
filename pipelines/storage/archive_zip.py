"""Zip archives: the table at their end, and members unpacked one by one."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

from pipelines.storage.archive_members import Inspector, Member
from pipelines.storage.store import ObjectDamaged

_ENCRYPTED = 0x1 | 0x40 | 0x2000  # by password, strongly, or the table itself
_UTF8 = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADER = struct.Struct("<4s22xHH")  # signature, 22 bytes that the table repeats, lengths of name and extra field
_SLACK_BYTES = 512  # extra fields of a member's own header may be longer than those of the table
_UNIX, _FILE_TYPE, _REGULAR, _FOLDER = 3, 0o170000, 0o100000, 0o040000

ReadRange = Callable[[int, int], bytes]
"""Called with a position and a number of bytes."""


def index_zip(stream: io.RawIOBase, inspector: Inspector) -> dict[str, Member]:
    """Read the table of a zip archive; nothing is unpacked.

    Raises:
        StorageError: It is no zip archive, cut off, or holds what is not safe; names the member.
    """
    try:
        with zipfile.ZipFile(stream) as table:
            entries = table.infolist()
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        EOFError,
        struct.error,
        RuntimeError,
        OSError,
    ) as error:
        raise inspector.damaged(f"it is no whole zip archive ({error})") from None
    _check_overlaps(entries, inspector)
    return inspector.collect(_members(entries, inspector))


def unpack(member: Member, read: ReadRange, address: str) -> bytes:
    """One member's content, checked against size and checksum; never more than it declares is unpacked.

    Args:
        member: From the table.
        read: Reads the archive.
        address: Names the member in errors.

    Raises:
        ObjectDamaged: It is not what the table says.
    """
    block = read(member.offset, _HEADER.size + len(member.key.encode()) + _SLACK_BYTES + member.num_packed)
    if len(block) < _HEADER.size or not block.startswith(b"PK\x03\x04"):
        raise _not_as_said(address, "has no header")
    _, name_bytes, extra_bytes = _HEADER.unpack_from(block)
    first = _HEADER.size + name_bytes + extra_bytes
    packed = block[first : first + member.num_packed]
    if len(packed) < member.num_packed:
        packed = read(member.offset + first, member.num_packed)
    content = packed if member.method == zipfile.ZIP_STORED else _inflated(packed, member.num_bytes, address)
    if len(content) != member.num_bytes:
        raise _not_as_said(address, "does not have the size that the archive declares")
    if zlib.crc32(content) != member.checksum:
        raise _not_as_said(address, "does not have the checksum that the archive declares")
    return content


def _inflated(packed: bytes, num_bytes: int, address: str) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, num_bytes + 1)
    except zlib.error:
        raise _not_as_said(address, "cannot be unpacked") from None


def _not_as_said(address: str, why: str) -> ObjectDamaged:
    return ObjectDamaged(f"{address} {why}.", "Fetch the archive again.")


def _members(entries: list[zipfile.ZipInfo], inspector: Inspector) -> Iterator[Member]:
    for entry in entries:
        name = _name(entry)
        key = inspector.key(name)
        if key is None or name.endswith(("/", "\\")):
            continue
        _check_kind(entry, name, inspector)
        inspector.check(key, entry.file_size, entry.compress_size)
        version = f"{entry.CRC:08x}-{entry.file_size}"
        packed = (entry.header_offset, entry.compress_size, entry.compress_type, entry.CRC)
        yield Member(key, entry.file_size, version, *packed)


def _name(entry: zipfile.ZipInfo) -> str:
    """The name; some archivers write UTF-8 without saying so, which as code page 437 hardly ever makes sense."""
    if entry.flag_bits & _UTF8:
        return entry.orig_filename
    try:
        return entry.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.orig_filename


def _check_kind(entry: zipfile.ZipInfo, name: str, inspector: Inspector) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise inspector.refusal(name, "is encrypted", "Unpack it with its password, and give the folder.")
    kind = (entry.external_attr >> 16) & _FILE_TYPE if entry.create_system == _UNIX else 0
    if kind not in (0, _REGULAR, _FOLDER):
        raise inspector.refusal(name, "is a link or device, not a file", "Pack the files themselves.")
    if entry.compress_type not in _METHODS:
        method = zipfile.compressor_names.get(entry.compress_type, str(entry.compress_type))  # type: ignore[attr-defined]
        raise inspector.refusal(name, f"is packed with {method}", "Pack it anew, plainly or with deflate.")


def _check_overlaps(entries: list[zipfile.ZipInfo], inspector: Inspector) -> None:
    """Members that share bytes are how a small archive declares endlessly many."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    for entry, following in pairwise(ordered):
        if entry.header_offset + _HEADER.size + entry.compress_size > following.header_offset:
            raise inspector.refusal(_name(entry), "overlaps with another, like a bomb")
