"""What an archive may hold: safe names and bounded sizes, whatever it declares."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rssr.errors import StorageError

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class ArchiveLimits:
    """Beyond these an archive is refused, before more than that is unpacked.

    Args:
        max_member_bytes: One member, unpacked.
        max_ratio: Unpacked to packed size of a member of at least `ratio_from_bytes`.
        ratio_from_bytes: Smaller members may be packed any tighter.
        max_total_bytes: All members, unpacked.
        max_members: Their number.
        max_gzip_bytes: Packed size of a `.tar.gz`, every process having to unpack all of it once.
    """

    max_member_bytes: int = 2 * 2**30
    max_ratio: int = 200
    ratio_from_bytes: int = 2**20
    max_total_bytes: int = 2**40
    max_members: int = 5_000_000
    max_gzip_bytes: int = 4 * 2**30

    def is_bomb(self, num_bytes: int, num_packed: int) -> bool:
        """Whether so much comes out of so little."""
        return num_bytes > self.ratio_from_bytes and num_bytes > self.max_ratio * num_packed


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes:
        key: Safe relative path.
        num_bytes: Unpacked size, as declared and within the limits.
        version: Changes with the content.
        offset: Where it begins in the archive; in a `.tar.gz`, in the unpacked one.
        num_packed: Bytes it takes there, without its header.
        method: How a zip packs it.
        checksum: CRC-32 of the content, where the archive has one.
    """

    key: str
    num_bytes: int
    version: str
    offset: int
    num_packed: int
    method: int = 0
    checksum: int = 0


def tar_member(key: str, num_bytes: int, offset: int, version: str) -> Member:
    """A member of a tar, which packs nothing and has no checksums: its version is its place in the archive's own."""
    return Member(key, num_bytes, f"{version}-{offset}", offset, num_bytes)


def damaged(archive: str, why: str) -> StorageError:
    """The error for an archive that cannot be read."""
    return StorageError(f"The archive {archive} is damaged: {why}.", "Fetch it again.")


@dataclass(frozen=True)
class Inspector:
    """Looks at what an archive declares, whatever its format.

    Attributes:
        archive: Names it in errors.
        limits: Beyond which it is refused.
    """

    archive: str
    limits: ArchiveLimits

    def damaged(self, why: str) -> StorageError:
        """The error for an archive that cannot be read."""
        return damaged(self.archive, why)

    def refusal(self, member: str, why: str, remedy: str = "") -> StorageError:
        """The error that names archive and member."""
        shown = member if member.isprintable() else ascii(member)
        return StorageError(
            f"The archive {self.archive} is refused: its member '{shown[:_LONGEST_SHOWN]}' {why}.",
            remedy or "Make the archive anew from files that you trust.",
        )

    def key(self, name: str) -> str | None:
        """A member's name as a key; None for the archive's own folder.

        Windows' separators become slashes and `./` is dropped.

        Raises:
            StorageError: It leads out of the archive's folder, or cannot be a file's name.
        """
        path = name.replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/"):
            raise self.refusal(name, "has an absolute path")
        if parts and _DRIVE.match(parts[0]):
            raise self.refusal(name, "has a drive letter")
        if ".." in parts:
            raise self.refusal(name, "climbs out of the archive with '..'")
        if _CONTROL.search(path):
            raise self.refusal(name, "has control characters in its name")
        return "/".join(parts) or None

    def check(self, key: str, num_bytes: int, num_packed: int) -> None:
        """Look at what a member declares.

        Raises:
            StorageError: It is too large or packed too tightly.
        """
        limits = self.limits
        if num_bytes > limits.max_member_bytes:
            raise self.refusal(
                key, f"has {num_bytes:,} bytes, more than the {limits.max_member_bytes:,} that one may have"
            )
        if limits.is_bomb(num_bytes, num_packed):
            why = f"unpacks {num_packed:,} bytes to {num_bytes:,}, more than {limits.max_ratio} times that, like a bomb"
            raise self.refusal(key, why, "Where that is right, pack it without compression, or unpack it.")

    def collect(self, members: Iterable[Member]) -> dict[str, Member]:
        """Members by key, sorted.

        Raises:
            StorageError: A name comes twice, or there are too many or too large ones together.
        """
        limits = self.limits
        found: dict[str, Member] = {}
        total = 0
        for member in members:
            if member.key in found:
                raise self.refusal(member.key, "is there twice, so that nobody knows which is meant")
            found[member.key] = member
            total += member.num_bytes
            if total > limits.max_total_bytes:
                raise self.refusal(member.key, f"brings the sum above {limits.max_total_bytes:,} bytes", "Cut it up.")
            if len(found) > limits.max_members:
                raise self.refusal(member.key, f"is one more than {limits.max_members:,}", "Cut it up.")
        return dict(sorted(found.items()))
