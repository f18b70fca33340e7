"""Products of several files in a store, read by ranges from where they lie, through the same door as everything else.

GDAL's own way to object stores is not used, see `rssr.raster.byte_source`: retries, errors and settings are those of
the store, and products lie in any store there is.
"""

import posixpath
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pipelines.storage.archive import split_archive_uri
from pipelines.storage.door import open_store
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Store
from pipelines.storage.uris import is_local, local_path
from rssr.errors import StorageError
from rssr.raster import ByteSource


class StoredFiles:
    """Some objects of a store; see `rssr.sentinel2.ProductFiles`.

    Args:
        store: Local folder or object store.
        keys: The product's objects, below the store.
        name: What errors call the product.
        settings: How to reach S3; None reads the environment.
        sizes: Of the objects, bytes, as far as a listing has told them: the store is not asked again.
    """

    def __init__(
        self,
        store: Store,
        keys: Sequence[str],
        name: str,
        settings: StorageSettings | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.name = name
        self.keys = tuple(keys)
        self._store = store
        self._settings = settings
        self._sizes = sizes or {}

    def read_bytes(self, key: str) -> bytes:
        """The whole object."""
        return self._store.read_bytes(key)

    def raster_source(self, key: str) -> str | ByteSource:
        """A local file's path; of other stores, where the bytes come from."""
        return raster_source(self._store, key, self._sizes.get(key))

    def linked_source(self, key: str, address: str) -> str | ByteSource:
        """What an object names: beside it, or by a URI of its own."""
        return raster_source(*linked_place(self._store, key, address, self._settings))


def raster_source(store: Store, key: str, num_bytes: int | None = None) -> str | ByteSource:
    """An object as `rssr.raster.open_raster` takes it: a local file's path; of other stores, where the bytes come from.

    Args:
        store: Where it lies.
        key: The object.
        num_bytes: Its size; None asks the store.

    Raises:
        ObjectMissing: The store holds no such object.
    """
    described = store.describe(key)
    path = local_path(described) if is_local(described) else None
    if path is not None and path.is_file():
        return str(path)
    size = store.stat(key).num_bytes if num_bytes is None else num_bytes
    return ByteSource(described, size, partial(store.read_range, key) if store.has_ranges else _read_once(store, key))


def linked_place(store: Store, key: str, address: str, settings: StorageSettings | None = None) -> tuple[Store, str]:
    """Store and key of what an object names, relative to itself or by a URI of its own.

    Raises:
        PlaceRefused: The settings do not allow it.
        StorageError: The address is malformed, or leads out of an archive or bucket.
    """
    if "://" in address or address.startswith("/"):
        _require_allowed(address, settings)
        folder, _, leaf = address.rpartition("/")
        return open_store(folder or "/", settings), leaf
    path = posixpath.normpath(posixpath.join(posixpath.dirname(key), address))
    if not path.startswith("../"):
        _require_allowed(store.describe(path), settings)
        return store, path
    scheme, separator, place = store.uri.rpartition("://")
    climbed = posixpath.normpath(f"/{place.lstrip('/')}/{path}")
    leaves_bucket = bool(separator) and climbed.split("/")[1] != place.split("/")[0]
    if leaves_bucket or split_archive_uri(store.uri) is not None:
        raise StorageError(f"'{address}' in {store.describe(key)} leads out of its store.", "Give a whole address.")
    _require_allowed(f"{scheme}{separator}{climbed.lstrip('/')}" if separator else climbed, settings)
    folder, _, leaf = climbed.rpartition("/")
    return open_store(f"{scheme}{separator}{folder.lstrip('/')}" if separator else folder or "/", settings), leaf


def _require_allowed(address: str, settings: StorageSettings | None) -> None:
    if settings is not None:
        settings.require_allowed(address)


def _read_once(store: Store, key: str) -> Callable[[int, int], bytes]:
    """Parts of an object that comes whole or not at all."""
    held: list[bytes] = []

    def read(start: int, num_bytes: int) -> bytes:
        if not held:
            held.append(store.read_bytes(key))
        return held[0][start : start + num_bytes]

    return read
