from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from rssr.errors import RasterError, StorageError
from rssr.raster import Radiometry, Raster, Window, create_geotiff, describe, open_raster, read_raster, write_geotiff
from rssr.raster.write import with_nodata
from tests.sentinel2_products import imagined_numbers, write_jp2

UTM = Affine.translation(600_000, 5_200_000) * Affine.scale(10, -10)


def sample(
    dtype: str = "uint16", bands: int = 3, size: tuple[int, int] = (37, 53), nodata: float | None = None
) -> Raster:
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 100, (bands, *size)).astype(dtype)
    mask = np.ones(size, np.bool_)
    mask[3:9, 4:20] = False
    names = ("red", "green", "blue", "nir")[:bands]
    return Raster(pixels, UTM, "EPSG:32632", mask, names, Radiometry((1e-4,) * bands, (-0.1,) * bands), nodata)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 0.0, 5.0])
def test_what_is_written_is_read_back(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    raster = sample(dtype, nodata=nodata)
    write_geotiff(tmp_path / "a.tif", raster)
    back = read_raster(tmp_path / "a.tif")
    np.testing.assert_array_equal(back.valid_mask, raster.valid_mask)
    expected = with_nodata(raster.pixels, raster.valid_mask, nodata)
    np.testing.assert_array_equal(back.pixels, expected)
    assert back.pixels.dtype == raster.pixels.dtype
    assert back.transform == raster.transform
    assert (back.crs, back.band_names, back.radiometry) == (raster.crs, raster.band_names, raster.radiometry)
    assert back.nodata == nodata


def test_nan_can_stand_for_no_data(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", sample("float32", nodata=float("nan")))
    back = read_raster(tmp_path / "a.tif")
    np.testing.assert_array_equal(back.valid_mask, sample().valid_mask)
    assert np.isnan(back.pixels[:, ~back.valid_mask]).all()


def test_nan_pixels_of_a_file_become_invalid(tmp_path: Path) -> None:
    pixels = np.ones((2, 4, 4), np.float32)
    pixels[1, 2, 3] = np.nan
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", height=4, width=4, count=2, dtype="float32") as file:
        file.write(pixels)
    back = read_raster(tmp_path / "a.tif")
    assert np.argwhere(~back.valid_mask).tolist() == [[2, 3]]


@settings(deadline=None)
@given(
    nodata=st.sampled_from([0.0, 1.0, 254.0, 255.0]),
    pixels=st.lists(st.sampled_from([0, 1, 2, 253, 254, 255]), min_size=6, max_size=6),
)
def test_valid_values_never_equal_nodata_in_a_file(nodata: float, pixels: list[int]) -> None:
    values = np.array(pixels, np.uint8).reshape(1, 2, 3)
    mask = np.array([[True, True, False], [True, True, True]])
    filled = with_nodata(values, mask, nodata)
    assert (filled[0][mask] != nodata).all()
    assert (filled[0][~mask] == nodata).all()
    assert np.abs(filled.astype(int) - values)[0][mask].max() <= 1


def test_a_window_equals_the_part_of_the_whole(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", sample())
    whole, part = read_raster(tmp_path / "a.tif"), read_raster(tmp_path / "a.tif", Window(2, 7, 11, 13))
    np.testing.assert_array_equal(part.pixels, whole.pixels[:, 2:13, 7:20])
    np.testing.assert_array_equal(part.valid_mask, whole.valid_mask[2:13, 7:20])
    assert part.transform * (0, 0) == pytest.approx(whole.transform * (7, 2))


@pytest.mark.parametrize("window", [Window(-1, 0, 2, 2), Window(36, 0, 2, 2), Window(0, 0, 0, 5), Window(0, 50, 3, 9)])
def test_windows_outside_are_refused(tmp_path: Path, window: Window) -> None:
    write_geotiff(tmp_path / "a.tif", sample())
    with pytest.raises(RasterError, match="leaves"):
        read_raster(tmp_path / "a.tif", window)


def test_rows_written_one_by_one_make_the_same_file(tmp_path: Path) -> None:
    raster = sample(size=(600, 40))
    write_geotiff(tmp_path / "whole.tif", raster)
    with create_geotiff(tmp_path / "rows.tif", describe(raster)) as writer:
        for row in range(0, 600, 130):
            writer.write_rows(raster.pixels[:, row : row + 130], raster.valid_mask[row : row + 130])
    whole, rows = read_raster(tmp_path / "whole.tif"), read_raster(tmp_path / "rows.tif")
    np.testing.assert_array_equal(whole.pixels, rows.pixels)
    np.testing.assert_array_equal(whole.valid_mask, rows.valid_mask)


def test_files_are_tiled_and_compressed(tmp_path: Path) -> None:
    flat = Raster(np.zeros((1, 2000, 2000), np.uint8), UTM, "EPSG:32632")
    write_geotiff(tmp_path / "a.tif", flat, tags={"MODEL": "bicubic"})
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.block_shapes == [(512, 512)]
        assert file.compression.name == "deflate"
        assert file.tags()["MODEL"] == "bicubic"
    assert (tmp_path / "a.tif").stat().st_size < 200_000


def test_a_failure_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), create_geotiff(path, describe(sample())) as writer:
        writer.write_rows(sample().pixels[:, :5], sample().valid_mask[:5])
        raise ZeroDivisionError
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
    assert path.read_bytes() == b"old"


def test_missing_rows_are_noticed_and_leave_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(RasterError, match="5 of 37 rows"),
        create_geotiff(tmp_path / "a.tif", describe(sample())) as writer,
    ):
        writer.write_rows(sample().pixels[:, :5], sample().valid_mask[:5])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        write_geotiff(tmp_path / "file" / "a.tif", sample())


def test_alpha_band_becomes_the_mask() -> None:
    pixels = np.full((4, 5, 6), 7, np.uint8)
    pixels[3] = 255
    pixels[3, 0, :2] = (0, 100)
    raster = read_raster(tiff_bytes(pixels, colorinterp=("red", "green", "blue", "alpha")))
    assert raster.band_names == ("red", "green", "blue")
    assert np.argwhere(~raster.valid_mask).tolist() == [[0, 0], [0, 1]]


def test_palette_becomes_red_green_blue() -> None:
    raster = read_raster(
        tiff_bytes(np.array([[[0, 1, 2]]], np.uint8), palette={0: (1, 2, 3), 1: (9, 8, 7), 2: (4, 4, 4)})
    )
    assert raster.band_names == ("red", "green", "blue")
    np.testing.assert_array_equal(raster.pixels[:, 0], [[1, 9, 4], [2, 8, 4], [3, 7, 4]])


def test_nodata_that_no_pixel_can_hold_is_dropped() -> None:
    data = tiff_bytes(np.ones((1, 3, 3), np.uint8), nodata=250)
    assert read_raster(data).nodata == 250
    assert data.count(b"250\x00") == 1
    raster = read_raster(data.replace(b"250\x00", b"-99\x00"))
    assert raster.nodata is None
    assert raster.valid_mask.all()


def test_complex_numbers_are_refused_as_radar() -> None:
    with pytest.raises(RasterError, match="radar"):
        read_raster(tiff_bytes(np.zeros((1, 3, 3), np.complex64)))


@pytest.mark.parametrize("data", [b"", b"II*\x00", b"not a raster at all", b"II*\x00" + b"\xff" * 60])
def test_bytes_that_are_no_raster_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(RasterError, match="upload-7"):
        read_raster(data, name="upload-7")


def test_truncated_pixels_are_refused() -> None:
    data = tiff_bytes(np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8))
    with pytest.raises(RasterError, match="scene-1"):
        read_raster(data[: len(data) // 2], name="scene-1")


VRT = (
    '<VRTDataset rasterXSize="160" rasterYSize="192"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
    '<SourceFilename relativeToVRT="1">a.jp2</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
    "</VRTRasterBand></VRTDataset>"
)


@pytest.mark.parametrize("name", ["a.jp2", "a.vrt"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.98])
def test_a_truncated_jpeg_2000_file_is_refused_however_often_and_wherever_it_is_read(
    tmp_path: Path, share: float, name: str
) -> None:
    """GDAL's own threads would lose the error, and give pixels that nobody wrote."""
    numbers = imagined_numbers()["B03"]
    write_jp2(tmp_path / "a.jp2", numbers)
    (tmp_path / "a.vrt").write_text(VRT)
    data = (tmp_path / "a.jp2").read_bytes()
    (tmp_path / "a.jp2").write_bytes(data[: int(len(data) * share)])
    for _ in range(5):
        num_refused = 0
        with open_raster(tmp_path / name) as reader:
            for _ in range(2):
                with pytest.raises(RasterError, match=f"{name} cannot be read"):
                    reader.read()
            for row, column in np.ndindex(4, 4):
                window = Window(row * 48, column * 40, 48, 40)
                try:
                    part = reader.read(window).pixels[0]
                except RasterError:
                    num_refused += 1
                else:
                    expected = numbers[window.row : window.row + 48, window.column : window.column + 40]
                    np.testing.assert_array_equal(part, expected)
        assert num_refused > 3


@pytest.mark.parametrize("compress", ["none", "lzw", "deflate"])
@pytest.mark.parametrize("tiled", [True, False])
def test_a_truncated_geotiff_is_refused_where_it_ends(tmp_path: Path, compress: str, tiled: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 300, 300)).astype(np.uint8)
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64} if tiled else {"blockysize": 16}
    profile = {"driver": "GTiff", "height": 300, "width": 300, "count": 2, "dtype": "uint8", "compress": compress}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **blocks) as dataset:
        dataset.write(pixels)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) * 9 // 10])
    for _ in range(5):
        with open_raster(tmp_path / "a.tif") as reader, pytest.raises(RasterError, match=r"a\.tif cannot be read"):
            reader.read(Window(200, 200, 100, 100))


