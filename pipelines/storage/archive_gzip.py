"""Read inside a gzip file without unpacking all of it each time.

One pass notes the state of the decompressor at regular places; a later read starts from the last place before it.
"""

import zlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipelines.storage.archive_members import damaged

_GZIP = 16 + zlib.MAX_WBITS
_CHUNK_BYTES = 2**20  # fed to the decompressor at once
_NUM_PLACES = 1024  # at most about so many; each keeps 40 kB
_LEAST_SPACING = 2 * 2**20  # unpacked bytes between them


@dataclass(frozen=True, slots=True)
class Place:
    """A state to start from.

    Attributes:
        unpacked: Position in the content.
        packed: Position in the file.
        state: The decompressor there; a copy is used, never this one.
    """

    unpacked: int
    packed: int
    state: Any = field(repr=False)  # zlib's decompressor has no public type


class GzipContent:
    """The content of a gzip file, read forward once and then anywhere.

    Args:
        read: Reads the file at a position.
        num_packed: Size of the file.
        archive: Names it in errors.
    """

    def __init__(self, read: Callable[[int, int], bytes], num_packed: int, archive: str) -> None:
        self._read = read
        self._num_packed = num_packed
        self._archive = archive
        self._places: list[Place] = []

    def forward(self, window_bytes: int) -> "GzipStream":
        """A stream from the beginning that leaves places behind."""
        spacing = max(_LEAST_SPACING, self._num_packed // _NUM_PLACES)
        self._places = []
        start = Place(0, 0, zlib.decompressobj(_GZIP))
        return GzipStream(self._fetcher(window_bytes), start, self._archive, (self._places, spacing))

    def read(self, position: int, num_bytes: int) -> bytes:
        """A part of what the forward stream has gone through.

        Raises:
            StorageError: The file has changed or is damaged.
        """
        number = bisect_right(self._places, position, key=lambda place: place.unpacked) - 1
        place = self._places[number]
        after = bisect_right(self._places, position + num_bytes, key=lambda place: place.unpacked)
        end = self._places[after].packed if after < len(self._places) else place.packed + num_bytes + _CHUNK_BYTES
        stream = GzipStream(self._fetcher(max(end - place.packed, _CHUNK_BYTES)), place, self._archive)
        stream.skip(position - place.unpacked)
        data = stream.read(num_bytes)
        if len(data) < num_bytes:
            raise damaged(self._archive, "it is cut off")
        return data

    def _fetcher(self, window_bytes: int) -> Callable[[int], bytes]:
        """Small chunks out of large ranges, one range at a time."""
        start, window = 0, b""

        def fetch(position: int) -> bytes:
            nonlocal start, window
            if not start <= position < start + len(window):
                start, window = position, self._read(position, min(window_bytes, self._num_packed - position))
            return window[position - start : position - start + _CHUNK_BYTES]

        return fetch


class GzipStream:
    """Unpacks forward.

    Args:
        fetch: The next packed bytes at a position; none at the end.
        start: Where to begin.
        archive: Names it in errors.
        record: Where to leave places, and how far apart; None leaves none.
    """

    def __init__(
        self,
        fetch: Callable[[int], bytes],
        start: Place,
        archive: str,
        record: tuple[list[Place], int] | None = None,
    ) -> None:
        self._fetch = fetch
        self._archive = archive
        self._record = record
        self._state = start.state.copy()
        self._packed = start.packed
        self._unpacked = start.unpacked
        self._ready = b""

    def read(self, num_bytes: int) -> bytes:
        """The next bytes, fewer at the end."""
        parts: list[bytes] = []
        while num_bytes > 0 and (part := self._next(num_bytes)):
            parts.append(part)
            num_bytes -= len(part)
        return b"".join(parts)

    def skip(self, num_bytes: int) -> None:
        """Unpack and drop; stops at the end."""
        while num_bytes > 0 and (part := self._next(min(num_bytes, _CHUNK_BYTES))):
            num_bytes -= len(part)

    def num_packed(self) -> int:
        """Bytes of the file gone through so far."""
        return self._packed

    def _next(self, most: int) -> bytes:
        """Some unpacked bytes, at most so many; none at the end of the file."""
        while True:
            if not self._state.eof and self._record is not None:
                self._leave_place(*self._record)
            chunk = self._ready or self._fetch(self._packed)
            if self._state.eof:
                if not chunk.strip(b"\0"):
                    return b""  # padding
                self._state = zlib.decompressobj(_GZIP)  # files packed in parts are several one after another
            data = self._unpack(chunk, most)
            if not data and not chunk:
                raise damaged(self._archive, "it is cut off")
            if data:
                self._unpacked += len(data)
                return data

    def _unpack(self, chunk: bytes, most: int) -> bytes:
        try:
            data: bytes = self._state.decompress(chunk, most)
        except zlib.error:
            raise damaged(self._archive, "it is no whole gzip file") from None
        self._ready = self._state.unconsumed_tail or self._state.unused_data
        self._packed += len(chunk) - len(self._ready)
        return data

    def _leave_place(self, places: list[Place], spacing: int) -> None:
        if not places or self._unpacked - places[-1].unpacked >= spacing:
            places.append(Place(self._unpacked, self._packed, self._state.copy()))
