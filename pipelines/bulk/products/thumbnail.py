"""A small picture of a product, from its overviews."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rssr.images import encode_png
from rssr.raster import Radiometry, RasterInfo, open_raster
from rssr.sentinel2 import canonical_band

_COLOURS = ("B04", "B03", "B02")  # red, green, blue by whatever name
_PERCENTILES = (2.0, 98.0)  # of the valid pixels: what becomes black and white
_GREY = 0.5  # of an image without any contrast


def thumbnail_png(cog_path: Path, longest_side: int) -> bytes:
    """A product as a small PNG, transparent where it has no data; the same file gives the same bytes.

    Shown are red, green and blue as far as the bands are named so, else the first three or the only one. Pictures of
    8 bits stay as they are; of other types the range that holds 96 % of the valid pixels is shown, one for all three
    colours, and of bands that are no colours one for each.

    Args:
        cog_path: A GeoTIFF; it should have overviews, since otherwise all of it is read.
        longest_side: Pixels; smaller products are not enlarged.

    Raises:
        RasterError: The file cannot be read.
    """
    with open_raster(cog_path) as reader:
        info = reader.info
        bands, are_colours = _shown(info.band_names)
        pixels, mask = reader.read_reduced(bands, _reduced(info.size, longest_side))
    levels = pixels if info.dtype == "uint8" else _stretched(_physical(pixels, info, bands), mask, are_colours)
    picture = [np.where(mask, band, np.uint8(0)) for band in levels]
    if not mask.all():
        picture.append(np.where(mask, np.uint8(255), np.uint8(0)))
    return encode_png(picture[0] if len(picture) == 1 else np.ascontiguousarray(np.stack(picture, axis=-1)))


def _shown(names: Sequence[str]) -> tuple[list[int], bool]:
    """Which bands are shown as red, green and blue or as grey, and whether they have these colours."""
    known = [canonical_band(name) for name in names]
    if all(colour in known for colour in _COLOURS):
        return [known.index(colour) for colour in _COLOURS], True
    return ([0, 1, 2] if len(names) >= 3 else [0]), False


def _reduced(size: tuple[int, int], longest_side: int) -> tuple[int, int]:
    shrink = min(longest_side / max(size), 1.0)
    return max(round(size[0] * shrink), 1), max(round(size[1] * shrink), 1)


def _physical(pixels: NDArray[np.number], info: RasterInfo, bands: Sequence[int]) -> NDArray[np.float64]:
    """Bands may differ in scale and offset."""
    told = info.radiometry if info.radiometry.declared else Radiometry.undeclared(info.num_bands)
    scales, offsets = (np.array([values[band] for band in bands]) for values in (told.scales, told.offsets))
    physical: NDArray[np.float64] = pixels * scales[:, None, None] + offsets[:, None, None]
    return physical


def _stretched(values: NDArray[np.float64], mask: NDArray[np.bool_], together: bool) -> NDArray[np.uint8]:
    """Values [C, H, W] as grey levels."""
    if not mask.any():
        return np.zeros(values.shape, np.uint8)
    valid = values[:, mask]
    low, high = np.percentile(valid, _PERCENTILES, axis=None if together else 1)
    low, high = (np.broadcast_to(end, len(values))[:, None, None] for end in (low, high))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(high > low, (values - low) / (high - low), _GREY)
    levels: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(shares), 0, 1) * 255).astype(np.uint8)
    return levels
