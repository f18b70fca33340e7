import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipelines.bulk.products.thumbnail import thumbnail_png
from rssr.errors import RasterError
from rssr.raster import Radiometry
from tests.pipelines.bulk.made_products import write


def shown(path: Path, longest_side: int = 64) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(thumbnail_png(path, longest_side))))


def ramp(dtype: str, bands: int = 3, size: tuple[int, int] = (600, 800)) -> NDArray[np.number]:
    """Bands that grow from left to right, each another multiple."""
    columns = np.linspace(100, 1100, size[1])
    return np.stack([np.broadcast_to(columns * (band + 1), size) for band in range(bands)]).astype(dtype)


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    pixels = np.stack([np.full((600, 800), value, np.uint8) for value in (10, 120, 250)])
    picture = shown(write(tmp_path / "a.tif", pixels, band_names=("red", "green", "blue")), 80)
    assert picture.shape == (60, 80, 3)
    np.testing.assert_array_equal(picture[30, 40], (10, 120, 250))


@pytest.mark.parametrize("names", [("blue", "green", "red", "nir"), ("B02", "B03", "B04", "B08")])
def test_colours_are_found_by_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    pixels = np.stack([np.full((40, 50), value, np.uint8) for value in (1, 2, 3, 4)])
    np.testing.assert_array_equal(shown(write(tmp_path / "a.tif", pixels, band_names=names))[5, 5], (3, 2, 1))


def test_one_band_is_grey_and_many_without_colours_are_the_first_three(tmp_path: Path) -> None:
    assert shown(write(tmp_path / "one.tif", ramp("uint16", 1))).ndim == 2
    many = shown(write(tmp_path / "many.tif", ramp("uint16", 13)))
    assert many.shape[2] == 3
    assert np.abs(many[..., 0].astype(int) - many[..., 2]).max() <= 1, "each has its own range"


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_types_are_stretched_alike_in_all_colours(tmp_path: Path, dtype: str) -> None:
    pixels = ramp(dtype)
    picture = shown(write(tmp_path / "a.tif", pixels, band_names=("red", "green", "blue")), 100)
    assert picture.min() == 0 and picture.max() == 255
    steps = np.diff(picture.astype(int), axis=1)
    assert steps.min() >= 0
    assert picture[30, 50, 0] < picture[30, 50, 1] < picture[30, 50, 2]


def test_scale_and_offset_of_each_band_count(tmp_path: Path) -> None:
    """Three bands of equal reflectance, stored differently, are grey."""
    reflectance = np.broadcast_to(np.linspace(0, 1, 300), (200, 300))
    stored = np.stack([(reflectance + offset) / 1e-4 for offset in (0.0, 0.1, 0.2)]).astype(np.uint16)
    radiometry = Radiometry((1e-4,) * 3, (0.0, -0.1, -0.2))
    path = write(tmp_path / "a.tif", stored, band_names=("red", "green", "blue"), radiometry=radiometry)
    picture = shown(path).astype(int)
    assert np.ptp(picture, axis=2).max() <= 1 and np.ptp(picture) > 200


def test_a_few_wild_values_do_not_darken_the_rest(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(900, 1100, (1, 400, 400)).astype(np.uint16)
    pixels[0, :4, :4] = 60_000
    assert 90 < shown(write(tmp_path / "a.tif", pixels), 400).mean() < 165


@pytest.mark.parametrize("nodata", [None, 0.0])
def test_there_is_nothing_to_see_where_there_is_no_data(tmp_path: Path, nodata: float | None) -> None:
    mask = np.ones((600, 800), np.bool_)
    mask[:, :400] = False
    pixels = np.where(mask, ramp("uint16"), 0).astype(np.uint16)
    picture = shown(write(tmp_path / "a.tif", pixels, mask, nodata=nodata), 80)
    assert picture.shape == (60, 80, 4)
    np.testing.assert_array_equal(picture[..., 3], np.where(mask[::10, ::10], 255, 0))
    assert picture[:, 40:, :3].min() < 40, "the stretch leaves out what is no data"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_product_without_any_data_is_fully_transparent(tmp_path: Path, dtype: str) -> None:
    empty = np.zeros((700, 30), np.bool_)
    picture = shown(write(tmp_path / "a.tif", np.zeros((1, 700, 30), dtype), empty), 70)
    assert picture.shape == (70, 3, 2) and picture.max() == 0


def test_a_product_of_one_value_is_grey(tmp_path: Path) -> None:
    assert set(shown(write(tmp_path / "a.tif", np.full((1, 50, 50), 7.5, np.float32))).ravel()) == {128}


@settings(max_examples=25)
@given(
    size=st.sampled_from([(1, 1), (1, 2000), (2000, 1), (3, 700), (511, 513), (1025, 17)]),
    longest_side=st.integers(16, 600),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    bands=st.sampled_from([1, 3, 4]),
    holes=st.booleans(),
)
def test_any_size_gives_a_picture_of_its_shape_twice_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    longest_side: int,
    dtype: str,
    bands: int,
    holes: bool,
) -> None:
    mask = np.random.default_rng(1).random(size) > 0.3 if holes else np.ones(size, np.bool_)
    path = write(tmp_path_factory.mktemp("any") / "a.tif", ramp(dtype, bands, size), mask)
    first, second = (thumbnail_png(path, longest_side) for _ in range(2))
    assert first == second
    width, height = Image.open(io.BytesIO(first)).size
    assert max(width, height) == min(longest_side, max(size)) and min(width, height) >= 1
    expected = max(round(min(size) * min(longest_side / max(size), 1)), 1)
    assert min(width, height) == expected


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no image")
    with pytest.raises(RasterError, match=r"a\.tif"):
        thumbnail_png(tmp_path / "a.tif", 64)
