"""S3 and servers that speak its protocol, through boto3."""

import threading
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipelines.storage.file_errors import file_error
from pipelines.storage.retries import RetryPolicy, call_with_retries, has_answered, note_answer
from pipelines.storage.s3_errors import classify, explain, is_taken, status_code
from pipelines.storage.s3_upload import UploadTarget, abort_unfinished, refuses_parts, upload_if_absent
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Entry, ObjectMissing, Store, clean_key, file_sha256, probe_key
from pipelines.storage.uris import Location

Result = TypeVar("Result")

_PAGE_SIZE = 1000  # the most S3 allows
_MAX_CONNECTIONS = 32  # threads that read at once share one pool
_TRANSFER = TransferConfig(multipart_threshold=64 * 2**20, multipart_chunksize=64 * 2**20, max_concurrency=4)
_CLIENT_LOCK = threading.Lock()  # building clients is not thread-safe, using them is


class S3Store(Store):
    """Objects below `s3://bucket/prefix`.

    Args:
        location: Bucket and prefix.
        settings: Endpoint and credentials; travel with the store when it is pickled.
        policy: How long to go on asking.
    """

    def __init__(self, location: Location, settings: StorageSettings, policy: RetryPolicy | None = None) -> None:
        self._location = location
        self._settings = settings
        self._policy = policy or RetryPolicy()

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return self._location.uri

    def child(self, key: str) -> "S3Store":
        """The store below a key."""
        location = Location(self._location.scheme, self._location.bucket, self._key(key))
        return S3Store(location, self._settings, self._policy)

    def expect_answers(self) -> None:
        """See `Store.expect_answers`."""
        note_answer(self._server)

    def read_bytes(self, key: str) -> bytes:
        """One GET; a body that breaks off is asked for again."""

        def request(_: int) -> bytes:
            body: bytes = self._client().get_object(Bucket=self._bucket, Key=self._key(key))["Body"].read()
            return body

        return self._call(request, key)

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """One GET of a range."""
        if num_bytes < 1:
            return b""
        span = f"bytes={start}-{start + num_bytes - 1}"

        def request(_: int) -> bytes:
            try:
                found = self._client().get_object(Bucket=self._bucket, Key=self._key(key), Range=span)
            except ClientError as error:
                if status_code(error) == 416:  # begins behind the end
                    return b""
                raise
            body: bytes = found["Body"].read()
            return body

        return self._call(request, key)

    def write_bytes(self, key: str, data: bytes) -> None:
        """One PUT, which S3 makes visible as a whole."""
        self._call(lambda _: self._client().put_object(Bucket=self._bucket, Key=self._key(key), Body=data), key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """A PUT with `If-None-Match: *`; where the server ignores the condition, a look before it."""
        if not self.enforces_conditional_put() and self.exists(key):
            return False
        return self._call(lambda attempt: self._create(key, data, attempt), key)

    def enforces_conditional_put(self) -> bool:
        """Two conditional puts of one fresh key: an enforcing server refuses the second."""
        return _enforces(self._location.bucket, self._location.path, self._settings)

    def exists(self, key: str) -> bool:
        """One HEAD; a missing bucket is an error, not an absence."""
        try:
            self._call(lambda _: self._client().head_object(Bucket=self._bucket, Key=self._key(key)), key)
        except ObjectMissing:
            self._call(lambda _: self._client().head_bucket(Bucket=self._bucket), "")
            return False
        return True

    def stat(self, key: str) -> Entry:
        """One HEAD; a missing bucket is named as such."""
        try:
            head = self._call(lambda _: self._client().head_object(Bucket=self._bucket, Key=self._key(key)), key)
        except ObjectMissing:
            self._call(lambda _: self._client().head_bucket(Bucket=self._bucket), "")
            raise
        return Entry(key, int(head["ContentLength"]), str(head.get("ETag", "")).strip('"'))

    def list(self, prefix: str = "") -> list[Entry]:
        """All pages of a listing."""
        root = f"{self._location.path}/" if self._location.path else ""
        folder = root + (f"{clean_key(prefix.strip('/'))}/" if prefix.strip("/") else "")
        entries: list[Entry] = []
        more: dict[str, str] = {}
        while True:
            page = self._call(partial(self._page, folder, more), prefix)
            entries.extend(_entries(page, root))
            if not page.get("IsTruncated"):
                return sorted(entries)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """One DELETE, which succeeds whether or not the object exists."""
        self._call(lambda _: self._client().delete_object(Bucket=self._bucket, Key=self._key(key)), key)

    def upload_file(self, source: Path, key: str) -> None:
        """A PUT, or parts in parallel for large files."""
        name = self._key(key)
        self._call(lambda _: self._client().upload_file(str(source), self._bucket, name, Config=_TRANSFER), key)

    def upload_file_if_absent(self, source: Path, key: str, *, takes_source: bool = False) -> bool:
        """A conditional PUT, or parts in parallel and one conditional request that makes them an object."""
        target = self._upload_target(key)
        return self._explained(lambda: upload_if_absent(target, source, self.enforces_conditional_upload), key)

    def enforces_conditional_upload(self) -> bool:
        """Whether the server also refuses to complete an upload in parts under a name that is taken."""
        return self.enforces_conditional_put() and _enforces_parts(
            self._location.bucket, self._location.path, self._settings
        )

    def delete_unfinished(self) -> int:
        """Abort uploads in parts that were never completed, as far as the server tells them."""
        prefix = f"{self._location.path}/" if self._location.path else ""
        target = UploadTarget(self._client(), self._bucket, prefix, self._ask, lambda: False, lambda _: False)
        return self._explained(lambda: abort_unfinished(target), "")

    def download_file(self, key: str, target: Path) -> None:
        """A GET, or ranges in parallel for large objects."""
        name = self._key(key)
        self._call(lambda _: self._client().download_file(self._bucket, name, str(target), Config=_TRANSFER), key)

    @property
    def _bucket(self) -> str:
        return self._location.bucket

    def _key(self, key: str) -> str:
        return f"{self._location.path}/{clean_key(key)}".lstrip("/")

    def _client(self) -> Any:  # noqa: ANN401  # boto3 builds its client classes at run time
        with _CLIENT_LOCK:
            return _client(self._settings)

    def _page(self, folder: str, more: dict[str, str], _: int) -> dict[str, Any]:
        request = {"Bucket": self._bucket, "Prefix": folder, "MaxKeys": _PAGE_SIZE, **more}
        page: dict[str, Any] = self._client().list_objects_v2(**request)
        return page

    def _create(self, key: str, data: bytes, attempt: int) -> bool:
        name = self._key(key)
        try:
            self._client().put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if not is_taken(error):
                raise
            # After a lost answer, what lies there may be our own first attempt.
            return attempt > 0 and self.read_bytes(key) == data
        return True

    def _upload_target(self, key: str) -> UploadTarget:
        def holds(source: Path) -> bool:
            try:
                same_size = self.stat(key).num_bytes == source.stat().st_size
            except ObjectMissing:
                return False
            return same_size and self.sha256(key) == file_sha256(source)

        return UploadTarget(self._client(), self._bucket, self._key(key), self._ask, lambda: self.exists(key), holds)

    def _call(self, request: Callable[[int], Result], key: str) -> Result:
        return self._explained(lambda: self._ask(request), key)

    def _ask(self, request: Callable[[int], Result]) -> Result:
        result = call_with_retries(request, classify, self._policy, has_answered(self._server))
        note_answer(self._server)
        return result

    def _explained(self, work: Callable[[], Result], key: str) -> Result:
        try:
            return work()
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise explain(error, self.describe(key), self._settings) from None
        except OSError as error:  # the local side of an upload or download
            raise file_error(error, "A file") from None

    @property
    def _server(self) -> str:
        return self._settings.endpoint_url or "s3"


def _entries(page: dict[str, Any], root: str) -> list[Entry]:
    return [
        Entry(item["Key"].removeprefix(root), int(item["Size"]), str(item.get("ETag", "")).strip('"'))
        for item in page.get("Contents", [])
        if not item["Key"].endswith("/")  # consoles make these to show empty folders
    ]


@lru_cache(maxsize=8)
def _client(settings: StorageSettings) -> Any:  # noqa: ANN401  # boto3 builds its client classes at run time
    config = Config(max_pool_connections=_MAX_CONNECTIONS, **settings.client_config())
    return boto3.session.Session().client("s3", config=config, **settings.boto3_options())


@lru_cache(maxsize=64)
def _enforces(bucket: str, prefix: str, settings: StorageSettings) -> bool:
    store = S3Store(Location("s3", bucket, prefix), settings)
    key = probe_key()
    store._call(lambda _: store._create(key, b"first", 0), key)
    try:
        return not store._call(lambda _: store._create(key, b"second", 0), key)
    finally:
        store.delete(key)


@lru_cache(maxsize=64)
def _enforces_parts(bucket: str, prefix: str, settings: StorageSettings) -> bool:
    store = S3Store(Location("s3", bucket, prefix), settings)
    key = probe_key()
    store.write_bytes(key, b"first")
    try:
        return store._explained(lambda: refuses_parts(store._upload_target(key)), key)
    finally:
        store.delete(key)
