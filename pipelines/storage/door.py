"""From a URI to a store, or to the file system object another library wants."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.storage.archive import ArchiveStore, split_archive_uri
from pipelines.storage.listed import LIST_SUFFIX, ListedStore
from pipelines.storage.local import LocalStore
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Store
from pipelines.storage.uris import Location, parse_uri, redact
from rssr.errors import StorageError

_S3_SCHEMES = ("s3", "s3a")
_WEB_SCHEMES = ("http", "https")


def open_store(uri: str, settings: StorageSettings | None = None) -> Store:
    """The store behind a local path, `file://`, `s3://` or any scheme that fsspec knows.

    Nothing is contacted yet, and a local folder need not exist. What ends like an archive (.zip, .tar, .tar.gz, .tgz)
    or a list of files (.txt) is read as one, unless it is a local folder or ends with a slash.

    Args:
        uri: A folder, an archive, a folder in one (`AID.zip!/Airport`) or a list of files; relative paths count from
            the working directory.
        settings: For S3; read from the environment by default. Pass them on to processes elsewhere.

    Raises:
        StorageError: The URI is malformed or carries credentials.
    """
    location = parse_uri(uri)
    if not uri.endswith("/"):
        within = _open_within(location, settings)
        if within is not None:
            return within
    return _open_folder(location, settings)


def _open_within(location: Location, settings: StorageSettings | None) -> Store | None:
    """The store for an archive or a list of files; None for a folder."""
    if location.scheme == "file" and Path(location.path).is_dir():
        return None
    path, mark, _ = location.path.partition("?") if location.scheme in _WEB_SCHEMES else (location.path, "", "")
    archive = split_archive_uri(path)
    if archive is None and not path.lower().endswith(LIST_SUFFIX):
        return None
    if mark:
        raise StorageError(
            f"The address {redact(location.uri)} has a query, and signatures would end up in manifests.",
            "Give the plain address, or put the file into object storage.",
        )
    folder, _, name = (archive[0] if archive else path).rpartition("/")
    container = _open_folder(replace(location, path=folder or ("/" if location.scheme == "file" else "")), settings)
    return ArchiveStore(container, name, archive[1]) if archive else ListedStore(container, name)


def _open_folder(location: Location, settings: StorageSettings | None) -> Store:
    if location.scheme == "file":
        return LocalStore(Path(location.path))
    if location.scheme in _S3_SCHEMES:
        from pipelines.storage.s3 import S3Store  # boto3 is not needed for local work

        chosen = settings or StorageSettings.from_environment()
        chosen.relax_checksums()
        return S3Store(location, chosen)
    from pipelines.storage.remote import RemoteStore

    return RemoteStore(location, places=None if settings is None else settings.places)


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


def ray_filesystem(uri: str, settings: StorageSettings | None = None) -> tuple[Any, str]:
    """A PyArrow file system and the path in it, for Ray Train's `storage_filesystem`.

    PyArrow's own file system makes an object for every folder, which servers that keep objects as files refuse.

    Raises:
        StorageError: The URI is malformed or carries credentials.
    """
    location = parse_uri(uri)
    if location.scheme not in _S3_SCHEMES:
        return pyarrow_filesystem(uri, settings)
    import fsspec
    from pyarrow import fs

    chosen = settings or StorageSettings.from_environment()
    chosen.relax_checksums()
    s3 = fsspec.filesystem("s3", use_listings_cache=False, **chosen.s3fs_options())
    return fs.PyFileSystem(fs.FSSpecHandler(s3)), f"{location.bucket}/{location.path}".rstrip("/")
