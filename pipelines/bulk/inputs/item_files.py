"""STAC items opened as products: read again from where they were found."""

import json
import re
import threading
from collections.abc import Sequence
from functools import lru_cache

from pipelines.bulk.inputs.found import ITEM_MARK
from pipelines.bulk.inputs.items import MOST_JSON_BYTES, SENSELESS, Json, LinkedImage, parse_items, with_sound_assets
from pipelines.storage import Entry, ObjectMissing, StorageSettings, Store, open_store
from pipelines.storage.product_files import raster_source
from rssr.errors import DataError
from rssr.raster import ByteSource
from rssr.sentinel2.stac import read_item

_KEY = re.compile(rf"(?P<file>.*?\.(?:geo)?json)(?:{re.escape(ITEM_MARK)}(?P<id>.*))?", re.IGNORECASE | re.DOTALL)
_LOCK = threading.Lock()


class ItemFiles:
    """The files of an item, see `rssr.sentinel2.ProductFiles`; nothing is asked for twice.

    Args:
        item: The item.
        name: What errors call it.
        entries: Its bands' images with their sizes.
    """

    def __init__(self, item: Json, name: str, entries: Sequence[tuple[LinkedImage, Entry | None]]) -> None:
        self.name = name
        self.keys = ("item.json",)
        self._item = item
        self._entries = {image.href: (image, entry) for image, entry in entries}

    def read_bytes(self, key: str) -> bytes:
        """The item."""
        return json.dumps(with_sound_assets(self._item)).encode()

    def check(self) -> None:
        """Read the item once, before its images are opened.

        Raises:
            DataError: Its values are of other types than an item's.
            RasterError: It contradicts itself.
        """
        try:
            read_item(self, self.keys[0])
        except SENSELESS:
            raise DataError(
                f"The item {self.name} makes no sense.", "Compare it with the STAC specification."
            ) from None

    def raster_source(self, key: str) -> str | ByteSource:
        """An item is no image."""
        raise DataError(f"{self.name} is an item, no image.")

    def linked_source(self, key: str, address: str) -> str | ByteSource:
        """An image that the item names."""
        image, entry = self._entries[address]
        if image.store is None or entry is None:
            return _absent(address, self.name)
        return raster_source(image.store, image.key, entry.num_bytes)


def _absent(address: str, name: str) -> ByteSource:
    """An image that is not there: an error for whoever opens it, since not every model wants every band."""

    def read(start: int, num_bytes: int) -> bytes:
        raise ObjectMissing(f"{name} names an image that is not there: {address}.", "Check the item, or fetch it.")

    return ByteSource(address, 1, read)


def is_item_key(key: str) -> bool:
    """Whether a scene's key is that of an item, alone in its file or one of a collection."""
    return _KEY.fullmatch(key) is not None


def read_item_of(location: str, key: str, settings: StorageSettings | None) -> tuple[Json, Store, str]:
    """An item again, with store and key of the file that holds it.

    Args:
        location: See `InputScene`.
        key: See `InputScene`.
        settings: How to reach S3; None reads the environment.

    Raises:
        DataError: The file does not hold it any more.
        StorageError: The file cannot be read.
    """
    parts = _KEY.fullmatch(key)
    file_key, item_id = (parts["file"], parts["id"]) if parts is not None else (key, None)
    store = open_store(location, settings)
    entry = store.stat(file_key)
    if entry.num_bytes > MOST_JSON_BYTES:
        raise DataError(f"{store.describe(file_key)} has {entry.num_bytes:,} bytes.", "Give smaller collections.")
    with _LOCK:  # two threads would both parse a large collection
        held = _items(location, file_key, entry.version, settings)
    item = held.get(item_id) if item_id is not None else next(iter(held.values()), None)
    if item is None:
        raise DataError(f"{store.describe(file_key)} holds no item {item_id or ''}.".replace(" .", "."), "Check it.")
    return item, store, file_key


@lru_cache(maxsize=4)
def _items(location: str, key: str, version: str, settings: StorageSettings | None) -> dict[str, Json]:
    """Items of a file by id; the version makes a changed file another entry."""
    found = parse_items(open_store(location, settings).read_bytes(key)) or []
    return {str(item["id"]): item for item in found}
