"""From objects in a listing to scenes: images, groups of bands, SAFE folders, STAC items, archives."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipelines.bulk.inputs.found import (
    MASK_BESIDE,
    MASK_ENDING,
    SAFE,
    FoundScene,
    Listing,
    entries_of_safe,
    group_key,
    location_of,
    version_of,
    version_of_all,
    without_ending,
)
from pipelines.bulk.inputs.item_scenes import find_items
from pipelines.bulk.inputs.items import ITEM_ENDINGS
from pipelines.bulk.records import MARKED_FOLDER, RUN_KEY, WORK_FOLDER, SceneKind
from pipelines.bulk.threads import in_threads
from pipelines.catalogue import describe_others, is_image_key
from pipelines.catalogue.layout import is_hidden
from pipelines.datasets.products import ANY_BAND, product_name
from pipelines.storage import Entry, StorageSettings, StoreUnavailable, open_store
from pipelines.storage.archive import ARCHIVE_SUFFIXES
from pipelines.storage.local import LocalStore
from rssr.errors import StorageError

log = logging.getLogger(__name__)

_RASTERS = (".tif", ".tiff", ".jp2", ".vrt")
_SEPARATORS = "_-. "  # between a band and the rest of a file's name
_OWN_FOLDERS = {MARKED_FOLDER, RUN_KEY.partition("/")[0], WORK_FOLDER}


def find_in(listing: Listing, settings: StorageSettings | None) -> list[FoundScene]:
    """The scenes of a listing, in no particular order.

    Raises:
        DataError: A collection holds an item twice.
        StoreUnavailable: A store that an item or archive leads to does not answer.
    """
    location = location_of(listing.store)
    if listing.store.uri.lower().endswith(SAFE):
        return [_safe_scene(listing, location, "", listing.entries)] if listing.entries else []
    safes: dict[str, list[Entry]] = {}
    described, archives, others = [], [], []
    for entry in listing.entries:
        name = product_name(entry.key)
        is_safe = name is not None and name.lower().endswith(SAFE)
        if not listing.takes_all and _is_left_out(name if is_safe and name else entry.key):
            continue
        if is_safe and name:
            safes.setdefault(name, []).append(entry)
        elif entry.key.lower().endswith(ITEM_ENDINGS):
            described.append(entry)
        elif entry.key.lower().endswith(ARCHIVE_SUFFIXES) and not listing.is_archive:
            archives.append(entry)
        else:
            others.append(entry)
    of_items = find_items(listing, described, settings)
    images = [entry for entry in others if listing.takes_all or is_image_key(entry.key)]
    if of_items.addresses:
        images = [entry for entry in images if listing.store.describe(entry.key) not in of_items.addresses]
        safes = {key: held for key, held in safes.items() if not _is_named(listing, held, of_items.addresses)}
    _tell_of_others(listing, others)
    inside = in_threads(lambda entry: _members(listing, location, entry, settings), archives)
    return [
        *(_safe_scene(listing, location, key, entries) for key, entries in safes.items()),
        *of_items.scenes,
        *_image_scenes(listing, location, images),
        *(scene for scenes in inside for scene in scenes),
    ]


def _is_left_out(key: str) -> bool:
    """Whether a key is hidden, or lies in a folder that some bulk run keeps for itself."""
    return is_hidden(key) or not _OWN_FOLDERS.isdisjoint(key.split("/")[:-1])


def _is_named(listing: Listing, entries: Sequence[Entry], addresses: set[str]) -> bool:
    """Whether an item names an object of a SAFE folder, and hence is the same scene."""
    return any(listing.store.describe(entry.key) in addresses for entry in entries)


def _safe_scene(listing: Listing, location: str, key: str, entries: Sequence[Entry]) -> FoundScene:
    base = listing.folder + key if key else location.rstrip("/").rpartition("/")[2]
    held = entries_of_safe(entries, key)
    num_bytes = sum(entry.num_bytes for entry in held)
    return FoundScene(base[: -len(SAFE)], "SAFE", location, key, "product", num_bytes, version_of_all(held))


def _image_scenes(listing: Listing, location: str, images: Sequence[Entry]) -> Iterable[FoundScene]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in images:
        groups[product_name(entry.key) or entry.key].append(entry)
    masked = _masked_elsewhere(listing)
    for pattern, entries in groups.items():
        if len(entries) > 1:
            yield _group_scene(listing, location, pattern, entries)
        else:
            yield _image_scene(listing, location, entries[0], masked)


def _masked_elsewhere(listing: Listing) -> set[str]:
    """Images whose masks lie in files of their own, where these would not be read."""
    if isinstance(listing.store, LocalStore):
        return set()
    return {entry.key[: -len(MASK_ENDING)] for entry in listing.entries if entry.key.endswith(MASK_ENDING)}


def _image_scene(listing: Listing, location: str, entry: Entry, masked: set[str]) -> FoundScene:
    stem, ending = without_ending(entry.key)
    kind: SceneKind = "raster" if entry.key.lower().endswith(_RASTERS) else "picture"
    version = version_of(entry) + (MASK_BESIDE if entry.key in masked else "")
    return FoundScene(listing.folder + stem, ending, location, entry.key, kind, entry.num_bytes, version)


def _group_scene(listing: Listing, location: str, pattern: str, entries: Sequence[Entry]) -> FoundScene:
    before, after = pattern.split(ANY_BAND)
    bands = [entry.key[len(before) : len(entry.key) - len(after)] for entry in entries]
    stem, ending = without_ending(pattern)
    named, _, rest = stem.partition(ANY_BAND)
    if named.endswith("/") or not named:
        rest = rest.lstrip(_SEPARATORS)
    name = (named.rstrip(_SEPARATORS) + rest).rstrip("/") or location.rstrip("/").rpartition("/")[2]
    base = listing.folder + name
    num_bytes = sum(entry.num_bytes for entry in entries)
    key = group_key(pattern, bands)
    return FoundScene(base, ending, location, key, "product", num_bytes, version_of_all(entries))


def _members(listing: Listing, location: str, entry: Entry, settings: StorageSettings | None) -> list[FoundScene]:
    """The scenes in an archive; one that cannot be read is itself a scene, which will be refused with the reason.

    So is one without scenes where somebody has named it.
    """
    stem, ending = without_ending(entry.key)
    itself: FoundScene = FoundScene(
        listing.folder + stem, ending, location, entry.key, "raster", entry.num_bytes, version_of(entry)
    )
    try:
        store = open_store(listing.store.describe(entry.key), settings)
        inside = Listing(store, store.list(), f"{itself.base}/", is_archive=True)
    except StoreUnavailable:
        raise
    except StorageError:
        return [itself]
    return find_in(inside, settings) or ([itself] if listing.takes_all else [])


def _tell_of_others(listing: Listing, others: Sequence[Entry]) -> None:
    told = "" if listing.takes_all else describe_others(entry.key for entry in others)
    if told:
        log.info("%s: left alone, being no images by their names: %s", listing.store.uri, told)
