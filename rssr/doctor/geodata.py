"""GDAL's drivers and PROJ's database."""

from rssr.doctor.finding import DoctorOptions, Finding, failed, ok, warning

_REINSTALL = "Look at GDAL_SKIP and GDAL_DRIVER_PATH in the environment; else reinstall rasterio from its own wheel."


def check_gdal(options: DoctorOptions) -> Finding:
    """Drivers for scenes (GeoTIFF, JPEG 2000), mosaics (VRT) and products (COG)."""
    from rssr.raster.drivers import gdal_abilities

    gdal = gdal_abilities()
    missing = [name for name in ("GTiff", "COG", "VRT") if name not in gdal.drivers]
    if missing:
        return failed("gdal", f"GDAL {gdal.version} has no driver {' and no '.join(missing)}", _REINSTALL)
    if not gdal.jpeg_2000:
        return warning(
            "gdal",
            f"GDAL {gdal.version} reads and writes GeoTIFF and COG, but no JPEG 2000, as Sentinel-2's products are",
            _REINSTALL,
        )
    return ok("gdal", f"GDAL {gdal.version} with GTiff, COG, VRT, {gdal.jpeg_2000}")


def check_projections(options: DoctorOptions) -> Finding:
    """PROJ finds its own database: another installation's is the usual trouble."""
    from rssr.raster.drivers import require_projections

    return ok("projections", require_projections())
