"""Pictures as text, so that a page needs no other files."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_LARGEST_PNG_BYTES = 1_000_000
_NUM_TRIED = 8  # pictures from which the size of all is told
_BASE64 = 4 / 3


@dataclass(frozen=True)
class Encoding:
    """How pictures are embedded.

    Attributes:
        largest_side: Larger ones are reduced to it, pixels.
        jpeg_quality: Of JPEG, with colours at full resolution; None is lossless.
    """

    largest_side: int
    jpeg_quality: int | None = None

    @property
    def words(self) -> str:
        """What it does to pictures; empty where nothing."""
        if self.jpeg_quality is None:
            return ""
        return f"JPEG of quality {self.jpeg_quality}, larger sides reduced to {self.largest_side:,} pixels"


# A page is for looking, the product is the file.
LOSSLESS = Encoding(2048)
_FALLBACK = Encoding(2048, 95)
_ENCODINGS = (
    LOSSLESS,
    Encoding(2048, 95),
    Encoding(1024, 92),
    Encoding(768, 90),
    Encoding(512, 90),
    Encoding(384, 85),
    Encoding(256, 80),
)


@dataclass(frozen=True)
class EmbeddedImage:
    """A picture ready for a template.

    Args:
        uri: `data:` URI.
        width: Of the picture as given, pixels.
        height: Of the picture as given, pixels.
    """

    uri: str
    width: int
    height: int


def embed_image(pixels: Pixels, encoding: Encoding | None = None) -> EmbeddedImage:
    """Encode a picture.

    Args:
        pixels: uint8 [H, W, 3] or [H, W].
        encoding: How; None is lossless where that is small enough. Sides beyond 2048 are reduced then.

    Raises:
        ValueError: Another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"expected uint8 [H, W, 3] or [H, W], got {pixels.dtype} {list(pixels.shape)}")
    if 0 in pixels.shape:
        raise ValueError(f"an image of shape {list(pixels.shape)} has no pixels")
    height, width = pixels.shape[:2]
    data, kind = _encode(pixels, encoding or LOSSLESS)
    if encoding is None and len(data) > _LARGEST_PNG_BYTES:
        data, kind = _encode(pixels, _FALLBACK)
    return EmbeddedImage(f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}", width, height)


def encoding_within(pictures: Sequence[Pixels], max_bytes: float) -> Encoding:
    """The most faithful encoding with which pictures take about so many bytes of the page together.

    All get the same, so that none of them looks worse than others for that. Their size is told from a few of them.

    Args:
        pictures: uint8 [H, W, 3] or [H, W].
        max_bytes: Of the page; where even the smallest encoding takes more, that is returned.
    """
    if not pictures:
        return LOSSLESS
    chosen = [pictures[number] for number in np.linspace(0, len(pictures) - 1, _NUM_TRIED).round().astype(int)]
    share = sum(picture.size for picture in pictures) / max(sum(picture.size for picture in chosen), 1)
    for encoding in _ENCODINGS[:-1]:
        if sum(len(_encode(picture, encoding)[0]) for picture in chosen) * share * _BASE64 <= max_bytes:
            return encoding
    return _ENCODINGS[-1]


def _encode(pixels: Pixels, encoding: Encoding) -> tuple[bytes, str]:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((encoding.largest_side, encoding.largest_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if encoding.jpeg_quality is None:
        picture.save(buffer, format="PNG", compress_level=6)
        return buffer.getvalue(), "png"
    picture.save(buffer, format="JPEG", quality=encoding.jpeg_quality, subsampling=0)
    return buffer.getvalue(), "jpeg"
