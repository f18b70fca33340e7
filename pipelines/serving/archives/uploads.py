"""Archives that were sent: what they are, where they lie, and how long."""

import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.serving.archives.ids import is_archive_id, made_at_s
from pipelines.serving.archives.records import UPLOADS, ArchiveRecord, id_of_key
from pipelines.serving.problems import Problem
from pipelines.storage import Store

_ABANDONED_S = 3600.0  # after so long nobody will make an archive of what was sent
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257


def archive_ending(path: Path) -> str:
    """What a file is called that was sent: by its content, whatever its name was.

    Raises:
        Problem: It is no archive that is read.
    """
    with path.open("rb") as stream:
        head = stream.read(_TAR_MARK_AT + len(_TAR_MARK))
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ".zip"
    if head.startswith(b"\x1f\x8b"):
        return ".tar.gz"
    if head[_TAR_MARK_AT:] == _TAR_MARK:
        return ".tar"
    raise Problem(
        "unsupported-media-type",
        "What was sent as `archive` is neither a zip nor a tar file.",
        "Pack the images as zip, tar or tar.gz.",
    )


def upload_key(archive_id: str, ending: str) -> str:
    """Where an archive's upload lies."""
    return f"{UPLOADS}/{archive_id}{ending}"


def sweep_uploads(root: Store, records: Sequence[ArchiveRecord], keep_s: float) -> int:
    """Delete uploads that nobody needs any more: of archives that have ended, or that never came to be.

    Args:
        root: The service's own place.
        records: All archives.
        keep_s: How long to keep them after that.

    Returns:
        How many were deleted.

    Raises:
        StorageError: The store fails.
    """
    by_id = {record.id: record for record in records}
    doomed = [
        entry.key
        for entry in root.list(UPLOADS)
        if is_archive_id(id_of_key(entry.key)) and _is_over(by_id.get(id_of_key(entry.key)), entry.key, keep_s)
    ]
    for key in doomed:
        root.delete(key)
    return len(doomed)


def _is_over(record: ArchiveRecord | None, key: str, keep_s: float) -> bool:
    if record is None:
        return time.time() - made_at_s(id_of_key(key)) > _ABANDONED_S
    ended_ago_s = record.standing.ended_ago_s
    return ended_ago_s is not None and ended_ago_s >= keep_s
