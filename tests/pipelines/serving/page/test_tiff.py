"""The page's reader of TIFF agrees with GDAL."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from tests.browser import Browser, Tab
from tests.pipelines.serving.page.conftest import Served

READ = """(async () => {
    const {readTiff} = await import('/page/tiff.js');
    const bytes = Uint8Array.from(atob('%s'), (each) => each.charCodeAt(0));
    const found = await readTiff(bytes.buffer);
    return {...found, bands: found.bands.map((each) => [...each].map(String)), valid: [...found.valid]};
})()"""
NAMES = ("red", "green", "blue", "nir")


@pytest.fixture(scope="module")
def tab(browser: Browser, service: Served) -> Iterator[Tab]:
    with browser.tab(f"{service.uri}/docs") as tab:
        yield tab


def pixels_of(dtype: str, bands: int, size: tuple[int, int] = (70, 45)) -> np.ndarray:
    """Smooth ground with noise, so that every compression has something to find and something to miss."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 200, size[1])[None, None] + np.arange(bands)[:, None, None] + np.zeros((1, size[0], 1))
    values = slope + rng.integers(0, 20, (bands, *size))
    return (values * (1 if dtype.endswith("int8") else 37.5)).astype(dtype)


def written(pixels: np.ndarray, **profile: Any) -> bytes:
    """A file as GDAL writes it."""
    bands, height, width = pixels.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype.name}
    with MemoryFile() as memory:
        with memory.open(driver=profile.pop("driver", "GTiff"), **shape, **profile) as dataset:
            dataset.write(pixels)
            dataset.descriptions = NAMES[:bands]
        return bytes(memory.read())


def read(tab: Tab, data: bytes) -> dict[str, Any]:
    """What the page makes of a file."""
    return dict(tab.evaluate(READ % base64.b64encode(data).decode()))


def assert_agrees(tab: Tab, data: bytes, pixels: np.ndarray) -> None:
    found = read(tab, data)
    assert found["size"] == [pixels.shape[2], pixels.shape[1]]
    for band, values in zip(found["chosen"], found["bands"], strict=True):
        np.testing.assert_array_equal(np.array(values, np.float64), pixels[band].ravel().astype(np.float64))


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize(
    ("dtype", "predictor"),
    [
        ("uint8", 1),
        ("uint8", 2),
        ("int16", 2),
        ("uint16", 1),
        ("uint16", 2),
        ("uint32", 2),
        ("float32", 1),
        ("float32", 3),
    ],
)
def test_pixels_are_those_that_gdal_wrote(tab: Tab, compress: str, dtype: str, predictor: int) -> None:
    told = {} if compress in ("none", "packbits") else {"predictor": predictor}
    pixels = pixels_of(dtype, 3)
    assert_agrees(tab, written(pixels, compress=compress, **told), pixels)


@pytest.mark.parametrize(
    "profile",
    [
        {"interleave": "band", "compress": "zstd"},
        {"interleave": "pixel", "tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "zstd", "predictor": 2},
        {"interleave": "band", "tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "lzw"},
        {"bigtiff": "yes", "compress": "deflate"},
        {"endianness": "big"},
        {"endianness": "big", "compress": "deflate", "predictor": 2},
        {"blockysize": 7},
    ],
    ids=lambda profile: "-".join(f"{name}={value}" for name, value in profile.items()),
)
def test_every_layout_is_read(tab: Tab, profile: dict[str, Any]) -> None:
    pixels = pixels_of("uint16", 4)
    assert_agrees(tab, written(pixels, **profile), pixels)


@pytest.mark.parametrize("level", [1, 3, 9, 19, 22])
def test_all_levels_of_zstandard_are_undone(tab: Tab, level: int) -> None:
    pixels = pixels_of("uint16", 1, (300, 280))
    assert_agrees(tab, written(pixels, compress="zstd", zstd_level=level, blockysize=300), pixels)


def test_what_compresses_to_nothing_and_what_does_not_compress(tab: Tab) -> None:
    flat = np.full((1, 256, 256), 7, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (1, 256, 256), dtype=np.uint8)
    few = np.random.default_rng(0).choice(np.array([0, 1, 2, 250], np.uint8), (1, 256, 256), p=(0.7, 0.1, 0.1, 0.1))
    for pixels in (flat, noise, few):
        assert_agrees(tab, written(pixels, compress="zstd", blockysize=256), pixels)


def test_red_green_and_blue_are_found_by_their_names(tab: Tab) -> None:
    pixels = pixels_of("uint16", 4)
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=4, height=70, width=45, dtype="uint16") as dataset:
            dataset.write(pixels)
            dataset.descriptions = ("blue", "green", "red", "nir")
        found = read(tab, bytes(memory.read()))
    assert found["chosen"] == [2, 1, 0]


def test_nodata_and_masks_are_not_valid(tab: Tab) -> None:
    pixels = pixels_of("float32", 1)
    pixels[0, :5, :5] = -9999
    pixels[0, 5, 5] = np.nan
    hidden = read(tab, written(pixels, nodata=-9999))["valid"]
    expected = np.isfinite(pixels[0]) & (pixels[0] != -9999)
    np.testing.assert_array_equal(np.array(hidden).reshape(70, 45) > 0, expected)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        with memory.open(driver="GTiff", count=3, height=70, width=45, dtype="uint8") as dataset:
            dataset.write(pixels_of("uint8", 3))
            dataset.write_mask(expected)
        masked = read(tab, bytes(memory.read()))["valid"]
    np.testing.assert_array_equal(np.array(masked).reshape(70, 45) > 0, expected)


def test_what_is_cut_off_or_unknown_is_refused(tab: Tab) -> None:
    data = written(pixels_of("uint16", 3), compress="zstd")
    refused = "(async () => { try { await %s; return ''; } catch (error) { return error.message; } })()"
    for broken in (
        data[: len(data) // 2],
        data[:200],
        b"II*\0" + bytes(20),
        written(pixels_of("uint8", 3), compress="jpeg"),
    ):
        assert tab.evaluate(refused % (READ % base64.b64encode(broken).decode())) != ""


def test_a_damaged_frame_is_never_shown_as_a_picture(tab: Tab) -> None:
    """Bytes of the compressed data are changed one at a time: that ends in an error or another picture, in no hang."""
    data = written(pixels_of("uint8", 1), compress="zstd", blockysize=70)
    with MemoryFile(data) as memory, memory.open() as dataset:
        start = int(dataset.tags(ns="TIFF", bidx=1).get("BLOCK_OFFSET_0_0", 0) or 0)
    rng = np.random.default_rng(0)
    ends = []
    for _ in range(40):
        changed = bytearray(data)
        changed[int(rng.integers(max(start, 400), len(data)))] ^= int(rng.integers(1, 256))
        ended = "(async () => { try { await %s; return 'read'; } catch (error) { return error.constructor.name; } })()"
        ends.append(tab.evaluate(ended % (READ % base64.b64encode(bytes(changed)).decode())))
    assert set(ends) <= {"read", "Error", "RangeError", "TypeError"} and "Error" in ends
