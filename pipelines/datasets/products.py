"""Find Sentinel-2 products below a location, and open them again by name."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.storage import Entry, StorageSettings, Store, open_store
from pipelines.storage.product_files import StoredFiles
from rssr.errors import DataError
from rssr.sentinel2 import band_in_file_name

_SAFE = ".SAFE"
_IMAGES = (".tif", ".tiff", ".jp2")
ANY_BAND = "{band}"
"""Stands for a band in the name of a group of files."""


@dataclass(frozen=True)
class FoundProduct:
    """A product in a listing.

    Attributes:
        source: Position of its location in the list of data locations.
        name: Below the location: a SAFE folder (empty where the location is one), a file, or a group of files of which
            each holds one band, with `{band}` in place of the band's name.
        entries: Its objects.
    """

    source: int
    name: str
    entries: tuple[Entry, ...]


def find_products(uris: Sequence[str]) -> list[FoundProduct]:
    """All products below the locations, sorted by location and name.

    Raises:
        DataError: A location holds none.
        StorageError: It cannot be reached.
    """
    found: list[FoundProduct] = []
    for source, uri in enumerate(uris):
        store = open_store(uri)
        groups = _groups(store, store.list())
        if not groups:
            raise DataError(
                f"There is no Sentinel-2 product below {store.uri}.",
                "Give SAFE folders, STAC items (.json) or images (.tif, .jp2) there, or correct data.uri.",
            )
        found += [FoundProduct(source, name, tuple(groups[name])) for name in sorted(groups)]
    return found


def open_product_files(uri: str, name: str, settings: StorageSettings | None = None) -> StoredFiles:
    """The files of a product that `find_products` has named."""
    store = open_store(uri, settings)
    described = store.describe(name)
    if name == "" or name.upper().endswith(_SAFE):
        folder = store.child(name) if name else store
        sizes = {entry.key: entry.num_bytes for entry in folder.list()}
        return StoredFiles(folder, list(sizes), described, settings, sizes)
    if ANY_BAND not in name:
        return StoredFiles(store, [name], described, settings)
    folder_key = PurePosixPath(name).parent.as_posix()
    listed = store.list("" if folder_key == "." else folder_key)
    sizes = {entry.key: entry.num_bytes for entry in listed if product_name(entry.key) == name}
    return StoredFiles(store, list(sizes), described, settings, sizes)


def _groups(store: Store, entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    is_safe = store.uri.rstrip("/").upper().endswith(_SAFE)
    described = {PurePosixPath(entry.key).parent for entry in entries if entry.key.lower().endswith(".json")}
    for entry in entries:
        name = "" if is_safe else product_name(entry.key)
        belongs_to_item = not entry.key.lower().endswith(".json") and PurePosixPath(entry.key).parent in described
        if name is not None and not (belongs_to_item and _SAFE not in name.upper()):
            groups[name].append(entry)
    return dict(groups)


def product_name(key: str) -> str | None:
    """The product that an object may belong to by its key; None for what is part of none.

    A SAFE folder; the object itself; or of a file that holds one band its key with `ANY_BAND` in place of the band's
    name, which is the same for all bands of an image.
    """
    path = PurePosixPath(key)
    for depth, part in enumerate(path.parts[:-1], start=1):
        if part.upper().endswith(_SAFE):
            return PurePosixPath(*path.parts[:depth]).as_posix()
    if any(part.startswith(".") for part in path.parts):
        return None
    if path.suffix.lower() == ".json":
        return key
    if path.suffix.lower() not in _IMAGES:
        return None
    named = band_in_file_name(path.name)
    return key if named is None else path.with_name(named[1]).as_posix()
