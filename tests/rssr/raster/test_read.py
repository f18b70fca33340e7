from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from rssr.errors import RasterError
from rssr.raster import ByteSource, Raster, create_cog, describe, open_raster


def written(path: Path, raster: Raster) -> Path:
    with create_cog(path, describe(raster)) as writer:
        writer.write_rows(raster.pixels, raster.valid_mask)
    return path


@pytest.mark.parametrize("nodata", [None, 0.0])
def test_reduced_reading_gives_means_of_what_is_valid(tmp_path: Path, nodata: float | None) -> None:
    rows, columns = np.mgrid[:1200, :1600]
    pixels = np.stack([100 + rows // 8, 200 + columns // 8]).astype(np.uint16)
    mask = (rows < 600) | (columns > 399)
    raster = Raster(pixels, Affine.identity(), None, mask, ("a", "b"), nodata=nodata)
    with open_raster(written(tmp_path / "a.tif", raster)) as reader:
        means, valid = reader.read_reduced([1, 0], (150, 200))
    assert means.shape == (2, 150, 200) and means.dtype == np.uint16
    np.testing.assert_array_equal(valid, mask[::8, ::8])
    assert np.abs(means[0][valid].astype(float) - pixels[1, ::8, ::8][valid]).max() <= 1
    assert np.abs(means[1][valid].astype(float) - pixels[0, ::8, ::8][valid]).max() <= 1


def test_reduced_reading_leaves_the_full_size_alone(tmp_path: Path) -> None:
    """The file ends before the blocks of the full size; its overviews are enough."""
    raster = Raster(np.random.default_rng(0).integers(1, 255, (1, 2048, 2048), dtype=np.uint8))
    path = written(tmp_path / "a.tif", raster)
    with rasterio.open(path) as file:
        first = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1))
    with path.open("r+b") as stream:
        stream.truncate(first)
    with open_raster(path) as reader:
        with pytest.raises(RasterError):
            reader.read()
        means, valid = reader.read_reduced([0], (256, 256))
    assert valid.all() and abs(float(means.mean()) - 128) < 2


def test_overviews_in_other_files_are_never_followed(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "other.tif", "w", driver="GTiff", width=32, height=32, count=1, dtype="uint8"
    ) as other:
        other.write(np.full((1, 32, 32), 99, np.uint8))
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8") as image:
        image.write(np.full((1, 64, 64), 7, np.uint8))
        image.update_tags(ns="OVERVIEWS", overview_FILE=str(tmp_path / "other.tif"))
    data = (tmp_path / "a.tif").read_bytes()
    for source in (
        tmp_path / "a.tif",
        data,
        ByteSource("a", len(data), lambda start, size: data[start : start + size]),
    ):
        with pytest.raises(RasterError, match="another file"), open_raster(source) as reader:
            reader.read_reduced([0], (32, 32))
