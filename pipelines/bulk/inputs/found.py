"""A scene among the inputs, before it has a name; and how several objects have one version."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.bulk.records import InputScene, SceneKind
from pipelines.catalogue.layout import is_hidden
from pipelines.datasets.products import ANY_BAND
from pipelines.storage import Entry, Store
from pipelines.storage.archive import ARCHIVE_SUFFIXES, ArchiveStore, split_archive_uri
from pipelines.storage.listed import LIST_SUFFIX

SAFE = ".safe"
"""How SAFE folders' names end, in small letters."""

ITEM_MARK = "!/"
"""In a scene's key, between a collection of STAC items and the id of one, as between an archive and its member."""

MASK_ENDING = ".msk"
"""Of a mask in a file of its own, which GDAL reads beside an image on a disk, and nobody elsewhere."""

MASK_BESIDE = " with a mask beside it"
"""Ends the version of an image that would be read without its mask: it will be refused."""

_BANDS = re.compile(r"\{(B[0-9]{1,2}|B8A)(,(B[0-9]{1,2}|B8A))+\}", re.IGNORECASE)
_VERSION_LENGTH = 32


@dataclass(frozen=True)
class Listing:
    """Objects among which scenes are looked for.

    Attributes:
        store: Where they lie.
        entries: The objects.
        folder: Goes before their keys in names; ends with a slash unless it is empty.
        takes_all: Whether somebody has named each of them: hidden ones count, and those of any ending.
        is_archive: Whether they are an archive's members.
    """

    store: Store
    entries: Sequence[Entry]
    folder: str = ""
    takes_all: bool = False
    is_archive: bool = False


@dataclass(frozen=True, slots=True)
class FoundScene:
    """A scene in a listing.

    Attributes:
        base: What its name is made from: its key below the input, without ending.
        ending: The ending, without dot; empty where there is none.
        location: See `InputScene`.
        key: See `InputScene`. A group of files that hold one band each is `T32_{B02,B03,B04}.tif`; an item of a
            collection `items.json!/ID`.
        kind: By its ending; its content decides when it is opened.
        num_bytes: Of all its objects.
        version: Of all its objects.
    """

    base: str
    ending: str
    location: str
    key: str
    kind: SceneKind
    num_bytes: int
    version: str

    @property
    def identity(self) -> str:
        """Which scene this is, whatever its content."""
        return identity_of(self.location, self.key)

    def named(self, name: str) -> InputScene:
        """As it goes into the plan."""
        return InputScene(name, self.location, self.key, self.kind, self.num_bytes, self.version)


def identity_of(location: str, key: str) -> str:
    """Equal for the same scene, through whichever input it was found, and whichever of its bands are there."""
    return f"{location.rstrip('/')}/{_BANDS.sub(ANY_BAND, key)}".rstrip("/")


def group_key(pattern: str, bands: Sequence[str]) -> str:
    """The key of a group of files of one band each: all their keys in one.

    Args:
        pattern: Their keys, with `ANY_BAND` for the band.
        bands: As the files spell them.
    """
    return pattern.replace(ANY_BAND, f"{{{','.join(sorted(bands))}}}")


def files_of_group(key: str) -> list[str]:
    """The files of a group; none where the key is no group's."""
    found = _BANDS.search(key)
    if found is None:
        return []
    return [f"{key[: found.start()]}{band}{key[found.end() :]}" for band in found[0][1:-1].split(",")]


def entries_of_safe(entries: Iterable[Entry], key: str = "") -> list[Entry]:
    """The objects of a SAFE folder, below it and without what operating systems leave there.

    Args:
        entries: All that lies in it.
        key: Of the folder, in the keys of the entries; empty where these begin in it.
    """
    start = len(key) + 1 if key else 0
    below = [Entry(entry.key[start:], entry.num_bytes, entry.version) for entry in entries]
    return [entry for entry in below if not is_hidden(entry.key)]


def location_of(store: Store) -> str:
    """A store's URI as `open_store` takes it for the same kind of store."""
    uri = store.uri
    looks_otherwise = uri.lower().endswith(LIST_SUFFIX) or split_archive_uri(uri) is not None
    return f"{uri}/" if looks_otherwise and not isinstance(store, ArchiveStore) else uri


def without_ending(key: str) -> tuple[str, str]:
    """A key and its ending without dot, which of archives may be double."""
    ending = next((suffix for suffix in ARCHIVE_SUFFIXES if key.lower().endswith(suffix)), PurePosixPath(key).suffix)
    return key[: len(key) - len(ending)], ending[1:]


def version_of(entry: Entry) -> str:
    """Of one object; its size where the store tells nothing else."""
    return entry.version or str(entry.num_bytes)


def version_of_all(entries: Iterable[Entry], *more: str) -> str:
    """Of several objects: a digest of their keys, sizes and versions, and of what else there is."""
    lines = sorted(f"{entry.key}\0{entry.num_bytes}\0{entry.version}" for entry in entries)
    text = "\n".join([*lines, *more])
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_LENGTH]
