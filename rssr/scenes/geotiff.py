"""A scene as a satellite or aerial product: a georeferenced GeoTIFF."""

from pathlib import Path

from affine import Affine

from rssr.raster import Raster, write_geotiff
from rssr.scenes.generate import SCENE_KINDS, generate_scene

_CORNER_M = (500_000.0, 5_200_000.0)  # on the central meridian of its UTM zone, about 47 degrees north


def write_scene_geotiff(
    path: Path | str,
    seed: int,
    height: int,
    width: int,
    gsd_m: float = 1.0,
    crs: str = "EPSG:32632",
) -> None:
    """Write a scene as an 8-bit RGB GeoTIFF; the seed also chooses the kind of scene.

    Args:
        path: The file to appear.
        seed: See `generate_scene`.
        height: Pixels.
        width: Pixels.
        gsd_m: Ground sample distance, metres a pixel.
        crs: A CRS in metres, e.g. a UTM zone.

    Raises:
        ConfigError: A size or gsd_m that is not positive.
        RasterError: The CRS is not understood.
    """
    kind = SCENE_KINDS[seed % len(SCENE_KINDS)]
    pixels = generate_scene(seed, height, width, gsd_m=gsd_m, kind=kind).transpose(2, 0, 1)
    transform = Affine.translation(*_CORNER_M) * Affine.scale(gsd_m, -gsd_m)
    write_geotiff(path, Raster(pixels, transform, crs, band_names=("red", "green", "blue")))
