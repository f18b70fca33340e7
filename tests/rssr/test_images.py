import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from rssr.errors import ImageError
from rssr.images import decode_image, encode_jpeg, encode_png, from_network, probe_image, to_network
from rssr.scenes import generate_scene

SCENE = generate_scene(1, 40, 56, kind="coast")


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def tiff(
    pixels: np.ndarray, *, colours: tuple[str, ...] = (), mask: np.ndarray | None = None, **profile: object
) -> bytes:
    count, height, width = pixels.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=height, width=width, count=count, dtype=pixels.dtype.name, **profile
        ) as file:
            if colours:
                file.colorinterp = [ColorInterp[name] for name in colours]
            file.write(pixels)
            if mask is not None:
                file.write_mask(mask)
        return bytes(memory.read())


PLANES = SCENE.transpose(2, 0, 1)


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(SCENE), "PNG"),
        saved(Image.fromarray(SCENE), "BMP"),
        saved(Image.fromarray(SCENE), "WEBP", lossless=True),
        saved(Image.fromarray(SCENE), "TIFF"),
        tiff(PLANES),
        tiff(PLANES, photometric="RGB", compress="deflate", tiled=True),
    ],
)
def test_eight_bit_rgb_is_kept_exactly_whatever_the_name_says(data: bytes) -> None:
    decoded = decode_image(data, "misleading.jpg")
    np.testing.assert_array_equal(decoded.pixels, SCENE)
    assert decoded.conversions == ()
    probe = probe_image(data, "misleading.jpg")
    assert (probe.height, probe.width) == (40, 56)


def test_jpeg_is_close_and_rgb() -> None:
    decoded = decode_image(encode_jpeg(SCENE), "a.jpg")
    assert decoded.conversions == ()
    assert np.abs(decoded.pixels.astype(int) - SCENE).mean() < 2


GRAY = SCENE[..., 1]
RAMP16 = (np.arange(40 * 56, dtype=np.uint16) * 29).reshape(40, 56)


@pytest.mark.parametrize(
    ("data", "expected", "conversion"),
    [
        (saved(Image.fromarray(GRAY), "PNG"), np.dstack([GRAY] * 3), "gray-to-rgb"),
        (tiff(GRAY[None]), np.dstack([GRAY] * 3), "gray-to-rgb"),
        (saved(Image.fromarray(SCENE).convert("P"), "PNG"), None, "palette-to-rgb"),
        (saved(Image.fromarray(SCENE).convert("1"), "PNG"), None, "bilevel-to-rgb"),
        (saved(Image.fromarray(SCENE).convert("CMYK"), "JPEG", quality=95), None, "cmyk-to-rgb"),
        (
            saved(Image.fromarray(np.dstack([SCENE, np.full((40, 56), 255, np.uint8)])), "PNG"),
            SCENE,
            "opaque-alpha-dropped",
        ),
        (cv2.imencode(".png", RAMP16)[1].tobytes(), np.dstack([np.round(RAMP16 / 257)] * 3), "16-bit-to-8-bit"),
        (cv2.imencode(".png", SCENE[..., ::-1].astype(np.uint16) * 257)[1].tobytes(), SCENE, "16-bit-to-8-bit"),
        (
            tiff(np.concatenate([PLANES, PLANES[:1]]), colours=("red", "green", "blue", "undefined")),
            SCENE,
            "first-three-of-four-bands",
        ),
    ],
)
def test_unambiguous_pictures_are_converted_and_the_conversion_named(
    data: bytes, expected: np.ndarray | None, conversion: str
) -> None:
    decoded = decode_image(data, "a")
    assert decoded.pixels.shape == (40, 56, 3)
    assert decoded.pixels.dtype == np.uint8
    assert conversion in decoded.conversions
    if expected is not None:
        np.testing.assert_array_equal(decoded.pixels, expected)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    decoded = decode_image(saved(Image.fromarray(SCENE), "PNG", exif=exif), "a")
    np.testing.assert_array_equal(decoded.pixels, np.rot90(SCENE, k=-1))
    assert decoded.conversions == ("turned-by-exif",)


def test_declared_reflectance_becomes_grey_levels() -> None:
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=1, width=3, count=3, dtype="uint16") as file:
            file.write(np.full((3, 1, 3), (1000, 6000, 11000), np.uint16))
            file.scales, file.offsets = (1e-4,) * 3, (-0.1,) * 3
        data = bytes(memory.read())
    decoded = decode_image(data, "a.tif")
    np.testing.assert_array_equal(decoded.pixels[0, :, 0], [0, 128, 255])
    assert decoded.conversions == ("reflectance-to-8-bit",)


def named_bands(names: tuple[str, ...], planes: np.ndarray) -> bytes:
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=40, width=56, count=len(names), dtype="uint8") as file:
            file.write(planes)
            file.descriptions = names
        return bytes(memory.read())


def test_named_bands_are_put_in_order() -> None:
    data = named_bands(("Blue", "Green", "Red"), PLANES[::-1])
    np.testing.assert_array_equal(decode_image(data, "a").pixels, SCENE)


