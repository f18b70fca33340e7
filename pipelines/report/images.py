"""Pictures as text, so that a page needs no other files."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_LARGEST_SIDE = 2048
_LARGEST_PNG_BYTES = 1_000_000
_JPEG_QUALITY = 95


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


def embed_image(pixels: Pixels) -> EmbeddedImage:
    """Encode a picture, losslessly where that is small enough.

    Args:
        pixels: uint8 [H, W, 3] or [H, W]. Sides beyond 2048 are reduced: a page is for looking, the product is
            the file.

    Raises:
        ValueError: Another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"expected uint8 [H, W, 3] or [H, W], got {pixels.dtype} {list(pixels.shape)}")
    if 0 in pixels.shape:
        raise ValueError(f"an image of shape {list(pixels.shape)} has no pixels")
    height, width = pixels.shape[:2]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
    data, kind = _encode(picture, "PNG", optimize=True), "png"
    if len(data) > _LARGEST_PNG_BYTES:
        data, kind = _encode(picture, "JPEG", quality=_JPEG_QUALITY, subsampling=0), "jpeg"
    return EmbeddedImage(f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}", width, height)


def _encode(picture: Image.Image, kind: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()
