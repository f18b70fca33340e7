"""Bodies and forms, streamed to a file under limits; the file is gone when the request is."""

import asyncio
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from starlette.types import Receive

from pipelines.serving.http.form import Form, boundary_of
from pipelines.serving.http.guard import body_too_large
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig

log = logging.getLogger(__name__)

_PREFIX = "rssr-upload-"
_NO_ROOM_S = "60"


@dataclass(frozen=True)
class Upload:
    """What a request brought.

    Attributes:
        path: The file; others' names for it never become part of this.
        num_bytes: Its size.
        sha256: Its digest, hexadecimal.
        media_type: Of the file, as the request says, in small letters without parameters; empty where it does not.
        file_name: As the request says, for people only.
        fields: Of a form: texts by name.
    """

    path: Path
    num_bytes: int
    sha256: str
    media_type: str = ""
    file_name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def received(
    request: Request,
    limits: LimitsConfig,
    *,
    part: str = "image",
    fields: Collection[str] = (),
    max_bytes: int | None = None,
) -> AsyncIterator[Upload]:
    """Take a file from a request: its body, or one part of a form.

    Args:
        request: Nothing of its body has been read.
        limits: How much it may bring.
        part: The form's part that is the file.
        fields: Names of the form's other parts.
        max_bytes: Of the file; None is `limits.max_body_bytes`.

    Yields:
        The upload; its file may be moved away, and else is removed.

    Raises:
        Problem: The body is too large, cut off, empty, or no such form; or there is no room for it.
    """
    path = await asyncio.to_thread(_new_file, limits)
    try:
        yield await _receive(request, path, limits, part, fields, max_bytes or limits.max_body_bytes)
    finally:
        path.unlink(missing_ok=True)


def forget_leftovers(limits: LimitsConfig) -> int:
    """Remove files of requests that a killed process was reading; returns how many there were.

    Args:
        limits: Where such files lie, and how long one can be in use.
    """
    longest_s = 2 * limits.upload_timeout_s
    num_removed = 0
    for path in _scratch(limits).glob(f"{_PREFIX}*"):
        try:
            if path.stat().st_mtime < time.time() - longest_s:
                path.unlink()
                num_removed += 1
        except OSError:
            continue  # another process was faster, or it is somebody else's
    return num_removed


class _File:
    """Counts and digests what is written."""

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self.num_bytes = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Add to the file."""
        self.num_bytes += len(data)
        if self.num_bytes > self._max_bytes:
            raise body_too_large(self._max_bytes)
        self.digest.update(data)
        self._stream.write(data)


async def _receive(
    request: Request, path: Path, limits: LimitsConfig, part: str, fields: Collection[str], max_bytes: int
) -> Upload:
    content_type = request.headers.get("content-type", "")
    boundary = boundary_of(content_type)
    with path.open("wb") as stream:
        file = _File(stream, max_bytes)
        form = Form(boundary, part, fields, limits.max_field_bytes, file.write) if boundary else None
        await _pour(request.receive, form.feed if form else file.write)
        if form:
            form.finish()
    if file.num_bytes == 0:
        raise Problem("invalid-request", "The request brings an empty file.", "Send the file as body, or in a form.")
    media_type = form.media_type if form else content_type.partition(";")[0].strip().lower()
    told = (form.file_name, form.texts) if form else ("", {})
    return Upload(path, file.num_bytes, file.digest.hexdigest(), media_type, *told)


async def _pour(receive: Receive, take: Callable[[bytes], None]) -> None:
    """Hand on the body as it comes; disks that are slow hold up this request only."""
    is_whole = False
    while not is_whole:
        message = await receive()
        if message["type"] != "http.request":
            raise Problem("invalid-request", "The body is cut off.")
        if body := message.get("body", b""):
            try:
                await asyncio.to_thread(take, body)
            except OSError as error:
                log.error("A body cannot be kept: %s", error.strerror)
                raise Problem(
                    "busy", "The service has no room for the body at present.", headers={"Retry-After": _NO_ROOM_S}
                ) from None
        is_whole = not message.get("more_body", False)


def _new_file(limits: LimitsConfig) -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=_scratch(limits))
    except OSError as error:
        log.error("There is no place for bodies: %s", error)
        raise Problem("busy", "The service has no room for the body at present.") from None
    os.close(handle)
    return Path(name)


def _scratch(limits: LimitsConfig) -> Path:
    return Path(limits.scratch_folder or tempfile.gettempdir())
