import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate

from rssr.errors import RasterError, StorageError
from rssr.raster import ByteSource, CogOptions, Radiometry, Raster, create_cog, describe, open_raster, read_raster
from rssr.raster.write import with_nodata

PLACE = Affine(2.5, 0, 600_000, 0, -2.5, 5_200_000)
ROTATED = Affine.translation(600_000, 5_200_000) @ Affine.rotation(17) @ Affine.scale(10, -10)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def sample(
    dtype: str = "uint16",
    bands: int = 3,
    size: tuple[int, int] = (1100, 700),
    nodata: float | None = None,
    holes: bool = True,
) -> Raster:
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 100, (bands, *size)).astype(dtype)
    mask = np.ones(size, np.bool_)
    if holes:
        mask[3:90, 4:201] = False
        mask[40:45, :] = False
    names = ("red", "green", "blue", "nir")[:bands]
    return Raster(pixels, PLACE, "EPSG:32632", mask, names, Radiometry((1e-4,) * bands, (-0.1,) * bands), nodata)


def written(path: Path, raster: Raster, num_rows: int = 130, **more: Any) -> Path:
    with create_cog(path, describe(raster), **more) as writer:
        for row in range(0, raster.size[0], num_rows):
            part = slice(row, row + num_rows)
            writer.write_rows(raster.pixels[:, part], raster.valid_mask[part])
    return path


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nodata", [None, 0.0, 5.0])
def test_what_is_written_is_read_back_and_is_a_cog(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    raster = sample(dtype, nodata=nodata)
    back = read_raster(written(tmp_path / "a.tif", raster))
    np.testing.assert_array_equal(back.valid_mask, raster.valid_mask)
    expected = with_nodata(raster.pixels, raster.valid_mask, nodata)
    np.testing.assert_array_equal(back.pixels, expected)
    assert back.pixels.dtype == raster.pixels.dtype
    assert (back.transform, back.crs, back.band_names) == (raster.transform, raster.crs, raster.band_names)
    assert (back.radiometry, back.nodata) == (raster.radiometry, nodata)
    assert cog_validate(str(tmp_path / "a.tif"), strict=True, quiet=True) == (True, [], [])
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_nan_can_stand_for_no_data(tmp_path: Path) -> None:
    raster = sample("float32", nodata=float("nan"))
    raster.pixels[:, ~raster.valid_mask] = np.nan
    back = read_raster(written(tmp_path / "a.tif", raster))
    np.testing.assert_array_equal(back.valid_mask, raster.valid_mask)
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as file:
        assert np.isnan(file.read(1)).mean() == pytest.approx(np.mean(~raster.valid_mask), abs=0.01)


@pytest.mark.parametrize("nodata", [None, 0.0])
@pytest.mark.parametrize("size", [(1100, 700), (1101, 703), (513, 512), (1024, 1024)])
def test_overviews_are_means_of_what_is_valid(tmp_path: Path, nodata: float | None, size: tuple[int, int]) -> None:
    raster = sample("uint16", size=size, nodata=nodata)
    path = written(tmp_path / "a.tif", raster, num_rows=37)
    with rasterio.open(path) as file:
        assert file.block_shapes == [(512, 512) if size[1] != 512 else (256, 256)] * 3
        assert file.overviews(1) == ([2] if max(size) <= 1024 else [2, 4])
    with rasterio.open(path, overview_level=0) as file:
        pixels, mask = file.read(), file.dataset_mask() > 0
    even = tuple(side // 2 * 2 for side in size)
    valid = raster.valid_mask[: even[0], : even[1]].reshape(even[0] // 2, 2, even[1] // 2, 2)
    np.testing.assert_array_equal(mask[: even[0] // 2, : even[1] // 2], valid[:, 0, :, 0])
    values = raster.pixels[:, : even[0], : even[1]].reshape(3, even[0] // 2, 2, even[1] // 2, 2).astype(float)
    with np.errstate(invalid="ignore"):
        means = (values * valid).sum(axis=(2, 4)) / valid.sum(axis=(1, 3))
    difference = (pixels[:, : even[0] // 2, : even[1] // 2] - means)[:, valid[:, 0, :, 0]]
    assert np.abs(difference).max() <= 0.5


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(1, 1300),
    width=st.integers(1, 700),
    num_rows=st.integers(1, 700),
    has_mask=st.booleans(),
    options=st.sampled_from([CogOptions(), CogOptions("deflate", 6), CogOptions("zstd", 9, num_threads=1)]),
)
def test_any_size_written_in_any_portions_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    num_rows: int,
    has_mask: bool,
    options: CogOptions,
) -> None:
    rng = np.random.default_rng(height * width)
    pixels = rng.integers(0, 255, (2, height, width)).astype(np.int16)
    mask = rng.random((height, width)) < 0.9 if has_mask else np.ones((height, width), np.bool_)
    path = written(
        tmp_path_factory.mktemp("cog") / "a.tif", Raster(pixels, PLACE, None, mask), num_rows, options=options
    )
    back = read_raster(path)
    np.testing.assert_array_equal(back.pixels[:, mask], pixels[:, mask])
    np.testing.assert_array_equal(back.valid_mask, mask)


@pytest.mark.parametrize(("compression", "level"), [("zstd", 1), ("zstd", 9), ("deflate", 6)])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_number_of_threads_changes_no_byte(tmp_path: Path, compression: Any, level: int, dtype: str) -> None:
    raster = sample(dtype, size=(1700, 1300))
    files = [
        written(tmp_path / f"{threads}.tif", raster, options=CogOptions(compression, level, threads)).read_bytes()
        for threads in (1, 2, 7, 0)
    ]
    assert files == files[:1] * 4


def test_a_complete_raster_has_no_mask_and_one_that_ends_in_a_hole_has(tmp_path: Path) -> None:
    complete, holed = sample(holes=False), sample(holes=False)
    holed.valid_mask[-1, -1] = False
    with rasterio.open(written(tmp_path / "a.tif", complete)) as file:
        assert file.mask_flag_enums[0][0].name == "all_valid"
    with rasterio.open(written(tmp_path / "b.tif", holed)) as file:
        assert file.mask_flag_enums[0][0].name == "per_dataset"
        assert np.argwhere(file.dataset_mask() == 0).tolist() == [[1099, 699]]


def test_what_is_known_at_the_end_can_still_be_said(tmp_path: Path) -> None:
    raster = sample(size=(30, 40))
    with create_cog(tmp_path / "a.tif", describe(raster), tags={"RSSR_MODEL": "bicubic & <more>"}) as writer:
        writer.write_rows(raster.pixels, raster.valid_mask)
        writer.tag({"RSSR_SEAMS": "1.000"})
        writer.tag_band(1, {"RSSR_SOURCE": "bicubic"})
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.tags()["RSSR_MODEL"] == "bicubic & <more>"
        assert file.tags()["RSSR_SEAMS"] == "1.000"
        assert file.tags(2)["RSSR_SOURCE"] == "bicubic"
        assert "RSSR_SOURCE" not in file.tags(1)
        assert [meaning.name for meaning in file.colorinterp] == ["red", "green", "blue"]


def test_rotated_rasters_and_unusual_names_work(tmp_path: Path) -> None:
    raster = Raster(sample().pixels[:, :600, :40], ROTATED, "EPSG:3857")
    path = written(tmp_path / "a [1] & b*.tif", raster)
    back = read_raster(path)
    assert back.transform.almost_equals(ROTATED, 1e-6)
    np.testing.assert_array_equal(back.pixels, raster.pixels)
    assert [file.name for file in tmp_path.iterdir()] == ["a [1] & b*.tif"]


@pytest.mark.parametrize(("dtype", "predictor"), [("uint16", "2"), ("float32", "3")])
def test_neighbours_predict_pixels(tmp_path: Path, dtype: str, predictor: str) -> None:
    smooth = np.add.outer(np.arange(600), np.arange(600)).astype(dtype)[None]
    path = written(tmp_path / "a.tif", Raster(smooth, PLACE, "EPSG:32632"))
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == predictor
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert path.stat().st_size < smooth.nbytes / 10


def test_a_failure_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), create_cog(path, describe(sample())) as writer:
        writer.write_rows(sample().pixels[:, :5], sample().valid_mask[:5])
        raise ZeroDivisionError
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
    assert path.read_bytes() == b"old"


def test_missing_rows_are_noticed_and_leave_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(RasterError, match="5 of 1100 rows"),
        create_cog(tmp_path / "a.tif", describe(sample())) as writer,
    ):
        writer.write_rows(sample().pixels[:, :5], sample().valid_mask[:5])
    assert not list(tmp_path.iterdir())


def test_tags_are_read_back(tmp_path: Path) -> None:
    raster = sample()
    with create_cog(tmp_path / "a.tif", describe(raster), tags={"RSSR_MODEL": "bicubic"}) as writer:
        writer.write_rows(raster.pixels, raster.valid_mask)
        writer.tag({"RSSR_NOTE": "a & b"})
    data = (tmp_path / "a.tif").read_bytes()
    elsewhere = ByteSource("a.tif", len(data), lambda start, num_bytes: data[start : start + num_bytes])
    for source in (tmp_path / "a.tif", elsewhere):
        with open_raster(source) as reader:
            tags = reader.read_tags()
        assert tags["RSSR_MODEL"] == "bicubic"
        assert tags["RSSR_NOTE"] == "a & b"


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "a.tif", Path("/proc/self/a.tif")):
        with pytest.raises(StorageError, match="cannot be written"), create_cog(path, describe(sample())):
            raise AssertionError("never gets here")


def test_too_little_space_is_told_before_anything_else(tmp_path: Path) -> None:
    whole_world = Raster(np.zeros((1, 1, 1), np.float64), PLACE)
    huge = describe(whole_world)
    object.__setattr__(huge, "size", (2**24, 2**24))
    told = r"GiB beside it while it is written, but .* free"
    with pytest.raises(StorageError, match=told), create_cog(tmp_path / "a.tif", huge):
        raise AssertionError("never gets here")
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, signal, sys
import numpy as np
from rssr.errors import RssrError
from rssr.raster import Raster, create_cog, describe
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
raster = Raster(np.random.default_rng(0).integers(0, 60000, (2, 1500, 1500)).astype(np.uint16))
limit = int(sys.argv[2])
try:
    with create_cog(sys.argv[1], describe(raster)) as writer:
        if limit < 5_000_000:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        writer.write_rows(raster.pixels, raster.valid_mask)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
except RssrError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("limit", "kind"),
    [(1_000_000, "StorageError"), (9_200_000, "RasterError")],
    ids=["while rows come", "while it is compressed"],
)
@pytest.mark.parametrize("num_threads", ["1", "2"])
def test_a_disk_that_gets_full_is_told_and_leaves_nothing(
    tmp_path: Path, limit: int, kind: str, num_threads: str
) -> None:
    """Files may not grow beyond a size, as on a full disk: 9 MB of rows, or about 10 MB of COG."""
    told = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "a.tif"), str(limit)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": num_threads},
    ).stdout
    assert told.startswith(f"{kind} {tmp_path}/a.tif cannot be written")
    assert not list(tmp_path.iterdir())
