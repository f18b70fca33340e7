"""A file to S3 under a name that must not be taken: one PUT, or parts that become an object in one request.

boto3's own transfers take no condition. Each request is repeated by itself when it fails, so that one bad answer among
the parts of a large file does not send all of them again.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from pipelines.storage.s3_errors import error_code, is_taken
from rssr.errors import StorageError

Result = TypeVar("Result")

SINGLE_BYTES = 64 * 2**20
"""Up to this size a file is one PUT."""

PART_BYTES = 16 * 2**20
"""Size of a part, as long as no more than 10,000 are needed; S3 wants 5 MiB at least."""

_MAX_PARTS = 10_000
_TELLS_NONE = ("NoSuchUpload", "NotImplemented")  # of servers asked for uploads that were never completed
_NUM_AT_ONCE = 4  # parts that are in memory and under way
_NUM_TRIES = 4  # of a whole upload, where another one of the same object was under way


class _Conflict(Exception):
    """Another upload of the object was being completed: S3 asks to begin anew."""


@dataclass(frozen=True)
class UploadTarget:
    """An object that is to be, and how to get at it.

    Attributes:
        client: boto3's.
        bucket: Of the object.
        name: Of the object in its bucket.
        ask: Runs a request with retries; the request takes the number of the attempt.
        exists: Whether the object is there.
        holds: Whether the object is there and its content that of the file.
    """

    client: Any
    bucket: str
    name: str
    ask: Callable[[Callable[[int], Any]], Any]
    exists: Callable[[], bool]
    holds: Callable[[Path], bool]

    @property
    def place(self) -> dict[str, str]:
        """As boto3 wants it."""
        return {"Bucket": self.bucket, "Key": self.name}


def upload_if_absent(target: UploadTarget, source: Path, is_enforced: Callable[[], bool]) -> bool:
    """Make a file an object unless that exists.

    Args:
        target: The object.
        source: The file.
        is_enforced: Whether the server refuses parts by itself; else it is looked just before the object appears.

    Raises:
        ClientError: As boto3 raises it, also its other errors.
        OSError: The file cannot be read.
        StorageError: Other uploads of the same object were under way all the time.
    """
    if target.exists():
        return False
    if source.stat().st_size <= SINGLE_BYTES:
        created: bool = target.ask(partial(_put, target, source))
        return created
    for _ in range(_NUM_TRIES):
        with suppress(_Conflict):
            return _upload_parts(target, source, is_enforced())
        if target.exists():
            return target.holds(source)
    raise StorageError(
        f"s3://{target.bucket}/{target.name} cannot be written: other uploads of it were under way all the time.",
        "See who else writes there, then run again.",
    )


def refuses_parts(target: UploadTarget) -> bool:
    """Whether the server refuses to complete an upload in parts under the name of the object, which exists."""
    upload_id = target.ask(lambda _: target.client.create_multipart_upload(**target.place))["UploadId"]
    upload = {**target.place, "UploadId": upload_id}
    try:
        etag = target.ask(lambda _: target.client.upload_part(**upload, PartNumber=1, Body=b"part"))["ETag"]
        complete = partial(_complete, target, upload, [{"ETag": etag, "PartNumber": 1}], lambda: False)
        return not target.ask(complete)
    finally:
        _abort(target, upload)


def abort_unfinished(target: UploadTarget) -> int:
    """Have the parts removed of uploads that were never completed.

    Args:
        target: Its name is a prefix here.

    Returns:
        How many uploads there were, as far as the server tells them.
    """
    uploads: list[dict[str, str]] = []
    more: dict[str, str] = {}
    while True:
        page = target.ask(partial(_list_uploads, target, more))
        uploads += [{"Key": item["Key"], "UploadId": item["UploadId"]} for item in page.get("Uploads", [])]
        if not page.get("IsTruncated"):
            break
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    for upload in uploads:
        _abort(target, {"Bucket": target.bucket, **upload})
    return len(uploads)


def _list_uploads(target: UploadTarget, more: dict[str, str], _: int) -> dict[str, Any]:
    try:
        page: dict[str, Any] = target.client.list_multipart_uploads(Bucket=target.bucket, Prefix=target.name, **more)
    except ClientError as error:
        if error_code(error) in _TELLS_NONE:
            return {}
        raise
    return page


def _put(target: UploadTarget, source: Path, attempt: int) -> bool:
    try:
        with source.open("rb") as stream:
            target.client.put_object(**target.place, Body=stream, IfNoneMatch="*")
    except ClientError as error:
        if not is_taken(error):
            raise
        return attempt > 0 and target.holds(source)  # after a lost answer it may be our own
    return True


def _upload_parts(target: UploadTarget, source: Path, is_enforced: bool) -> bool:
    upload_id = target.ask(lambda _: target.client.create_multipart_upload(**target.place))["UploadId"]
    upload = {**target.place, "UploadId": upload_id}
    is_created = False
    try:
        parts = _send_parts(target, source, upload)
        if not is_enforced and target.exists():
            return False
        is_created = bool(target.ask(partial(_complete, target, upload, parts, lambda: target.holds(source))))
        return is_created
    finally:
        if not is_created:
            _abort(target, upload)


def _send_parts(target: UploadTarget, source: Path, upload: dict[str, str]) -> list[dict[str, Any]]:
    size = source.stat().st_size
    part_bytes = max(PART_BYTES, -(-size // _MAX_PARTS))

    def send(number: int) -> dict[str, Any]:
        with source.open("rb") as stream:
            stream.seek((number - 1) * part_bytes)
            data = stream.read(part_bytes)
        answer = target.ask(lambda _: target.client.upload_part(**upload, PartNumber=number, Body=data))
        return {"ETag": answer["ETag"], "PartNumber": number}

    with ThreadPoolExecutor(_NUM_AT_ONCE) as pool:
        return list(pool.map(send, range(1, -(-size // part_bytes) + 1)))


def _complete(
    target: UploadTarget, upload: dict[str, str], parts: list[dict[str, Any]], holds: Callable[[], bool], attempt: int
) -> bool:
    try:
        target.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except ClientError as error:
        if error_code(error) == "ConditionalRequestConflict":
            raise _Conflict from None
        if is_taken(error):
            return attempt > 0 and holds()
        if attempt > 0 and error_code(error) == "NoSuchUpload" and holds():
            return True  # completed by the request whose answer was lost
        raise
    return True


def _abort(target: UploadTarget, upload: dict[str, str]) -> None:
    """Have the parts removed. What cannot be removed now is left to `delete_unfinished`."""
    with suppress(Exception):
        target.client.abort_multipart_upload(**upload)
