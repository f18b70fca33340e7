"""The one door to files and object stores: local folders, S3-compatible servers and whatever fsspec reaches.

Nothing else in the project imports fsspec, s3fs or boto3 for storage. Endpoint and credentials are read in one
place (`StorageSettings.from_environment`) and translated for every library that wants them its own way.
"""

from pipelines.storage.door import open_store, pyarrow_filesystem, ray_filesystem
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Entry, ObjectDamaged, ObjectMissing, Store, StoreUnavailable
from pipelines.storage.uris import is_local, join_uri, local_path, redact

__all__ = [
    "Entry",
    "ObjectDamaged",
    "ObjectMissing",
    "StorageSettings",
    "Store",
    "StoreUnavailable",
    "is_local",
    "join_uri",
    "local_path",
    "open_store",
    "pyarrow_filesystem",
    "ray_filesystem",
    "redact",
]
