"""The pages of a TIFF, read from their tags with bounded effort: no pixel, and no library that trusts them."""

import html
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""How TIFF files begin, the last two with places of 64 bits."""

_WIDTH, _HEIGHT, _BITS, _BANDS = 256, 257, 258, 277
_STRIP_ROWS, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323
_LISTS = (273, 279, 324, 325)  # places and sizes of strips and tiles
_PLANES, _PHOTOMETRIC, _METADATA = 284, 262, 42112
_PALETTE = 3
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_PAGES = 64
_MAX_TAGS = 1024
_MAX_VALUES = 4096  # read of one tag
_MAX_BLOCKS = 2**20
_MAX_METADATA_BYTES = 2**20
_OTHER_FILES = ("overview_file", "overviews", "<vrtdataset")  # by which GDAL goes on to further files


class TiffDamaged(Exception):
    """Why a TIFF cannot be read, as the end of a sentence."""


@dataclass(frozen=True)
class TiffPage:
    """What a page says about itself.

    Attributes:
        height: Pixels.
        width: Pixels.
        num_bands: A palette counts as three.
        num_bits: Of the widest value.
        block_bytes: One block, unpacked.
        names_files: Whether its metadata would make GDAL open other files.
    """

    height: int
    width: int
    num_bands: int
    num_bits: int
    block_bytes: int
    names_files: bool


@dataclass(frozen=True)
class _Tag:
    """An entry of a directory.

    Attributes:
        kind: Of its values.
        count: Of its values.
        place: Where they lie.
    """

    kind: int
    count: int
    place: int


class _Tiff:
    """Reads a file as its first bytes say.

    Args:
        stream: The file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        head = _read(stream, 0, 16)
        self._stream = stream
        self._order = "<" if head[:1] == b"I" else ">"
        self._is_big = head[2:3] == b"+" or head[3:4] == b"+"
        self._num_bytes = stream.seek(0, 2)
        if self._is_big and self._unpack("HH", head[4:8]) != (8, 0):
            raise TiffDamaged("its header makes no sense")
        self.first = self._unpack("Q", head[8:16])[0] if self._is_big else self._unpack("I", head[4:8])[0]

    def directory(self, place: int) -> tuple[dict[int, _Tag], int]:
        """The tags of a page, and where the next one lies; 0 for none."""
        count_code, entry, next_code = ("Q", "HHQ8s", "Q") if self._is_big else ("H", "HHI4s", "I")
        count_bytes, entry_bytes = struct.calcsize(f"<{count_code}"), struct.calcsize(f"<{entry}")
        (num_tags,) = self._unpack(count_code, _read(self._stream, place, count_bytes))
        if not 0 < num_tags <= _MAX_TAGS:
            raise TiffDamaged("it has a page without tags, or with too many")
        begin = place + count_bytes
        data = _read(self._stream, begin, num_tags * entry_bytes)
        tags: dict[int, _Tag] = {}
        for number in range(num_tags):
            start = number * entry_bytes
            name, kind, count, held = self._unpack(entry, data[start : start + entry_bytes])
            fits = _SIZES.get(kind, 0) * count <= len(held)
            inline = begin + start + entry_bytes - len(held)
            tags.setdefault(name, _Tag(kind, count, inline if fits else self._unpack(next_code, held)[0]))
        following = _read(self._stream, begin + len(data), struct.calcsize(f"<{next_code}"))
        return tags, self._unpack(next_code, following)[0] if following else 0

    def numbers(self, tag: _Tag | None) -> Sequence[int]:
        """The values of a tag that are whole numbers, the first of many; none where there is no such tag."""
        if tag is None or tag.count == 0:
            return ()
        code = _CODES.get(tag.kind)
        if code is None:
            raise TiffDamaged("a size in it is no whole number")
        count = min(tag.count, _MAX_VALUES)
        return self._unpack(f"{count}{code}", _read(self._stream, tag.place, count * _SIZES[tag.kind]))

    def text(self, tag: _Tag | None) -> bytes:
        """The bytes of a tag, as far as they are read."""
        if tag is None:
            return b""
        if tag.count > _MAX_METADATA_BYTES:
            raise TiffDamaged("its metadata are too long")
        return _read(self._stream, tag.place, tag.count)

    def require_within(self, tag: _Tag) -> None:
        """Make sure that a list as long as this can lie in the file at all: who trusts it makes room for it.

        Raises:
            TiffDamaged: It cannot.
        """
        if tag.place + tag.count * _SIZES.get(tag.kind, 1) > self._num_bytes:
            raise TiffDamaged("a list of its blocks is cut off")

    def _unpack(self, codes: str, data: bytes) -> tuple[Any, ...]:
        try:
            return struct.unpack(self._order + codes, data)
        except struct.error:
            raise TiffDamaged("it is cut off") from None


def read_pages(stream: BinaryIO) -> list[TiffPage]:
    """All pages: the image, and its overviews and masks.

    Args:
        stream: A file that begins with one of `TIFF_SIGNATURES`.

    Raises:
        TiffDamaged: It makes no sense.
    """
    file = _Tiff(stream)
    pages: list[TiffPage] = []
    seen: set[int] = set()
    place = file.first
    while place:
        if place in seen or len(pages) == _MAX_PAGES:
            raise TiffDamaged("its pages go round in a circle, or are too many")
        seen.add(place)
        tags, place = file.directory(place)
        pages.append(_page(file, tags))
    if not pages:
        raise TiffDamaged("it has no page")
    return pages


def _page(file: _Tiff, tags: Mapping[int, _Tag]) -> TiffPage:
    height, width = _one(file, tags, _HEIGHT, 0), _one(file, tags, _WIDTH, 0)
    num_bands = _one(file, tags, _BANDS, 1)
    num_bits = max(file.numbers(tags.get(_BITS)), default=1)
    if not (0 < height < 2**31 and 0 < width < 2**31 and 0 < num_bands < 2**16 and 0 < num_bits <= 128):
        raise TiffDamaged("its size makes no sense")
    is_planar = _one(file, tags, _PLANES, 1) == 2
    if _TILE_WIDTH in tags:
        block = _one(file, tags, _TILE_HEIGHT, 0), _one(file, tags, _TILE_WIDTH, 0)
    else:
        block = min(_one(file, tags, _STRIP_ROWS, height) or height, height), width
    if min(block) < 1:
        raise TiffDamaged("the size of its blocks makes no sense")
    num_blocks = -(-height // block[0]) * -(-width // block[1]) * (num_bands if is_planar else 1)
    lists = [tags[name] for name in _LISTS if name in tags]
    if max([num_blocks, *(tag.count for tag in lists)]) > _MAX_BLOCKS:
        raise TiffDamaged("it has too many blocks")
    for tag in lists:
        file.require_within(tag)
    block_bytes = block[0] * block[1] * (1 if is_planar else num_bands) * -(-num_bits // 8)
    shown_bands = 3 if _one(file, tags, _PHOTOMETRIC, 1) == _PALETTE else num_bands
    metadata = html.unescape(file.text(tags.get(_METADATA)).decode("latin-1")).lower()
    names_files = any(word in metadata for word in _OTHER_FILES)
    return TiffPage(height, width, shown_bands, num_bits, block_bytes, names_files)


def _one(file: _Tiff, tags: Mapping[int, _Tag], name: int, default: int) -> int:
    return next(iter(file.numbers(tags.get(name))), default)


def _read(stream: BinaryIO, start: int, num_bytes: int) -> bytes:
    if start >= 2**63:
        return b""
    stream.seek(start)
    return stream.read(num_bytes)
