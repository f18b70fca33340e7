"""Sentinel-2: products as scenes of reflectance, and the declared stretch to what networks see."""

from rssr.sentinel2.bands import BANDS, band_in_file_name, canonical_band
from rssr.sentinel2.calibration import Calibration
from rssr.sentinel2.declared import Declared, require_bands
from rssr.sentinel2.files import LocalFiles, ProductFiles
from rssr.sentinel2.product import BandFile, Product
from rssr.sentinel2.scene import PixelCounts, Sentinel2Scene, find_product, open_sentinel2
from rssr.stretch import Stretch, StretchConfig

__all__ = [
    "BANDS",
    "BandFile",
    "Calibration",
    "Declared",
    "LocalFiles",
    "PixelCounts",
    "Product",
    "ProductFiles",
    "Sentinel2Scene",
    "Stretch",
    "StretchConfig",
    "band_in_file_name",
    "canonical_band",
    "find_product",
    "open_sentinel2",
    "require_bands",
]