def test_pixels_are_counted_before_they_are_read() -> None:
    data = tiff_bytes(np.zeros((1, 20, 30), np.uint8))
    with pytest.raises(RasterError, match="20x30"):
        read_raster(data, max_pixels=599)
    assert read_raster(data, max_pixels=600).size == (20, 30)


def test_absurd_numbers_of_bands_are_refused_at_once() -> None:
    with pytest.raises(RasterError, match="1500 bands"):
        read_raster(tiff_bytes(np.zeros((1500, 1, 1), np.uint8)))


def test_bytes_cannot_name_other_files(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "secret.tif", sample())
    virtual = (
        '<VRTDataset rasterXSize="53" rasterYSize="37"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path}/secret.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(RasterError, match="cannot be opened"):
        read_raster(virtual.encode())


def test_info_is_known_without_reading_pixels(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", sample())
    with open_raster(tmp_path / "a.tif") as reader:
        assert reader.info.size == (37, 53)
        assert reader.info.dtype == "uint16"
        assert reader.info.num_bands == 3
        assert reader.info.radiometry.offsets == (-0.1, -0.1, -0.1)


def tiff_bytes(
    pixels: np.ndarray,
    colorinterp: tuple[str, ...] = (),
    palette: dict[int, tuple[int, int, int]] | None = None,
    nodata: float | None = None,
) -> bytes:
    count, height, width = pixels.shape
    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": pixels.dtype.name}
        if palette is not None:
            profile["photometric"] = "palette"
        with memory.open(**profile, nodata=nodata) as file:
            if colorinterp:
                file.colorinterp = [ColorInterp[name] for name in colorinterp]
            if palette is not None:
                file.write_colormap(1, palette)
            file.write(pixels)
        return bytes(memory.read())
