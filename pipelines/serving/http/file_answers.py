"""Files out of a store as answers: whole, the part that is asked for, or only what there is to say of them."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from pipelines.serving.archives.api import StoredFile
from pipelines.storage import StorageSettings, Store, open_store

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PIECE_BYTES = 4 * 2**20
_MEDIA_TYPES = {"tif": "image/tiff", "png": "image/png", "json": "application/json"}


def file_answer(request: Request, file: StoredFile, settings: StorageSettings | None) -> Response:
    """The answer to a request for a file; its digest is its tag.

    Args:
        request: Its headers may ask for a part, or tell what its caller has; `state.is_head` asks for no content.
        file: Where it lies.
        settings: How to reach S3; None reads the environment.
    """
    tag = f'"{file.sha256}"'
    name = quote(file.key.rpartition("/")[2])
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
    }
    if tag in (known.strip() for known in request.headers.get("If-None-Match", "").split(",")):
        return Response(status_code=304, headers=headers)
    is_head = bool(getattr(request.state, "is_head", False))
    span = None if is_head else _span(request, tag, file.num_bytes)  # only GET knows parts
    if span is not None and span[0] >= span[1]:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{file.num_bytes}"})
    start, end = span or (0, file.num_bytes)
    headers["Content-Length"] = str(end - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.num_bytes}"
    media_type = _MEDIA_TYPES.get(file.key.rpartition(".")[2].lower(), "application/octet-stream")
    if is_head:
        return Response(None, 200, headers, media_type)  # nothing is read
    store = open_store(f"{file.location}/", settings)
    return StreamingResponse(_pieces(store, file.key, start, end), 200 if span is None else 206, headers, media_type)


def _span(request: Request, tag: str, num_bytes: int) -> tuple[int, int] | None:
    """First byte and one past the last that are asked for; None for all. Several parts at once are not served."""
    asked = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if asked is None or request.headers.get("If-Range", tag) != tag or not (asked[1] or asked[2]):
        return None
    if not asked[1]:
        return max(num_bytes - int(asked[2]), 0), num_bytes if int(asked[2]) else 0
    end = min(int(asked[2]) + 1, num_bytes) if asked[2] else num_bytes
    if asked[2] and int(asked[2]) < int(asked[1]):
        return None  # no range at all, and to be ignored as such
    return int(asked[1]), end


async def _pieces(store: Store, key: str, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        piece = await asyncio.to_thread(store.read_range, key, start, min(_PIECE_BYTES, end - start))
        if not piece:
            raise ConnectionError(f"{key} ends before its size")  # the body breaks off, and the caller sees that
        start += len(piece)
        yield piece
