"""Scenes that are unusual, from file to file: what is allowed comes out right, the rest is refused with a reason."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from rssr.errors import ImageError, ModelError, RasterError
from rssr.inference import SceneReport, super_resolve_scene
from rssr.raster import Radiometry, Raster, read_raster, write_geotiff
from rssr.resampling import upsample_bicubic
from rssr.scenes import generate_scene
from tests.rssr.inference.test_scene import CubicResolver, doubtful

PLACE = Affine(10, 0, 6e5, 0, -10, 5e6)
ROTATED = Affine.translation(600_000, 5_200_000) @ Affine.rotation(17) @ Affine.scale(10, -10)
TILES = {"tile_size": 24, "halo": 4}


def scene(dtype: str = "uint8", size: tuple[int, int] = (50, 60), **more: Any) -> Raster:
    pixels = generate_scene(3, *size).transpose(2, 0, 1)
    values = pixels.astype(np.float32) / 255 if dtype == "float32" else pixels.astype(dtype)
    names = {"transform": PLACE, "crs": "EPSG:32632", "band_names": ("red", "green", "blue"), **more}
    return Raster(values, **names)


def run(folder: Path, lr: Raster, model: Any = "bicubic", **options: Any) -> tuple[SceneReport, Raster, Raster]:
    """Report, product and its error on the LR grid, of a run with everything switched on."""
    write_geotiff(folder / "lr.tif", lr)
    how = {**TILES, "project": True, "consistency_path": folder / "error.tif", "overwrite": True, **options}
    report = super_resolve_scene(folder / "lr.tif", folder / "sr.tif", model, 4, **how)
    return report, read_raster(folder / "sr.tif"), read_raster(folder / "error.tif")


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (2, 3), (23, 24)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_scenes_of_one_pixel_or_line_and_those_smaller_than_a_tile(
    tmp_path: Path, size: tuple[int, int], dtype: str
) -> None:
    report, sr, error = run(tmp_path, scene(dtype, size), color_match="scene")
    assert sr.size == (4 * size[0], 4 * size[1])
    assert (report.valid_share, report.seam_score) == (1, 1)
    assert error.size == size
    assert error.valid_mask.all()
    assert error.pixels.max() <= (0.05 if dtype == "float32" else 12)


@pytest.mark.parametrize("nodata", [None, float("nan"), -9999.0])
def test_one_missing_pixel_is_one_hole(tmp_path: Path, nodata: float | None) -> None:
    lr = scene("float32", nodata=nodata)
    clean = run(tmp_path, lr)[1]
    lr.valid_mask[30, 23] = False
    lr.pixels[:, 30, 23] = 1e30 if nodata is None else nodata
    report, sr, error = run(tmp_path, lr)
    hole = np.zeros(sr.size, np.bool_)
    hole[120:124, 92:96] = True
    np.testing.assert_array_equal(sr.valid_mask, ~hole)
    assert report.valid_share == 1 - 16 / hole.size
    changed = np.argwhere(~hole & (np.abs(sr.pixels - clean.pixels) > 1e-3).any(axis=0)) / 4
    assert np.abs(changed - (30, 23)).max() < 8
    assert np.abs(sr.pixels[:, sr.valid_mask]).max() < 1.5
    assert not error.valid_mask[30, 23]
    assert error.valid_mask[:20].all()


@pytest.mark.parametrize("matching", ["none", "scene", "local"])
@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", None), ("uint16", 0.0), ("int16", -32768.0), ("float32", float("nan"))]
)
def test_a_scene_without_any_data_is_a_product_without_any(
    tmp_path: Path, dtype: str, nodata: float | None, matching: str
) -> None:
    lr = scene(dtype, nodata=nodata)
    lr.valid_mask[:] = False
    lr.pixels[:] = 7 if nodata is None else nodata
    report, sr, error = run(tmp_path, lr, color_match=matching)
    assert (report.valid_share, report.seam_score) == (0, 1)
    assert report.num_skipped_tiles == report.num_tiles > 1
    assert not sr.valid_mask.any()
    assert not error.valid_mask.any()
    assert sr.nodata == nodata or (np.isnan(sr.nodata or 0) and np.isnan(nodata or 0))


def test_a_scene_without_any_data_is_never_shown_to_the_model_and_is_no_picture(tmp_path: Path) -> None:
    lr = scene()
    lr.valid_mask[:] = False
    model = doubtful()
    doubt = tmp_path / "doubt.tif"
    run(tmp_path, lr, model, uncertainty_path=doubt)
    assert isinstance(model.resolver, CubicResolver)
    assert model.resolver.num_seen == 0
    assert not read_raster(doubt).valid_mask.any()
    with pytest.raises(ImageError, match="holes"):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.png", "bicubic", 4)


def test_a_float_scene_that_is_not_a_number_anywhere_is_refused_unless_declared(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "lr.tif", "w", driver="GTiff", height=40, width=30, count=3, dtype="float32", crs="EPSG:32632"
    ) as file:
        file.write(np.full((3, 40, 30), np.nan, np.float32))
    with pytest.raises(RasterError, match=r"NaN or infinite .*first in band .*row 0, column 0"):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 4, **TILES)  # type: ignore[arg-type]  # plain numbers
    with rasterio.open(tmp_path / "lr.tif", "r+") as file:
        file.nodata = float("nan")
    report = super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 4, **TILES)  # type: ignore[arg-type]  # plain numbers
    assert report.valid_share == 0


def test_a_scene_without_crs_is_allowed_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _, sr, _ = run(tmp_path, scene(crs=None))
        assert "lr.tif has no CRS" in caplog.text
        caplog.clear()
        run(tmp_path, scene())
    assert "CRS" not in caplog.text
    assert sr.crs is None
    assert sr.transform == PLACE @ Affine.scale(1 / 4)


def test_a_rotated_scene_lies_where_it_lay(tmp_path: Path) -> None:
    _, sr, error = run(tmp_path, scene(transform=ROTATED))
    for row, column in ((0, 0), (0, 240), (200, 240)):
        assert sr.transform @ (column, row) == pytest.approx(ROTATED @ (column / 4, row / 4))
    assert error.transform.almost_equals(ROTATED, 1e-6)
    assert sr.crs == "EPSG:32632"


def test_negative_numbers_stay_negative(tmp_path: Path) -> None:
    """Elevations, or reflectance with an offset: on both sides of 0, with a nodata number far below."""
    lr = scene("int16", nodata=-9999.0)
    lr.pixels[:] = lr.pixels * 8 - 1000
    lr.valid_mask[5:9, 5:9] = False
    lr.pixels[:, ~lr.valid_mask] = -9999
    _, sr, _ = run(tmp_path, lr, project=False)
    assert sr.pixels.dtype == np.int16
    np.testing.assert_array_equal(sr.valid_mask, lr.valid_mask.repeat(4, 0).repeat(4, 1))
    far = (slice(None), slice(60, None), slice(60, None))
    expected = upsample_bicubic(torch.from_numpy(lr.pixels.astype(np.float32))[None], sr.size)[0].numpy()
    assert np.abs(sr.pixels.astype(float) - expected)[far].max() <= 1
    assert (sr.pixels[far] < 0).mean() > 0.2
    assert (sr.pixels[far] > 0).mean() > 0.1
    assert sr.pixels[:, sr.valid_mask].min() > -2000


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_a_truncated_scene_is_refused_and_leaves_nothing(tmp_path: Path, share: float, compress: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8)
    with rasterio.open(
        tmp_path / "lr.tif", "w", driver="GTiff", height=300, width=300, count=3, dtype="uint8", compress=compress
    ) as file:
        file.write(pixels)
    data = (tmp_path / "lr.tif").read_bytes()
    (tmp_path / "lr.tif").write_bytes(data[: int(share * len(data))])
    with pytest.raises(RasterError, match=r"lr\.tif cannot be (read|opened)"):
        super_resolve_scene(
            tmp_path / "lr.tif",
            tmp_path / "sr.tif",
            "bicubic",
            2,
            tile_size=100,
            halo=8,
            consistency_path=tmp_path / "error.tif",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["lr.tif"]


@pytest.mark.parametrize("num_bands", [1, 13])
def test_other_numbers_of_bands_go_by_the_card(tmp_path: Path, num_bands: int) -> None:
    """Sentinel-2's 13 bands have the three that the model takes; one band has not."""
    names = tuple(f"B{number:02d}" for number in range(1, num_bands + 1))
    pixels = np.random.default_rng(0).integers(0, 255, (num_bands, 40, 30)).astype(np.uint8)
    lr = Raster(pixels, PLACE, "EPSG:32632", band_names=names, radiometry=Radiometry.undeclared(num_bands))
    if num_bands == 1:
        with pytest.raises(ModelError, match=r"takes 3 bands .*has 1"):
            run(tmp_path, lr, doubtful())
        assert [path.name for path in tmp_path.iterdir()] == ["lr.tif"]
        return
    sr = run(tmp_path, lr, doubtful())[1]
    assert sr.band_names == ("B04", "B03", "B02")
    everything = run(tmp_path, lr)[1]
    assert everything.band_names == names
