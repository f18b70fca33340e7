from pathlib import Path

import numpy as np
import pytest

from rssr.errors import RasterError
from rssr.inference import super_resolve_scene
from rssr.raster import Raster, read_raster, write_geotiff


def floating(broken: float, nodata: float | None) -> Raster:
    """Two bands of fractions with three broken values in the second; rasterio writes them as they are."""
    rng = np.random.default_rng(3)
    pixels = rng.random((2, 40, 30)).astype(np.float32)
    mask = np.ones((40, 30), np.bool_)
    mask[:4] = False
    pixels[:, :4] = 0 if nodata is None else nodata
    pixels[1, 31, 7:10] = broken
    held = Raster(np.zeros_like(pixels), valid_mask=mask, nodata=nodata)
    object.__setattr__(held, "pixels", pixels)
    return held


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_broken_numbers_that_are_not_marked_as_missing_are_refused(
    tmp_path: Path, broken: float, nodata: float | None
) -> None:
    write_geotiff(tmp_path / "lr.tif", floating(broken, nodata))
    with pytest.raises(RasterError, match=r"at least 3, the first in band band_2, row 31, column 7 .*nodata"):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2, tile_size=16, halo=2)
    assert [path.name for path in tmp_path.iterdir()] == ["lr.tif"]


def test_declared_missing_numbers_are_holes_but_infinity_is_not(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "lr.tif", floating(np.nan, np.nan))
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2)
    sr = read_raster(tmp_path / "sr.tif")
    assert not sr.valid_mask[62:64, 14:20].any()
    assert sr.valid_mask.sum() == 4 * (36 * 30 - 3)
    write_geotiff(tmp_path / "lr.tif", floating(np.inf, np.nan))
    with pytest.raises(RasterError, match="row 31, column 7"):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "other.tif", "bicubic", 2)
