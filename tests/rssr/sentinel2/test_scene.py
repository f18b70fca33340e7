"""Products as scenes of reflectance: read by window, masked, calibrated as they say, refused where they contradict."""

import re
from pathlib import Path

import numpy as np
import pytest

from rssr.errors import RasterError
from rssr.raster import Window
from rssr.sentinel2 import Declared, open_sentinel2
from tests.sentinel2_products import FOUR, imagined_numbers, write_cog, write_item, write_jp2, write_safe


def stacked(numbers: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([numbers[band] for band in FOUR]).astype(np.float64)


def refusal(place: Path, bands: tuple[str, ...] = FOUR, declared: Declared | None = None) -> str:
    """The paragraph with which a product is refused."""
    with pytest.raises(RasterError) as caught, open_sentinel2(place, bands, declared=declared) as scene:
        scene.read()
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.remedy
    return text


@pytest.mark.parametrize("level", ["L2A", "L1C"])
def test_a_safe_folder_gives_reflectance_by_its_own_metadata(tmp_path: Path, level: str) -> None:
    numbers = imagined_numbers()
    with open_sentinel2(write_safe(tmp_path, numbers, level=level), FOUR) as scene:
        raster = scene.read()
        assert scene.calibration.source.startswith(f"MTD_MSI{level}.xml of ")
    assert raster.band_names == FOUR
    assert raster.crs == "EPSG:32632"
    np.testing.assert_allclose(raster.pixels, (stacked(numbers) - 1000) / 10_000, rtol=0, atol=1e-7)
    assert raster.valid_mask.all()


def test_before_baseline_4_there_is_no_offset(tmp_path: Path) -> None:
    numbers = imagined_numbers(offset=0)
    folder = write_safe(tmp_path, numbers, baseline="03.01", offset=None, day="20210603")
    with open_sentinel2(folder, FOUR) as scene:
        np.testing.assert_allclose(scene.read().pixels, stacked(numbers) / 10_000, rtol=0, atol=1e-7)
        assert scene.calibration.source == "processing baseline 03.01"


def test_a_window_is_that_part_of_the_scene_and_lies_there(tmp_path: Path) -> None:
    with open_sentinel2(write_safe(tmp_path), ("B08", "B02")) as scene:
        whole, part = scene.read(), scene.read(Window(33, 70, 41, 50))
    assert np.array_equal(part.pixels, whole.pixels[:, 33:74, 70:120])
    assert part.transform * (0, 0) == whole.transform * (70, 33)
    assert whole.band_names == ("B08", "B02")


def test_values_below_0_and_above_1_stay(tmp_path: Path) -> None:
    numbers = imagined_numbers()
    numbers["B02"][:3, 5] = (970, 14_000, 60_000)
    with open_sentinel2(write_safe(tmp_path, numbers), FOUR) as scene:
        np.testing.assert_allclose(scene.read().pixels[0, :3, 5], (-0.003, 1.3, 5.9), atol=1e-6)


def test_number_0_and_saturated_numbers_are_masked_and_counted(tmp_path: Path) -> None:
    numbers = imagined_numbers()
    numbers["B03"][10:14, 20:25] = 0
    numbers["B08"][100, 7:9] = 65_535
    with open_sentinel2(write_safe(tmp_path, numbers), FOUR) as scene:
        raster = scene.read()
        counts = scene.counts
    assert (counts.num_nodata, counts.num_saturated) == (20, 2)
    assert not raster.valid_mask[10:14, 20:25].any()
    assert not raster.valid_mask[100, 7:9].any()
    assert np.count_nonzero(~raster.valid_mask) == 22


@pytest.mark.parametrize(
    ("raster", "properties", "offset", "source"),
    [
        ({"scale": 0.0001, "offset": -0.1}, {"s2:processing_baseline": "05.09"}, -1000, "raster:bands"),
        ({"scale": 0.0001, "offset": 0}, {"earthsearch:boa_offset_applied": True}, 0, "earthsearch:boa_offset_applied"),
        ({"scale": 0.0001, "offset": -0.1}, {"earthsearch:boa_offset_applied": True}, 0, "against its raster:bands"),
        (None, {"s2:processing_baseline": "05.09"}, -1000, "processing baseline 05.09"),
        (None, {"s2:processing_baseline": "02.14"}, 0, "processing baseline 02.14"),
    ],
)
def test_a_stac_item_says_which_offset_its_pixels_have(
    tmp_path: Path, raster: dict[str, float] | None, properties: dict[str, object], offset: float, source: str
) -> None:
    numbers = imagined_numbers(offset=offset)
    with open_sentinel2(write_item(tmp_path, numbers, raster, **properties), FOUR) as scene:
        assert source in scene.calibration.source
        np.testing.assert_allclose(scene.read().pixels, (stacked(numbers) + offset) / 10_000, rtol=0, atol=1e-7)


def test_an_item_whose_declared_offset_is_in_the_pixels_no_more_is_refused(tmp_path: Path) -> None:
    """Element84/earth-search#71: the item declares -0.1, the pixels have had it applied."""
    item = write_item(tmp_path, imagined_numbers(offset=0), {"scale": 0.0001, "offset": -0.1})
    text = refusal(item)
    assert "-1000" in text
    assert re.search(r"darkest 1 % of B0\d lie at \d+", text)
    assert "offset=0" in text
    with open_sentinel2(item, FOUR, declared=Declared(offset=0)) as scene:
        assert scene.calibration.source == "declared by the user"
        assert scene.read().pixels.min() > -0.02


def test_a_late_product_said_to_have_no_offset_but_without_dark_pixels_is_refused(tmp_path: Path) -> None:
    item = write_item(tmp_path, imagined_numbers(offset=-1000), None, **{"earthsearch:boa_offset_applied": True})
    assert "data.scenes.offset=-1000" in refusal(item)


def test_an_early_product_without_dark_pixels_is_believed(tmp_path: Path) -> None:
    numbers = imagined_numbers(offset=-1000)  # as bright as that in fact, e.g. snow
    folder = write_safe(tmp_path, numbers, baseline="02.14", offset=None, day="20200103")
    with open_sentinel2(folder, FOUR) as scene:
        assert scene.read().pixels.min() > 0.08


def test_single_files_take_the_baseline_of_their_names_or_of_the_user(tmp_path: Path) -> None:
    numbers = imagined_numbers()
    for band, values in numbers.items():
        write_cog(tmp_path / "named" / f"S2A_MSIL2A_20230603_N0509_T32TPT_{band}.tif", values)
        write_jp2(tmp_path / "plain" / f"{band.lower()}.jp2", values)
    with open_sentinel2(tmp_path / "named", FOUR) as scene:
        assert scene.calibration.offsets == dict.fromkeys(FOUR, -1000.0)
    assert "processing_baseline" in refusal(tmp_path / "plain")
    with open_sentinel2(tmp_path / "plain", FOUR, declared=Declared(processing_baseline="5.09")) as scene:
        assert scene.calibration.offsets == dict.fromkeys(FOUR, -1000.0)


def test_a_stacked_file_is_read_by_its_bands_names_or_declared_ones(tmp_path: Path) -> None:
    numbers = imagined_numbers(offset=0)
    order = ("B4", "B3", "B2", "B8")
    values = np.stack([numbers[f"B0{name[1]}"] for name in order])
    write_cog(tmp_path / "named.tif", values, order)
    write_cog(tmp_path / "nameless.tif", values)
    early = Declared(processing_baseline="02.13")
    with open_sentinel2(tmp_path / "named.tif", FOUR, declared=early) as scene:
        np.testing.assert_allclose(scene.read().pixels, stacked(numbers) / 10_000, atol=1e-7)
    assert "file_bands" in refusal(tmp_path / "nameless.tif", declared=early)
    known = Declared(processing_baseline="02.13", file_bands=("B04", "B03", "B02", "B08"))
    with open_sentinel2(tmp_path / "nameless.tif", FOUR, declared=known) as scene:
        np.testing.assert_allclose(scene.read().pixels, stacked(numbers) / 10_000, atol=1e-7)


def test_a_picture_for_people_is_no_reflectance_unless_said_so(tmp_path: Path) -> None:
    grey = np.maximum(stacked(imagined_numbers(offset=0)) / 20, 1).astype(np.uint8)
    write_cog(tmp_path / "shown.tif", grey, FOUR)
    assert "uint8" in refusal(tmp_path / "shown.tif", declared=Declared(processing_baseline="02.13"))
    with open_sentinel2(tmp_path / "shown.tif", FOUR, declared=Declared(quantification=500, offset=0)) as scene:
        np.testing.assert_allclose(scene.read().pixels, grey / 500, atol=1e-7)


def test_coarser_bands_are_refused_unless_resampling_is_asked_for(tmp_path: Path) -> None:
    numbers = imagined_numbers()
    ramp = np.linspace(1100, 3000, 96 * 80).reshape(96, 80)
    folder = write_safe(tmp_path, {**numbers, "B11": ramp.astype(np.uint16)})
    assert "B11 (2 times)" in refusal(folder, ("B02", "B11"))
    with open_sentinel2(folder, ("B02", "B11"), resample=True) as scene:
        whole = scene.read().pixels
        seams = np.concatenate([scene.read(Window(row, 0, 24, 160)).pixels for row in range(0, 192, 24)], axis=1)
    assert np.array_equal(whole, seams), "windows have no seams"
    means = whole[1].reshape(96, 2, 80, 2).mean(axis=(1, 3))[2:-2, 2:-2]
    np.testing.assert_allclose(means, (ramp[2:-2, 2:-2] - 1000) / 10_000, atol=2e-4)


def test_a_product_without_a_band_names_it(tmp_path: Path) -> None:
    numbers = imagined_numbers()
    del numbers["B08"]
    text = refusal(write_safe(tmp_path, numbers))
    assert "lacks B08" in text
    assert "B02, B03, B04" in text


def test_bands_in_different_crs_are_refused(tmp_path: Path) -> None:
    text = refusal(write_safe(tmp_path, crs={"B04": "EPSG:32633"}))
    assert "B04 in EPSG:32633" in text


def test_bands_on_different_ground_are_refused(tmp_path: Path) -> None:
    numbers = imagined_numbers()
    numbers["B04"] = numbers["B04"][:100]
    for band, values in numbers.items():
        write_cog(tmp_path / f"S2_N0509_{band}.tif", values)
    assert "do not cover the same ground" in refusal(tmp_path)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_jpeg_2000_file_is_refused(tmp_path: Path, share: float) -> None:
    folder = write_safe(tmp_path)
    [path] = folder.rglob("*_B03_10m.jp2")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    for _ in range(5):
        assert "B03 of" in refusal(folder)


@pytest.mark.parametrize("level", ["L1A", "L1B", "L0"])
def test_levels_without_reflectance_on_a_map_are_refused(tmp_path: Path, level: str) -> None:
    folder = write_safe(tmp_path, level=level)
    assert f"level {level}" in refusal(folder)


def test_an_empty_folder_a_lost_metadata_file_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "S2A_MSIL2A_20230603T102601_N0509_R108_T32TPT_20230603T163455.SAFE"
    empty.mkdir()
    assert "is empty" in refusal(empty)
    folder = write_safe(tmp_path / "other")
    metadata = folder / "MTD_MSIL2A.xml"
    text = metadata.read_text()
    metadata.write_text(text[:400])
    assert "is damaged" in refusal(folder)
    metadata.write_text(text.replace("<n1:General_Info>", "<!DOCTYPE x [<!ENTITY a 'b'>]><n1:General_Info>"))
    assert "document type" in refusal(folder)
    metadata.unlink()
    assert "MTD_MSIL2A.xml" in refusal(folder)


def test_what_is_no_item_and_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text('{"type": "Feature"}')
    assert "no STAC item" in refusal(tmp_path / "item.json")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "readme.txt").write_text("nothing")
    assert "holds no image" in refusal(tmp_path / "text")
    assert "no band of Sentinel-2" in refusal(write_safe(tmp_path), ("B13",))
