"""From a URI to a store, or to the file system object another library wants."""

from pathlib import Path
from typing import Any

from pipelines.storage.local import LocalStore
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Store
from pipelines.storage.uris import parse_uri

_S3_SCHEMES = ("s3", "s3a")


def open_store(uri: str, settings: StorageSettings | None = None) -> Store:
    """The store behind a local path, `file://`, `s3://` or any scheme that fsspec knows.

    Nothing is contacted yet, and a local folder need not exist.

    Args:
        uri: A folder; relative paths count from the working directory.
        settings: For S3; read from the environment by default. Pass them on to processes elsewhere.

    Raises:
        StorageError: The URI is malformed or carries credentials.
    """
    location = parse_uri(uri)
    if location.scheme == "file":
        return LocalStore(Path(location.path))
    if location.scheme in _S3_SCHEMES:
        from pipelines.storage.s3 import S3Store  # boto3 is not needed for local work

        chosen = settings or StorageSettings.from_environment()
        chosen.relax_checksums()
        return S3Store(location, chosen)
    from pipelines.storage.remote import RemoteStore

    return RemoteStore(location)


def pyarrow_filesystem(uri: str, settings: StorageSettings | None = None) -> tuple[Any, str]:
    """A PyArrow file system and the path in it, e.g. for Ray Train's `storage_filesystem` and Parquet.

    Raises:
        StorageError: The URI is malformed or carries credentials.
    """
    from pyarrow import fs

    location = parse_uri(uri)
    if location.scheme == "file":
        return fs.LocalFileSystem(), location.path
    path = f"{location.bucket}/{location.path}".rstrip("/")
    if location.scheme in _S3_SCHEMES:
        chosen = settings or StorageSettings.from_environment()
        chosen.relax_checksums()
        return fs.S3FileSystem(**chosen.pyarrow_options()), path
    import fsspec

    return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(location.scheme))), path
