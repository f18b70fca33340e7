"""Any other store that fsspec knows: gs://, az://, https:// and so on."""

import errno
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import fsspec

from pipelines.storage.allowed import WEB_SCHEMES, AllowedPlaces
from pipelines.storage.file_errors import file_error
from pipelines.storage.retries import Failure, RetryPolicy, call_with_retries, has_answered, note_answer
from pipelines.storage.store import Entry, ObjectMissing, Store, StoreUnavailable, clean_key, file_sha256, probe_key
from pipelines.storage.uris import Location
from rssr.errors import RssrError, StorageError

Result = TypeVar("Result")

_VERSION_FIELDS = ("etag", "ETag", "generation", "mtime", "updated", "last_modified", "created")
_CHUNK_BYTES = 8 * 2**20
_SINGLE_BYTES = 32 * 2**20  # up to here files go through memory: more file systems have exclusive modes for that
_ABOUT_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


class RemoteStore(Store):
    """Objects below a URI of one of fsspec's file systems, configured as that file system documents."""

    def __init__(
        self, location: Location, policy: RetryPolicy | None = None, places: AllowedPlaces | None = None
    ) -> None:
        self._location = location
        self._policy = policy or RetryPolicy(num_attempts=4)
        self._places = places

    @property
    def uri(self) -> str:
        """Scheme, bucket or host, and path."""
        return self._location.uri

    def child(self, key: str) -> "RemoteStore":
        """The store below a key."""
        path = f"{self._location.path}/{clean_key(key)}".lstrip("/")
        return RemoteStore(Location(self._location.scheme, self._location.bucket, path), self._policy, self._places)

    def expect_answers(self) -> None:
        """See `Store.expect_answers`."""
        note_answer(self._server)

    def read_bytes(self, key: str) -> bytes:
        """The whole object."""
        content: bytes = self._call(lambda _: self._files.cat_file(self._path(key)), key)
        return content

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """A part of the object."""
        end = start + max(num_bytes, 0)
        if self._is_web:
            return self._call(lambda _: self._web_range(key, start, end), key) if end > start else b""
        part: bytes = self._call(lambda _: self._files.cat_file(self._path(key), start=start, end=end), key)
        return part

    def stat(self, key: str) -> Entry:
        """Size and, as far as the store tells, version."""
        info: dict[str, Any] = self._call(lambda _: self._files.info(self._path(key)), key)
        if info.get("type") == "directory":
            raise ObjectMissing(f"There is no object {self.describe(key)}.", "Check the URI.")
        if info.get("size") is None:
            raise StorageError(
                f"The server does not tell the size of {self.describe(key)}.",
                "Fetch it and give a local path, or put it into object storage.",
            )
        return Entry(key, int(info["size"]), _version(info))

    def write_bytes(self, key: str, data: bytes) -> None:
        """One upload."""
        self._call(lambda _: self._files.pipe_file(self._path(key), data), key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """An exclusive upload where the file system has one, else a look before the upload."""
        if self.enforces_conditional_put():
            return self._call(lambda attempt: self._create(key, data, attempt), key)
        if self.exists(key):
            return False
        self.write_bytes(key, data)
        return True

    def enforces_conditional_put(self) -> bool:
        """Two exclusive uploads of one fresh key: an enforcing store refuses the second."""
        return _enforces(self._location)

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return bool(self._call(lambda _: self._files.isfile(self._path(key)), key))

    def list(self, prefix: str = "") -> list[Entry]:
        """All objects below a prefix; web servers have no listings.

        Raises:
            StorageError: On the web.
        """
        if self._is_web:
            raise StorageError(
                f"{self.uri} is a place on the web, where files cannot be listed.",
                "Give an archive (https://.../NAME.zip), or a text file with a key a line (https://.../files.txt).",
            )
        top = self._path(prefix.strip("/")) if prefix.strip("/") else self.uri
        root = str(self._files._strip_protocol(self.uri)).rstrip("/") + "/"
        try:
            found: dict[str, dict[str, Any]] = self._call(lambda _: self._files.find(top, detail=True), prefix)
        except ObjectMissing:
            return []
        return sorted(
            Entry(path.removeprefix(root), int(info.get("size") or 0), _version(info))
            for path, info in found.items()
            if path.startswith(root) and not path.endswith("/")
        )

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        if self.exists(key):
            self._call(lambda _: self._files.rm_file(self._path(key)), key)

    def upload_file(self, source: Path, key: str) -> None:
        """Copy a local file in."""
        self._call(lambda _: self._files.put_file(str(source), self._path(key)), key)

    def upload_file_if_absent(self, source: Path, key: str, *, takes_source: bool = False) -> bool:
        """An exclusive upload where the file system has one, else a look before the upload."""
        if self.exists(key):
            return False
        if source.stat().st_size <= _SINGLE_BYTES:
            return self.put_if_absent(key, source.read_bytes())
        if self.enforces_conditional_upload():
            return self._call(lambda attempt: self._create_from(source, key, attempt), key)
        self.upload_file(source, key)
        return True

    def enforces_conditional_upload(self) -> bool:
        """The same of two exclusive uploads of a file."""
        return self.enforces_conditional_put() and _enforces_files(self._location)

    def download_file(self, key: str, target: Path) -> None:
        """Copy an object out in pieces."""

        def request(_: int) -> None:
            with self._files.open(self._path(key), "rb") as stream, target.open("wb") as out:
                shutil.copyfileobj(stream, out, _CHUNK_BYTES)

        self._call(request, key)

    @property
    def _files(self) -> Any:  # noqa: ANN401  # one of fsspec's many file systems
        return _file_system(self._location.scheme, self._places if self._is_web else None)

    @property
    def _is_web(self) -> bool:
        return self._location.scheme in WEB_SCHEMES

    def _path(self, key: str) -> str:
        name = clean_key(key)
        return f"{self._location.uri}/{quote(name) if self._is_web else name}"

    def _web_range(self, key: str, start: int, end: int) -> bytes:
        """Not fsspec's own way to a range: it takes whole files from servers that know no ranges for the range."""
        try:
            with self._files.open(self._path(key), "rb", size=end, block_size=end - start, cache_type="none") as stream:
                stream.seek(start)
                part: bytes = stream.read(end - start)
                return part
        except ValueError:
            raise StorageError(
                f"The server of {self.describe(key)} gives whole files only, no parts of them.",
                "Fetch it and give a local path, or put it into object storage.",
            ) from None

    def _create(self, key: str, data: bytes, attempt: int) -> bool:
        try:
            self._files.pipe_file(self._path(key), data, mode="create")
        except FileExistsError:
            return attempt > 0 and self.read_bytes(key) == data
        return True

    def _create_from(self, source: Path, key: str, attempt: int) -> bool:
        try:
            self._files.put_file(str(source), self._path(key), mode="create")
        except FileExistsError:
            return attempt > 0 and self.sha256(key) == file_sha256(source)
        return True

    def _call(self, request: Callable[[int], Result], key: str) -> Result:
        address = self.describe(key)

        def unwrapped(attempt: int) -> Result:
            try:
                return request(attempt)
            except Exception as error:
                raise _web_error(error) or error from None

        try:
            result = call_with_retries(unwrapped, _classify, self._policy, has_answered(self._server))
        except FileNotFoundError:
            raise ObjectMissing(f"There is no object {address}.", "Check the URI.") from None
        except PermissionError:
            raise StorageError(f"Access to {address} is refused.", "Check the credentials.") from None
        except (OSError, TimeoutError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno in _ABOUT_THE_DISK:
                raise file_error(error, address) from None
            what = str(error) if isinstance(error, _WebFailure) else type(error).__name__
            kind = StoreUnavailable if _classify(error) is Failure.TRANSIENT else StorageError
            raise kind(f"{address} failed with {what}.", "Check the URI and network.") from None
        note_answer(self._server)
        return result

    @property
    def _server(self) -> str:
        return f"{self._location.scheme}://{self._location.bucket}"


class _WebFailure(OSError):
    """A server is busy or breaks off; asking again may help."""


def _web_error(error: Exception) -> Exception | None:
    """What fsspec's web file system means, which hides every refusal behind a missing file and lets others through."""
    answer = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error
    if isinstance(answer, RssrError):
        return answer  # a redirection that is not followed
    if not type(answer).__module__.startswith("aiohttp"):
        return None
    status = getattr(answer, "status", None)
    if status in (404, 410):
        return FileNotFoundError()
    if status in (401, 403, 407):
        return PermissionError()
    transient = status is None or status == 429 or status >= 500
    return _WebFailure(f"status {status}" if status else type(answer).__name__) if transient else NotImplementedError()


def _classify(error: Exception) -> Failure:
    permanent = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError)
    about_the_disk = isinstance(error, OSError) and error.errno in _ABOUT_THE_DISK
    busy = isinstance(error, OSError | TimeoutError) and not isinstance(error, permanent) and not about_the_disk
    return Failure.TRANSIENT if busy else Failure.PERMANENT


def _version(info: dict[str, Any]) -> str:
    values = (info[name] for name in _VERSION_FIELDS if info.get(name) is not None)
    found = [str(value.timestamp() if isinstance(value, datetime) else value) for value in values]
    return "-".join([*found[:1], str(info.get("size") or 0)])


@lru_cache(maxsize=8)
def _file_system(scheme: str, places: AllowedPlaces | None) -> Any:  # noqa: ANN401  # one of fsspec's many
    options: dict[str, Any] = {}
    if scheme in WEB_SCHEMES:
        options["headers"] = {"Accept-Encoding": "identity"}  # bytes as they are
    if places is not None:
        from pipelines.storage.guarded_web import guarded_client  # few need it

        options |= {"get_client": partial(guarded_client, places), "skip_instance_cache": True}
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False, **options)
    except ImportError as error:
        raise StorageError(f"{scheme}:// needs a package: {error}", "Install it.") from None
    except ValueError:
        raise StorageError(
            f"'{scheme}://' is no known kind of storage.", "Use a path, s3://, gs:// or https://."
        ) from None


@lru_cache(maxsize=64)
def _enforces(location: Location) -> bool:
    store = RemoteStore(location)
    key = probe_key()
    try:
        store._create(key, b"first", 0)
        return not store._create(key, b"second", 0)
    except (NotImplementedError, TypeError, ValueError):  # file systems without an exclusive mode
        return False
    finally:
        store.delete(key)


@lru_cache(maxsize=64)
def _enforces_files(location: Location) -> bool:
    store = RemoteStore(location)
    key = probe_key()
    with tempfile.NamedTemporaryFile(prefix="rssr-probe-") as file:
        file.write(b"probe")
        file.flush()
        try:
            store._create_from(Path(file.name), key, 0)
            return not store._create_from(Path(file.name), key, 0)
        except (NotImplementedError, TypeError, ValueError):  # file systems without an exclusive mode
            return False
        finally:
            store.delete(key)