def test_false_colours_are_refused() -> None:
    with pytest.raises(ImageError, match="not red, green, blue"):
        decode_image(named_bands(("nir", "red", "green"), PLANES), "a")


def transparent(mode: str) -> Image.Image:
    alpha = np.full((40, 56), 255, np.uint8)
    alpha[:4] = 0
    return Image.fromarray(np.dstack([SCENE, alpha])).convert(mode)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"hello, world", r"not a picture that can be read \(cannot identify image file the data\)"),
        (saved(transparent("RGBA"), "PNG"), "transparent in 10.0%"),
        (saved(transparent("LA"), "PNG"), "transparent"),
        (saved(Image.fromarray(GRAY), "PNG", transparency=int(GRAY[0, 0])), "transparent"),
        (
            tiff(np.concatenate([PLANES, np.zeros_like(PLANES[:1])]), colours=("red", "green", "blue", "alpha")),
            "no data in 100.0%",
        ),
        (tiff(PLANES, mask=np.arange(40 * 56).reshape(40, 56) > 3), "no data"),
        (tiff(np.where(np.arange(56) < 20, 0, PLANES).astype(np.uint8), nodata=0), "no data in 35.7%"),
        (tiff(PLANES.astype(np.uint16)), "uint16"),
        (tiff(PLANES.astype(np.float32)), "float32"),
        (tiff(PLANES.astype(np.complex64)), "complex"),
        (tiff(PLANES[:2]), "2 bands"),
        (tiff(np.repeat(PLANES[:1], 11, axis=0)), "11 bands"),
        (saved(Image.fromarray(GRAY.astype(np.float32)), "TIFF"), "float32"),
    ],
)
def test_what_would_need_a_guess_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode_image(data, "folder/odd-one")
    assert "folder/odd-one" in str(caught.value)


NOISY = np.random.default_rng(3).integers(0, 256, (60, 60, 3)).astype(np.uint8)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused_by_name(format: str, share: float) -> None:
    data = saved(Image.fromarray(NOISY), format)
    with pytest.raises(ImageError, match="cut-short"):
        decode_image(data[: int(len(data) * share)], "cut-short")


def test_truncated_16_bit_png_is_refused() -> None:
    data = cv2.imencode(".png", NOISY.astype(np.uint16) * 200)[1].tobytes()
    with pytest.raises(ImageError, match="damaged"):
        decode_image(data[: len(data) // 2], "a")


def test_a_few_saturated_pixels_declared_nodata_are_kept_and_named() -> None:
    pixels = np.clip(PLANES, 1, 255)
    pixels[:, 3, 5] = 0
    decoded = decode_image(tiff(pixels, nodata=0), "a")
    assert decoded.conversions == ("nodata-pixels-kept",)


def claiming_png(height: int, width: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_size_is_checked_before_decoding() -> None:
    bomb = claiming_png(60_000, 60_000)
    with pytest.raises(ImageError, match="60000x60000"):
        decode_image(bomb, "bomb")
    assert probe_image(bomb, "bomb").height == 60_000
    data = encode_png(SCENE)
    with pytest.raises(ImageError, match="2239"):
        decode_image(data, "a", max_pixels=40 * 56 - 1)
    assert decode_image(data, "a", max_pixels=40 * 56).pixels.shape == (40, 56, 3)
    with pytest.raises(ImageError, match="40x56"):
        decode_image(tiff(PLANES), "a", max_pixels=5)


SMALL = generate_scene(2, 12, 12)
SEEDS = [saved(Image.fromarray(SMALL), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]


@settings(deadline=None)
@given(data=st.data(), seed=st.sampled_from(SEEDS))
def test_damaged_bytes_never_raise_anything_else(data: st.DataObject, seed: bytes) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        decoded = decode_image(bytes(damaged), "fuzz", max_pixels=1_000_000)
    except ImageError as error:
        assert "fuzz" in str(error)
    else:
        assert decoded.pixels.dtype == np.uint8
        assert decoded.pixels.shape[2] == 3


def test_png_bytes_are_lossless_and_repeatable() -> None:
    assert encode_png(SCENE) == encode_png(SCENE.copy())
    np.testing.assert_array_equal(decode_image(encode_png(SCENE), "a").pixels, SCENE)


def test_network_range_and_back_is_exact_for_every_grey_level() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    images = to_network(levels)
    assert images.shape == (1, 3, 16, 16)
    assert images.dtype == torch.float32
    assert (float(images.min()), float(images.max())) == (-1.0, 1.0)
    np.testing.assert_array_equal(from_network(images), levels)
    assert to_network(levels[0]).shape == (1, 3, 16, 16)


def test_network_images_are_clamped_and_rounded() -> None:
    values = torch.tensor([-2.0, 2.0, 0.4 / 127.5 - 1.0, 0.6 / 127.5 - 1.0]).reshape(1, 1, 2, 2).repeat(1, 3, 1, 1)
    assert from_network(values)[0, ..., 0].ravel().tolist() == [0, 255, 0, 1]
