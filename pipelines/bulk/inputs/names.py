"""Names of scenes: safe as object keys and file names, and such that no two products share a file.

A name is the scene's key below its input without the ending. Characters that trouble stores, file systems or URIs are
percent-encoded. Scenes whose products would share files all get their ending and a digest of their address appended:
that depends on nothing but the scene itself, so that no order of listing matters. A scene that was planned before keeps
its name whatever was added since.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from pipelines.bulk.inputs.found import FoundScene
from pipelines.bulk.records import MARKED_FOLDER, RUN_KEY, WORK_FOLDER

LAYERS = ("", "_uncertainty", "_consistency")
"""What follows a scene's name in those of its GeoTIFFs."""

_OWN_FOLDERS = (MARKED_FOLDER, RUN_KEY.partition("/")[0], WORK_FOLDER)
_UNSAFE = frozenset('%\\?#*"<>|:{}')
_PRODUCT_ENDING = re.compile(r"\.(?=(?:tif|png|json)$)", re.IGNORECASE)
_LONGEST_PART = 180  # bytes; file systems take 255, of which endings, layers and names of unfinished files need some
_KEPT_OF_LONG = 140
_HALF_CODE = re.compile(r"%[0-9A-F]?$")
_DIGEST_LENGTH = 16


def name_scenes(found: Sequence[FoundScene], known: Mapping[str, str]) -> list[str]:
    """A name for each scene, in order.

    Args:
        found: Distinct scenes.
        known: Names by identity of scenes that were named before.
    """
    taken = {stem for name in known.values() for stem in _stems(name)}
    plain = [None if scene.identity in known else safe_name(scene.base) for scene in found]
    claims = Counter(stem for name in plain if name is not None for stem in _stems(name))

    def is_free(name: str) -> bool:
        return all(claims[stem] == 1 and stem not in taken for stem in _stems(name))

    return [
        known[scene.identity] if name is None else name if is_free(name) else _told_apart(name, scene)
        for scene, name in zip(found, plain, strict=True)
    ]


def safe_name(base: str) -> str:
    """A key as a name: relative, with the same folders, nothing hidden, and injective up to very long parts."""
    *folders, leaf = base.split("/")
    parts = [_PRODUCT_ENDING.sub("%2E", _safe_part(folder)) for folder in folders]
    name = "/".join(_shortened(part) for part in (*parts, _safe_part(leaf)))
    return f"%5F{name[1:]}" if name.split("/")[0] in _OWN_FOLDERS else name


def _safe_part(part: str) -> str:
    safe = "".join(_encoded(sign) if sign in _UNSAFE or not sign.isprintable() else sign for sign in part)
    if safe.startswith((".", " ")):
        safe = _encoded(safe[0]) + safe[1:]
    if safe.endswith((".", " ")):
        safe = safe[:-1] + _encoded(safe[-1])
    return safe or "%2F"  # nothing between two slashes


def _encoded(sign: str) -> str:
    return "%2E" if sign == "." else quote(sign, safe="")


def _shortened(part: str) -> str:
    data = part.encode()
    if len(data) <= _LONGEST_PART:
        return part
    kept = _HALF_CODE.sub("", data[:_KEPT_OF_LONG].decode(errors="ignore"))
    return f"{kept}_{_digest(part)}"


def _told_apart(name: str, scene: FoundScene) -> str:
    ending = f"_{_safe_part(scene.ending)}" if scene.ending else ""
    return f"{name}{ending}_{_digest(scene.identity)}"


def _stems(name: str) -> Iterator[str]:
    """What products of a name are called, whatever a file system thinks of capitals."""
    return (f"{name}{layer}".casefold() for layer in LAYERS)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
