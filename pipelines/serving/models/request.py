"""One image to super-resolve, and what came of it; both travel between processes."""

from dataclasses import dataclass
from typing import Literal

ImageFormat = Literal["png", "jpeg", "tiff"]

MEDIA_TYPES: dict[ImageFormat, str] = {"png": "image/png", "jpeg": "image/jpeg", "tiff": "image/tiff"}
SUFFIXES: dict[ImageFormat, str] = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif"}


@dataclass(frozen=True)
class SrRequest:
    """An image to super-resolve.

    Attributes:
        image: The file, recognised by its content.
        name: What messages call it.
        scale: Enlargement of each side.
        deadline: When nobody waits for it any more, seconds since the epoch.
        format: Of the result; None is the image's own family.
        uncertainty: Whether the result also tells how far it may be off.
        seed: For models that draw noise.
        request_id: Of the HTTP request.
        traceparent: W3C trace context; empty for none.
    """

    image: bytes
    name: str
    scale: float
    deadline: float
    format: ImageFormat | None = None
    uncertainty: bool = False
    seed: int = 0
    request_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True)
class SrResult:
    """A super-resolved image.

    Attributes:
        data: The file.
        media_type: Of the file.
        file_name: That suits it.
        version: Of the model that made it, as `/v1/models` tells it.
        seam_score: How much tiles show; 1 where they do not.
        megapixels: Of the image.
        area_km2: On the ground, where the image knows its place; else 0.
        num_tiles: That it was made of.
        num_splits: How often memory was short.
        model_s: In the network, seconds.
        replica_s: From the replica's beginning to its end with it, seconds.
    """

    data: bytes
    media_type: str
    file_name: str
    version: str
    seam_score: float
    megapixels: float
    area_km2: float
    num_tiles: int
    num_splits: int
    model_s: float
    replica_s: float
