from pathlib import Path

import numpy as np
import pytest

from rssr.errors import RasterError
from rssr.raster import ground_sample_distance_m, read_raster
from rssr.scenes import SCENE_KINDS, generate_scene, write_scene_geotiff


def test_a_scene_knows_where_it_lies(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "a.tif", 4, 40, 60, gsd_m=0.5, crs="EPSG:32633")
    raster = read_raster(tmp_path / "a.tif")
    assert raster.crs == "EPSG:32633"
    assert raster.band_names == ("red", "green", "blue")
    assert ground_sample_distance_m(raster.transform, raster.crs, raster.size) == pytest.approx(0.5)
    np.testing.assert_array_equal(
        raster.pixels.transpose(1, 2, 0), generate_scene(4, 40, 60, gsd_m=0.5, kind=SCENE_KINDS[4])
    )


def test_an_unknown_crs_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="nowhere"):
        write_scene_geotiff(tmp_path / "a.tif", 1, 8, 8, crs="nowhere")
    assert not list(tmp_path.iterdir())
