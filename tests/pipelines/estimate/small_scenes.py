"""Small scenes in files, and plans to run them."""

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pipelines.estimate.config import PlanConfig
from rssr.raster import Raster, write_geotiff

BANDS = ("B02", "B03", "B04", "B08")


def pixels(size: tuple[int, int], num_bands: int = 4) -> NDArray[np.uint16]:
    """Fields, hedges and noise."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    noise = np.random.default_rng(0).normal(0, 30, size)
    one = 2000 + 600 * np.sin(rows / 9) * np.cos(columns / 13) + noise
    return np.stack([one * (1 + 0.1 * band) for band in range(num_bands)]).astype(np.uint16)


def write_scene(path: Path, size: tuple[int, int] = (150, 130), missing_rows: int = 0, num_bands: int = 4) -> Path:
    """A GeoTIFF of reflectance, its first rows without data."""
    mask = np.ones(size, np.bool_)
    mask[:missing_rows] = False
    place = Affine(10, 0, 600_000, 0, -10, 5_000_000)
    path.parent.mkdir(parents=True, exist_ok=True)
    names = BANDS[:num_bands]
    write_geotiff(path, Raster(pixels(size, num_bands), place, "EPSG:32632", mask, names, nodata=0))
    return path


def small_config(folder: Path, **values: Any) -> PlanConfig:
    """Scenes below `in`, products below `out`; small tiles, little patience."""
    plan = {"probe_bytes": 100_000, "patience_s": 5, **values.pop("plan", {})}
    given = {"input": str(folder / "in"), "output": str(folder / "out"), "scale": 2, **values}
    return PlanConfig.model_validate({"tiling": {"tile_size": 64, "halo": 8, "tiles_a_side": 2}, **given, "plan": plan})
