"""Products of several files in a store, read by ranges from where they lie, through the same door as everything else.

GDAL's own way to object stores is not used, see `rssr.raster.byte_source`: retries, errors and settings are those of
the store, and products lie in any store there is.
"""

import posixpath
from collections.abc import Sequence
from functools import partial

from pipelines.storage.door import open_store
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Store
from pipelines.storage.uris import is_local, local_path
from rssr.raster import ByteSource


class StoredFiles:
    """Some objects of a store; see `rssr.sentinel2.ProductFiles`.

    Args:
        store: Local folder or object store.
        keys: The product's objects, below the store.
        name: What errors call the product.
        settings: How to reach S3; None reads the environment.
    """

    def __init__(self, store: Store, keys: Sequence[str], name: str, settings: StorageSettings | None = None) -> None:
        self.name = name
        self.keys = tuple(keys)
        self._store = store
        self._settings = settings

    def read_bytes(self, key: str) -> bytes:
        """The whole object."""
        return self._store.read_bytes(key)

    def raster_source(self, key: str) -> str | ByteSource:
        """A local file's path; of other stores, where the bytes come from."""
        return _source(self._store, key)

    def linked_source(self, key: str, address: str) -> str | ByteSource:
        """What an object names: beside it, or by a URI of its own."""
        if "://" in address or address.startswith("/"):
            folder, _, leaf = address.rpartition("/")
            return _source(open_store(folder, self._settings), leaf)
        return _source(self._store, posixpath.normpath(posixpath.join(posixpath.dirname(key), address)))


def _source(store: Store, key: str) -> str | ByteSource:
    described = store.describe(key)
    path = local_path(described) if is_local(described) else None
    if path is not None and path.is_file():
        return str(path)
    return ByteSource(described, store.stat(key).num_bytes, partial(store.read_range, key))
