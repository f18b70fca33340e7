"""STAC items in files, and the images that they name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipelines.bulk.inputs.found import version_of_all
from pipelines.storage import Entry, StorageSettings, Store, StoreUnavailable
from pipelines.storage.product_files import linked_place
from rssr.errors import DataError, StorageError
from rssr.sentinel2.stac import band_assets

Json = Mapping[str, Any]

MOST_JSON_BYTES = 256 * 2**20
"""Of a file that may hold items; a thousand items have about 10 MB."""

ITEM_ENDINGS = (".json", ".geojson")
"""How names of files with items end."""

_IMAGES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".webp")
_MISSING = "missing"
SENSELESS = (TypeError, AttributeError, KeyError, IndexError, ValueError, ZeroDivisionError, OverflowError)
"""What reading an item raises whose values are of other types than an item's."""


@dataclass(frozen=True)
class LinkedImage:
    """An image that an item names.

    Attributes:
        name: The asset's key in the item.
        href: As the item has it.
        store: Where it lies; None where the address makes no sense.
        key: Below the store.
    """

    name: str
    href: str
    store: Store | None
    key: str

    @property
    def address(self) -> str:
        """Full address; empty where there is none."""
        return "" if self.store is None else self.store.describe(self.key)

    def stat(self) -> Entry | None:
        """Size and version; None where there is no such object, or none that may be seen.

        Raises:
            StoreUnavailable: Its store does not answer.
        """
        try:
            return None if self.store is None else self.store.stat(self.key)
        except StoreUnavailable:
            raise
        except StorageError:
            return None


def parse_items(data: bytes) -> list[Json] | None:
    """The items in a JSON file: one, or those of a collection; None where it holds none."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if _is_item(parsed):
        return [parsed]
    features = parsed.get("features") if isinstance(parsed, dict) else None
    if not isinstance(features, list) or not features or not all(_is_item(feature) for feature in features):
        return None
    return features


def is_collection(data: bytes) -> bool:
    """Whether a JSON file of items holds a collection of them, be it of one."""
    return "features" in json.loads(data)


def band_images(item: Json, store: Store, key: str, settings: StorageSettings | None) -> list[LinkedImage]:
    """The bands of Sentinel-2 that an item names; none where it is another sensor's, or makes no sense."""
    try:
        found = list(band_assets(with_sound_assets(item)))
    except SENSELESS:
        return []
    return [_linked(band, asset, store, key, settings) for band, asset in found]


def data_images(item: Json, store: Store, key: str, settings: StorageSettings | None) -> list[LinkedImage]:
    """The images that an item calls its data."""
    return [
        _linked(name, asset, store, key, settings)
        for name, asset in _assets(item)
        if "data" in (asset.get("roles") or ()) and PurePosixPath(asset["href"]).suffix.lower() in _IMAGES
    ]


def all_addresses(item: Json, store: Store, key: str, settings: StorageSettings | None) -> Iterator[str]:
    """Of everything that an item names: thumbnails and metadata too."""
    return (_linked(name, asset, store, key, settings).address for name, asset in _assets(item))


def item_version(item: Json, entries: Sequence[tuple[LinkedImage, Entry | None]]) -> str:
    """Of an item and its images."""
    content = json.dumps(item, sort_keys=True, ensure_ascii=True)
    known = [Entry(image.href, entry.num_bytes, entry.version) for image, entry in entries if entry is not None]
    lost = sorted(f"{image.href} {_MISSING}" for image, entry in entries if entry is None)
    return version_of_all(known, content, *lost)


def require_distinct_ids(items: Sequence[Json], address: str) -> None:
    """Refuse collections whose items cannot be told apart.

    Raises:
        DataError: With the first id that comes twice.
    """
    seen: set[str] = set()
    for item in items:
        if str(item["id"]) in seen:
            raise DataError(f"The collection {address} holds the item {item['id']} twice.", "Give each once.")
        seen.add(str(item["id"]))


def _is_item(value: object) -> bool:
    if not isinstance(value, dict) or value.get("type") != "Feature":
        return False
    return "stac_version" in value and isinstance(value.get("assets"), dict) and bool(value.get("id"))


def _assets(item: Json) -> Iterator[tuple[str, Json]]:
    """Those that name something."""
    for name, asset in item["assets"].items():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str) and asset["href"]:
            yield str(name), asset


def with_sound_assets(item: Json) -> Json:
    """An item without assets that name nothing."""
    return {**item, "assets": dict(_assets(item))}


def _linked(name: str, asset: Json, store: Store, key: str, settings: StorageSettings | None) -> LinkedImage:
    href = str(asset["href"])
    try:
        return LinkedImage(name, href, *linked_place(store, key, href, settings))
    except StorageError:
        return LinkedImage(name, href, None, "")
