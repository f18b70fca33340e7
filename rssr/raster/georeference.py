"""Where pixels lie: transforms of enlarged rasters, ground sample distances."""

import math

import rasterio.errors
import rasterio.warp
from affine import Affine
from rasterio.crs import CRS

from rssr.errors import RasterError

_METRES_PER_DEGREE = 111_320.0  # along a meridian, within 0.6 %


def scaled_transform(transform: Affine, lr_size: tuple[int, int], sr_size: tuple[int, int]) -> Affine:
    """Transform of the SR raster: the same ground, cut into `sr_size` pixels along each axis.

    Args:
        transform: Transform of the LR raster.
        lr_size: (H, W) in pixels.
        sr_size: (H, W) in pixels, as actually written: a rounded size has no drift.
    """
    return transform * Affine.scale(lr_size[1] / sr_size[1], lr_size[0] / sr_size[0])


def window_transform(transform: Affine, row: int, column: int) -> Affine:
    """Transform of a part that begins at this pixel."""
    return transform * Affine.translation(column, row)


def ground_sample_distance_m(transform: Affine, crs: str | None, size: tuple[int, int]) -> float | None:
    """Mean pixel side on the ground, metres; None where the CRS is unknown.

    Args:
        transform: The raster's transform.
        crs: As in `Raster.crs`.
        size: (H, W); in degrees the distance is taken at the raster's middle.
    """
    if crs is None:
        return None
    parsed = parse_crs(crs)
    column_step = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
    if parsed.is_geographic:
        _, latitude = transform * (size[1] / 2, size[0] / 2)
        shrink = max(math.cos(math.radians(min(abs(latitude), 90.0))), 1e-6)
        across, along = column_step[0] * _METRES_PER_DEGREE * shrink, column_step[1] * _METRES_PER_DEGREE
    else:
        metres = float(parsed.linear_units_factor[1])
        across, along = column_step[0] * metres, column_step[1] * metres
    return math.sqrt(across * along)


def parse_crs(text: str) -> CRS:
    """GDAL's CRS object of a string.

    Raises:
        RasterError: Where it is not understood.
    """
    try:
        return CRS.from_string(text)
    except rasterio.errors.CRSError as error:
        raise RasterError(f"The CRS {text!r:.80} is not understood: {error}.", "Give e.g. EPSG:32632.") from None


def crs_text(crs: CRS | None) -> str | None:
    """`EPSG:n` where the CRS has a number, else WKT."""
    if not crs:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code is not None else str(crs.to_wkt())


def wkt2_text(crs: str) -> str:
    """A CRS as WKT of 2019, as catalogues want it where it has no number.

    Raises:
        RasterError: Where it is not understood.
    """
    return str(parse_crs(crs).to_wkt(version="WKT2_2019"))
