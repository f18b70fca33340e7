"""Georeferenced rasters: values checked at birth, and the only door to rasterio."""

from rssr.raster.access import GdalAccess
from rssr.raster.byte_source import ByteSource
from rssr.raster.cog import CogOptions, CogWriter, create_cog
from rssr.raster.footprint import Footprint, footprint
from rssr.raster.georeference import ground_sample_distance_m, scaled_transform, window_transform, wkt2_text
from rssr.raster.raster import Mask, Pixels, Radiometry, Raster
from rssr.raster.read import RasterInfo, RasterReader, Window, open_raster, read_raster
from rssr.raster.write import RasterWriter, create_geotiff, describe, write_geotiff

__all__ = [
    "ByteSource",
    "CogOptions",
    "CogWriter",
    "Footprint",
    "GdalAccess",
    "Mask",
    "Pixels",
    "Radiometry",
    "Raster",
    "RasterInfo",
    "RasterReader",
    "RasterWriter",
    "Window",
    "create_cog",
    "create_geotiff",
    "describe",
    "footprint",
    "ground_sample_distance_m",
    "open_raster",
    "read_raster",
    "scaled_transform",
    "window_transform",
    "wkt2_text",
    "write_geotiff",
]
