"""A computed window as bytes: a header that says where each strip lies, then the strips.

Strips are float32, little-endian, [C, h, w], each with a checksum of its own, so that any of them can be read by itself
and trusted. Layout: magic, length and checksum of the header's text, the text (JSON), zeros up to a multiple of 4096,
strips.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

HEAD_BYTES = 4096
"""Read first; most headers are not longer."""

_MAGIC = b"RSSRWIN1"
_PREFIX = struct.Struct("<8sII")
_STORED = np.dtype("<f4")
_LONGEST_HEADER = 2**24


@dataclass(frozen=True)
class StripPlace:
    """Where a strip lies.

    Attributes:
        start: First byte of the object.
        shape: (C, h, w).
        checksum: CRC-32 of its bytes.
    """

    start: int
    shape: tuple[int, int, int]
    checksum: int

    @property
    def num_bytes(self) -> int:
        """Its length."""
        channels, height, width = self.shape
        return channels * height * width * _STORED.itemsize


@dataclass(frozen=True)
class WindowHeader:
    """What a packed window says of itself.

    Attributes:
        meta: What was noted with it.
        strips: From top to bottom.
        num_bytes: Of the whole object.
    """

    meta: Mapping[str, Any]
    strips: tuple[StripPlace, ...]
    num_bytes: int


def pack_window(strips: Sequence[FloatArray], meta: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    """A window as chunks of bytes; those of the strips are views of them, not copies.

    Args:
        strips: Float32 [C, h, w] each, from top to bottom.
        meta: What is noted with it, e.g. counts: values that JSON can hold.
    """
    stored = [np.ascontiguousarray(strip, _STORED) for strip in strips]
    text = json.dumps(
        {
            "meta": dict(meta),
            "shapes": [strip.shape for strip in stored],
            "checksums": [zlib.crc32(_bytes_of(strip)) for strip in stored],
        },
        sort_keys=True,
    ).encode()
    head = _PREFIX.pack(_MAGIC, len(text), zlib.crc32(text)) + text
    yield head + bytes(-len(head) % HEAD_BYTES)
    for strip in stored:
        yield _bytes_of(strip)


def header_bytes(head: bytes) -> int:
    """How many bytes of an object its header takes, given the first `HEAD_BYTES`.

    Raises:
        ValueError: It is no packed window, or its first bytes are damaged.
    """
    if len(head) < _PREFIX.size:
        raise ValueError("it ends within its header")
    magic, length, _ = _PREFIX.unpack_from(head)
    if magic != _MAGIC or length > _LONGEST_HEADER:
        raise ValueError("it does not begin as a window does")
    return _padded(_PREFIX.size + int(length))


def read_header(head: bytes) -> WindowHeader:
    """The header, given as many bytes as `header_bytes` says.

    Raises:
        ValueError: It is damaged.
    """
    start = header_bytes(head)
    _, length, checksum = _PREFIX.unpack_from(head)
    text = head[_PREFIX.size : _PREFIX.size + length]
    if len(text) != length or zlib.crc32(text) != checksum:
        raise ValueError("its header is damaged")
    values = json.loads(text)
    places = []
    for shape, strip_checksum in zip(values["shapes"], values["checksums"], strict=True):
        place = StripPlace(start, (shape[0], shape[1], shape[2]), strip_checksum)
        places.append(place)
        start += place.num_bytes
    return WindowHeader(values["meta"], tuple(places), start)


def read_strip(place: StripPlace, data: bytes) -> FloatArray:
    """A strip, float32 [C, h, w], that must not be written to: it is a view of the data.

    Raises:
        ValueError: The data are not those that were packed.
    """
    if len(data) != place.num_bytes:
        raise ValueError(f"it ends {place.num_bytes - len(data):,} bytes before its end")
    if zlib.crc32(data) != place.checksum:
        raise ValueError("its content is not what was written")
    return np.frombuffer(data, _STORED).reshape(place.shape).astype(np.float32, copy=False)


def _bytes_of(strip: FloatArray) -> memoryview:
    return strip.reshape(-1).view(np.uint8).data


def _padded(num_bytes: int) -> int:
    return -(-num_bytes // HEAD_BYTES) * HEAD_BYTES
