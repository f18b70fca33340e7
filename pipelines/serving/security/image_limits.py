"""What an image says about itself, read from its header alone, and whether it is within the limits."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.tiff_header import TIFF_SIGNATURES, TiffDamaged, TiffPage, read_pages

ImageKind = Literal["png", "jpeg", "tiff"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_BANDS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers that begin a picture
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without content
_SCAN, _END = 0xDA, 0xD9
_MAX_SEGMENTS = 4096
_MAX_SCANS = 100  # progressive pictures have about ten; each costs a pass over all pixels
_OTHERS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"<VRTDataset": "VRT, which names other files",
    b"%PDF": "PDF",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip",
    b"<svg": "SVG",
    b"{": "JSON",
}
_ARCHIVES = "Whole scenes are for archives: POST /v1/archives with their URI, or with a zip of them."


@dataclass(frozen=True)
class ImageHeader:
    """What an image says about itself.

    Attributes:
        kind: By its content.
        height: Pixels.
        width: Pixels.
        num_bands: With alpha; a palette counts as three.
        num_bits: Of one value.
    """

    kind: ImageKind
    height: int
    width: int
    num_bands: int
    num_bits: int


def check_image(data: bytes | BinaryIO, limits: LimitsConfig) -> ImageHeader:
    """Read an image's header and refuse what is not to be decoded.

    Args:
        data: The file; of a stream, little is read.
        limits: Beyond which it is refused.

    Raises:
        Problem: `unsupported-media-type`, `unreadable-image` or `scene-too-large`.
    """
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    head = _read(stream, 0, 64)
    if head.startswith(_PNG):
        header = _png(stream)
    elif head.startswith(_JPEG):
        header = _jpeg(stream)
    elif head.startswith(TIFF_SIGNATURES):
        header = _tiff(stream, limits)
    else:
        raise _unsupported(head)
    _check_size(header, limits)
    return header


def check_answer(header: ImageHeader, scale: float, limits: LimitsConfig) -> None:
    """Refuse an enlargement that would be too large.

    Args:
        header: Of the image.
        scale: Enlargement of each side.
        limits: Beyond which it is refused.

    Raises:
        Problem: `scene-too-large`.
    """
    num_pixels = header.height * header.width * scale * scale
    if num_pixels > limits.max_sr_pixels:
        raise Problem(
            "scene-too-large",
            f"At scale {scale:g}, {header.height}x{header.width} pixels become {num_pixels:,.0f}, more than the "
            f"{limits.max_sr_pixels:,} that are answered at once.",
            f"Ask for a smaller scale. {_ARCHIVES}",
        )


def _check_size(header: ImageHeader, limits: LimitsConfig) -> None:
    side, num_pixels = max(header.height, header.width), header.height * header.width
    if side > limits.max_side or num_pixels > limits.max_pixels:
        raise Problem(
            "scene-too-large",
            f"The image has {header.height}x{header.width} pixels; up to {limits.max_pixels:,} are answered at once, "
            f"and {limits.max_side:,} a side.",
            _ARCHIVES,
        )
    if header.num_bands > limits.max_bands:
        raise Problem(
            "scene-too-large",
            f"The image has {header.num_bands} bands; up to {limits.max_bands} are answered at once.",
            f"Leave out what the model does not take. {_ARCHIVES}",
        )


def _png(stream: BinaryIO) -> ImageHeader:
    try:
        length, kind, width, height, depth, colour, packing, filtering, interlace = struct.unpack(
            ">I4sIIBBBBB", _read(stream, len(_PNG), 21)
        )
    except struct.error:
        raise _unreadable("its header is cut off") from None
    is_sound = (
        (length, kind) == (13, b"IHDR")
        and depth in _PNG_DEPTHS.get(colour, ())
        and (packing, filtering) == (0, 0)
        and interlace in (0, 1)
        and 0 < width < 2**31
        and 0 < height < 2**31
    )
    if not is_sound:
        raise _unreadable("its header makes no sense")
    return ImageHeader("png", height, width, _PNG_BANDS[colour], depth)


def _jpeg(stream: BinaryIO) -> ImageHeader:
    for marker, start, length in _segments(stream):
        if marker not in _FRAMES:
            continue
        try:
            num_bits, height, width, num_bands = struct.unpack(">BHHB", _read(stream, start, 6))
        except struct.error:
            raise _unreadable("its header is cut off") from None
        if length < 6 + 3 * num_bands or height == 0 or width == 0 or num_bands not in (1, 3, 4):
            raise _unreadable("its header makes no sense")
        _check_scans(stream)
        return ImageHeader("jpeg", height, width, num_bands, num_bits)
    raise _unreadable("it has no header of a picture")


def _segments(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Marker, place of the content and its length, up to the first scan; only heads are read."""
    place = 2
    for _ in range(_MAX_SEGMENTS):
        head = _read(stream, place, 4)
        if len(head) < 4 or head[0] != 0xFF:
            return
        marker = head[1]
        if marker == 0xFF:  # filling
            place += 1
        elif marker in _BARE:
            place += 2
        elif marker in (_SCAN, _END):
            return
        else:
            length = int.from_bytes(head[2:4], "big")
            if length < 2:
                return
            yield marker, place + 4, length - 2
            place += 2 + length


def _check_scans(stream: BinaryIO) -> None:
    """Few bytes can ask for thousands of passes over a large picture."""
    stream.seek(0)
    num_scans, last = 0, b""
    while block := stream.read(2**20):
        num_scans += (last + block).count(b"\xff\xda")
        last = block[-1:]
    if num_scans > _MAX_SCANS:
        raise _unreadable(f"it comes in more than {_MAX_SCANS} scans")


def _tiff(stream: BinaryIO, limits: LimitsConfig) -> ImageHeader:
    try:
        pages = read_pages(stream)
        first = pages[0]
        _check_size(_of_page(first), limits)
        for page in pages:
            _check_blocks(page, limits)
    except TiffDamaged as error:
        raise _unreadable(str(error)) from None
    return _of_page(first)


def _of_page(page: TiffPage) -> ImageHeader:
    return ImageHeader("tiff", page.height, page.width, page.num_bands, page.num_bits)


def _check_blocks(page: TiffPage, limits: LimitsConfig) -> None:
    """Decoders hold whole blocks, and lists of all blocks."""
    if page.block_bytes > limits.max_block_bytes:
        raise Problem(
            "scene-too-large",
            f"One block of the TIFF unpacks to {page.block_bytes:,} bytes; up to {limits.max_block_bytes:,} are read.",
            "Write it with smaller blocks (gdal_translate -co TILED=YES IN.tif OUT.tif).",
        )
    if page.names_files:
        raise _unreadable("it names other files, which are not read")


def _unsupported(head: bytes) -> Problem:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    found = next((name for start, name in _OTHERS.items() if text.startswith(start)), "")
    told = f"The file is {found}." if found else "The file is none of the kinds that are read."
    return Problem("unsupported-media-type", told, "Send PNG, JPEG, TIFF or GeoTIFF.")


def _unreadable(why: str) -> Problem:
    return Problem("unreadable-image", f"The image cannot be read: {why}.", "Write it anew, e.g. with gdal_translate.")


def _read(stream: BinaryIO, start: int, num_bytes: int) -> bytes:
    stream.seek(start)
    return stream.read(num_bytes)
