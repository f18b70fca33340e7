"""What a service makes of one image."""

import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rssr.client.errors import ServiceError
from rssr.client.transport import Answer
from rssr.publish import write_aside

_ZIP = "application/zip"
_LAYER, _PICTURE, _ABOUT = "uncertainty.tif", "uncertainty.png", "about.json"
_FILE_NAME = re.compile(r'filename="([^"\\/]+)"')
_DURATION = re.compile(r"(\w+)\s*;\s*dur=([0-9.]+)")
_MEDIA_TYPES = {".tif": "image/tiff", ".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Uncertainty:
    """How far each pixel may be off.

    Attributes:
        content: A GeoTIFF, float32, in the units that the image is stored in.
        picture: A PNG to look at, as large as the SR image.
        about: `unit`, `low` and `high` of the picture's colours, and more.
    """

    content: bytes
    picture: bytes
    about: dict[str, Any]

    def to_array(self) -> NDArray[Any]:
        """float32 [H, W, bands]."""
        return _pixels(self.content, "uncertainty")

    def save(self, path: str | Path) -> None:
        """Write the GeoTIFF."""
        _write(Path(path), self.content)


@dataclass(frozen=True)
class SuperResolved:
    """An SR image, as the service sent it.

    Attributes:
        content: The file.
        media_type: `image/png`, `image/jpeg` or `image/tiff`.
        file_name: What the service would call it.
        model: Name of the model.
        model_version: Its version, e.g. `models:/ldcsr/3`.
        seam_score: How much tiles show, 1 where they do not; None where it was not told.
        timings_s: Seconds of each part of the work, by name: `model`, `queue`.
        request_id: To tell the operator if something is wrong with it.
        uncertainty: Where it was asked for.
    """

    content: bytes
    media_type: str
    file_name: str
    model: str
    model_version: str
    seam_score: float | None
    timings_s: dict[str, float]
    request_id: str
    uncertainty: Uncertainty | None = None

    def to_array(self) -> NDArray[Any]:
        """Pixels [H, W, bands] in the type of the file, uint8 for PNG and JPEG; gray ones [H, W, 1]."""
        return _pixels(self.content, self.file_name)

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            StorageError: It cannot be written.
        """
        _write(Path(path), self.content)


def read_result(answer: Answer) -> SuperResolved:
    """The image, and its uncertainty where the answer holds both."""
    headers = answer.headers
    content, uncertainty = answer.content, None
    media_type = headers.get_content_type()
    named = _FILE_NAME.search(headers.get("Content-Disposition", ""))
    file_name = named[1] if named else "sr"
    if media_type == _ZIP:
        file_name, content, uncertainty = _unpack(answer.content)
        media_type = _MEDIA_TYPES.get(Path(file_name).suffix, "application/octet-stream")
    seams = headers.get("X-Rssr-Seam-Score")
    return SuperResolved(
        content,
        media_type,
        file_name,
        headers.get("X-Rssr-Model", ""),
        headers.get("X-Rssr-Model-Version", ""),
        float(seams) if seams else None,
        {name: float(ms) / 1e3 for name, ms in _DURATION.findall(headers.get("Server-Timing", ""))},
        headers.get("X-Request-Id", ""),
        uncertainty,
    )


def _unpack(content: bytes) -> tuple[str, bytes, Uncertainty]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            name = next(name for name in members.namelist() if name.startswith("sr."))
            layer = Uncertainty(members.read(_LAYER), members.read(_PICTURE), json.loads(members.read(_ABOUT)))
            return name, members.read(name), layer
    except (zipfile.BadZipFile, KeyError, StopIteration, ValueError) as error:
        raise ServiceError(f"The answer does not hold image and uncertainty: {error}.", status=200) from None


def _pixels(content: bytes, name: str) -> NDArray[Any]:
    from rssr.images import is_raster

    if is_raster(content):
        from rssr.raster import open_raster

        with open_raster(content, name=name) as reader:
            return np.ascontiguousarray(np.moveaxis(reader.read().pixels, 0, -1))
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _write(path: Path, content: bytes) -> None:
    with write_aside(path) as aside:
        aside.write_bytes(content)
