"""Where the members of a remote tar begin, kept on this machine.

To find out, all of the tar has to be fetched. The process that plans a run leaves the index behind; data workers beside
it, and later runs, take it from here.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress

from pipelines.storage.archive_members import ArchiveLimits, Member, tar_member
from pipelines.storage.cache import cache_folder
from pipelines.storage.store import Entry
from rssr.errors import StorageError
from rssr.publish import write_aside

_RULES_VERSION = 1  # raise it when other members would be found

Members = dict[str, Member]


def kept_index(archive: str, entry: Entry, limits: ArchiveLimits, find: Callable[[], Members]) -> Members:
    """Members of an uncompressed tar, from an earlier look at the same state of it where there was one.

    Args:
        archive: Its address.
        entry: Its size and version.
        limits: Beyond which it is refused; another look is needed where they differ.
        find: Looks.
    """
    if entry.version == str(entry.num_bytes):  # a server that tells no change but of size
        return find()
    name = hashlib.sha256(repr((_RULES_VERSION, archive, entry, limits)).encode()).hexdigest()
    path = cache_folder("archives") / f"{name[:32]}.json"
    with suppress(OSError, ValueError, TypeError):
        return _members(json.loads(path.read_bytes()), entry.version)
    members = find()
    with suppress(StorageError), write_aside(path) as aside:  # a cache that cannot be written is none
        aside.write_text(json.dumps([[member.key, member.num_bytes, member.offset] for member in members.values()]))
    return members


def _members(rows: Iterable[tuple[str, int, int]], version: str) -> Members:
    return {key: tar_member(key, num_bytes, offset, version) for key, num_bytes, offset in rows}
