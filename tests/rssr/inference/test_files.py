from pathlib import Path

import numpy as np
import pytest

from rssr.errors import DataError, RasterError
from rssr.images import decode_image, encode_png
from rssr.inference import super_resolve_scene
from rssr.inference.files import open_scene
from rssr.raster import ByteSource, Raster, read_raster, write_geotiff


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


def source(data: bytes, asked: list[int]) -> ByteSource:
    """Bytes that lie elsewhere; notes how many are asked for."""

    def read(start: int, num_bytes: int) -> bytes:
        asked.append(num_bytes)
        return data[start : start + num_bytes]

    return ByteSource("s3://b/it.tif", len(data), read)


def test_scenes_elsewhere_are_recognised_by_their_content(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "lr.tif", floating(-9999.0, -9999.0))
    with open_scene(source((tmp_path / "lr.tif").read_bytes(), [])) as reader:
        assert np.array_equal(reader.read().pixels, read_raster(tmp_path / "lr.tif").pixels)
    for side in (20, 400):  # smaller and larger than what is fetched at once
        picture = np.random.default_rng(side).integers(0, 256, (side, side, 3)).astype(np.uint8)
        asked: list[int] = []
        with open_scene(source(encode_png(picture), asked)) as reader:
            pixels = reader.read().pixels
        assert np.array_equal(pixels, decode_image(encode_png(picture), "").pixels.transpose(2, 0, 1))
        assert len(asked) == (1 if side == 20 else 2)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.tif cannot be read: No such file"), open_scene(tmp_path / "gone.tif"):
        pass
