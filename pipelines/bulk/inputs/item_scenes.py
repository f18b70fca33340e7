"""Scenes that STAC items describe, and the images that are theirs."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipelines.bulk.inputs.found import ITEM_MARK, FoundScene, Listing, location_of, version_of, without_ending
from pipelines.bulk.inputs.items import (
    MOST_JSON_BYTES,
    Json,
    LinkedImage,
    all_addresses,
    band_images,
    data_images,
    is_collection,
    item_version,
    parse_items,
    require_distinct_ids,
)
from pipelines.bulk.threads import in_threads
from pipelines.storage import Entry, StorageSettings, StoreUnavailable
from rssr.errors import StorageError

log = logging.getLogger(__name__)


@dataclass
class ItemScenes:
    """What items bring.

    Attributes:
        scenes: In no particular order.
        addresses: Of all that the items name: no scenes of their own.
    """

    scenes: list[FoundScene] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Held:
    """An item in its file.

    Attributes:
        item: The item.
        file_key: The file.
        key: The file's key, and of one of a collection its id.
        base: What its scene's name is made from.
    """

    item: Json
    file_key: str
    key: str
    base: str


def find_items(listing: Listing, files: Sequence[Entry], settings: StorageSettings | None) -> ItemScenes:
    """The scenes of the items in JSON files.

    An item of Sentinel-2 is one scene, a product; of another item each image that has the role `data` is one. Files
    that hold no such item count only where somebody has named them: they will be refused with the reason.

    Args:
        listing: That they come from; images that it holds are not asked for again.
        files: Those of its entries that may hold items.
        settings: How to reach S3; None reads the environment.

    Raises:
        DataError: A collection holds an item twice.
        StoreUnavailable: A store that an item leads to does not answer.
    """
    found = ItemScenes()
    held: list[_Held] = []
    for entry, items in zip(files, in_threads(lambda entry: _items_of(listing, entry), files), strict=True):
        held += items
        if not items and listing.takes_all:
            found.scenes.append(_unusable(listing, entry))
    known = {listing.store.describe(entry.key): entry for entry in listing.entries} if held else {}

    def scenes_of(one: _Held) -> list[FoundScene]:
        return list(_scenes_of(one, listing, known, settings))

    for one, scenes in zip(held, in_threads(scenes_of, held), strict=True):
        found.scenes += scenes
        if scenes:
            found.addresses |= set(all_addresses(one.item, listing.store, one.file_key, settings))
    return found


def _items_of(listing: Listing, entry: Entry) -> list[_Held]:
    address = listing.store.describe(entry.key)
    if entry.num_bytes > MOST_JSON_BYTES:
        log.warning("%s has %d bytes; such files are not searched for STAC items", address, entry.num_bytes)
        return []
    try:
        data = listing.store.read_bytes(entry.key)
    except StoreUnavailable:
        raise
    except StorageError:
        return []
    items = parse_items(data) or []
    base = listing.folder + without_ending(entry.key)[0]
    if not items or not is_collection(data):
        return [_Held(item, entry.key, entry.key, base) for item in items]
    require_distinct_ids(items, address)
    folder = "" if listing.takes_all else f"{base}/"
    return [_Held(item, entry.key, f"{entry.key}{ITEM_MARK}{item['id']}", f"{folder}{item['id']}") for item in items]


def _scenes_of(
    one: _Held, listing: Listing, known: dict[str, Entry], settings: StorageSettings | None
) -> Iterator[FoundScene]:
    place = (listing.store, one.file_key, settings)
    images = band_images(one.item, *place)
    pictured = [] if images else data_images(one.item, *place)
    entries = [(image, known.get(image.address) or image.stat()) for image in images or pictured]
    if images or (listing.takes_all and not pictured):
        num_bytes = sum(entry.num_bytes for _, entry in entries if entry is not None)
        version = item_version(one.item, entries)
        yield FoundScene(one.base, "", location_of(listing.store), one.key, "product", num_bytes, version)
        return
    for image, entry in entries:
        base = one.base if len(entries) == 1 else f"{one.base}/{image.name}"
        yield _image_scene(image, entry or Entry(image.key, 0, ""), base)


def _image_scene(image: LinkedImage, entry: Entry, base: str) -> FoundScene:
    """An image by itself; of one whose address makes no sense, the address as it is, which will be refused."""
    ending = without_ending(image.href)[1]
    location, key = ("", image.href) if image.store is None else (location_of(image.store), image.key)
    return FoundScene(base, ending, location, key, "raster", entry.num_bytes, version_of(entry))


def _unusable(listing: Listing, entry: Entry) -> FoundScene:
    base, ending = without_ending(listing.folder + entry.key)
    return FoundScene(
        base, ending, location_of(listing.store), entry.key, "product", entry.num_bytes, version_of(entry)
    )
