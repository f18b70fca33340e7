"""Products of several files in a store, as `rssr.sentinel2` and GDAL read them: by window, from where they lie."""

import posixpath
from collections.abc import Sequence

from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Store
from pipelines.storage.uris import is_local, parse_uri
from rssr.raster import GdalAccess
from rssr.sentinel2 import gdal_path


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
        self.access = GdalAccess() if is_local(store.uri) else _access(settings)
        self._store = store

    def read_bytes(self, key: str) -> bytes:
        """The whole object."""
        return self._store.read_bytes(key)

    def raster_source(self, key: str) -> str:
        """GDAL's path of an object."""
        location = parse_uri(self._store.describe(key))
        if location.scheme == "file":
            return location.path
        scheme = "s3" if location.scheme == "s3a" else location.scheme
        address = f"{scheme}://{location.bucket}/{location.path}"
        return gdal_path(address) or address

    def linked_source(self, key: str, address: str) -> str:
        """GDAL's path of what an object names."""
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(key), address))
        return gdal_path(address) or (address if address.startswith("/") else self.raster_source(beside))


def _access(settings: StorageSettings | None) -> GdalAccess:
    chosen = settings or StorageSettings.from_environment()
    return GdalAccess(chosen.gdal_options(), chosen.aws_session_options())
