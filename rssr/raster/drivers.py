"""What the GDAL that is installed here can do."""

from dataclasses import dataclass

import rasterio
from rasterio.env import Env
from rasterio.errors import RasterioError

from rssr.errors import RasterError
from rssr.raster.georeference import parse_crs

_JPEG_2000 = ("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2Lura", "JP2MrSID")


@dataclass(frozen=True)
class GdalAbilities:
    """Formats that GDAL reads and writes.

    Attributes:
        version: Of GDAL.
        drivers: Short names of all of them, e.g. `GTiff`.
        jpeg_2000: The one for JPEG 2000; empty where there is none.
    """

    version: str
    drivers: frozenset[str]
    jpeg_2000: str


def gdal_abilities() -> GdalAbilities:
    """Ask GDAL; `GDAL_SKIP` in the environment takes drivers away."""
    with Env() as env:
        drivers = frozenset(env.drivers())
    return GdalAbilities(rasterio.__gdal_version__, drivers, next((name for name in _JPEG_2000 if name in drivers), ""))


def require_projections() -> str:
    """Look two CRSs up in PROJ's database and convert a point; returns what was found.

    Raises:
        RasterError: The database is missing, or another PROJ's.
    """
    from rasterio.warp import transform

    try:
        geographic, utm = parse_crs("EPSG:4326"), parse_crs("EPSG:32632")
        (east,), (north,) = transform(geographic, utm, [9.0], [47.0])
    except (RasterError, RasterioError) as error:
        reason = error.problem if isinstance(error, RasterError) else str(error)
        raise RasterError(
            f"PROJ's database cannot be used: {reason}",
            "Unset PROJ_DATA and PROJ_LIB, which lead to another installation's; else reinstall rasterio.",
        ) from None
    if abs(east - 500_000) > 1 or abs(north - 5_205_000) > 5_000:
        raise RasterError(
            f"PROJ puts 9° E, 47° N at {east:.0f} m, {north:.0f} m of UTM zone 32.", "Reinstall rasterio."
        )
    return f"PROJ {rasterio.__proj_version__}, its database is its own"
