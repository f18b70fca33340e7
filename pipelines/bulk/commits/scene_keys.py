"""Names of scenes as single parts of object keys and file names, whatever they hold and however long they are."""

import hashlib
from urllib.parse import quote

_LONGEST = 160  # bytes; with what is added, and what stores write aside, below the 255 of file systems
_KEPT = 96  # of a name that is longer


def scene_part(name: str) -> str:
    """One part of a key, without slashes: equal for equal names only.

    Args:
        name: Of a scene, e.g. `2021/T32TQS`, which becomes `2021%2FT32TQS`. Plain names stay as they are.
    """
    quoted = quote(name, safe="", errors="surrogateescape")
    if quoted.startswith("."):
        quoted = f"%2E{quoted[1:]}"  # neither hidden, nor a folder's own name
    if len(quoted) <= _LONGEST:
        return quoted
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    return f"{quoted[:_KEPT]}+{digest[:40]}"  # a plus sign is never left as it is
