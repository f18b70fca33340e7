"""An uncertainty beside its image: both in one file, and a picture of it for people."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rssr.images import encode_png
from rssr.raster import open_raster

_PERCENTILES = (2.0, 98.0)  # of the deviations: the ends of the colours
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # of zip's calendar: the same content gives the same bytes
# Dark blue over violet and orange to light yellow: even steps of brightness, for the colour-blind and in print.
_COLOURS = np.array(
    [(13, 8, 65), (84, 15, 109), (156, 41, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)],
    np.float64,
)


@dataclass(frozen=True)
class UncertaintyPicture:
    """A picture of an uncertainty.

    Attributes:
        png: RGBA, of the image's size; transparent where there is no data.
        low: What the darkest colour stands for, stored units.
        high: What the brightest stands for.
    """

    png: bytes
    low: float
    high: float


def uncertainty_picture(path: Path) -> UncertaintyPicture:
    """Colours for an uncertainty: the mean over its bands, from the 2nd to the 98th percentile.

    Args:
        path: GeoTIFF with a deviation for each pixel and band; NaN, or masked, where there is no data.

    Raises:
        RasterError: The file cannot be read.
    """
    with open_raster(path) as reader:
        raster = reader.read()
    values = raster.pixels.astype(np.float64).mean(axis=0)
    valid = raster.valid_mask & np.isfinite(values)
    low, high = np.percentile(values[valid], _PERCENTILES) if valid.any() else (0.0, 0.0)
    shares = np.clip((np.where(valid, values, low) - low) / ((high - low) or 1.0), 0, 1)
    picture = np.concatenate([_coloured(shares), np.where(valid, 255, 0)[..., None].astype(np.uint8)], axis=-1)
    return UncertaintyPicture(encode_png(np.ascontiguousarray(picture)), float(low), float(high))


def zipped(members: Mapping[str, bytes], about: Mapping[str, Any]) -> bytes:
    """Files in a zip archive, stored as they are, with `about.json` at the end.

    Args:
        members: Content by name.
        about: What is told of them.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**members, "about.json": json.dumps(about).encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, _BEGINNING), data)
    return buffer.getvalue()


def _coloured(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shares [H, W] from 0 to 1 as colours [H, W, 3]."""
    stops = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(shares, stops, _COLOURS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
