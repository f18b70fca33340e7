"""What is not to be decoded is refused by its header, and what is fine is taken."""

import io
import random
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from PIL import Image

from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.image_limits import ImageHeader, check_answer, check_image
from tests.pipelines.bulk.imagery import tif

LIMITS = LimitsConfig()


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (20, 24)).save(buffer, kind, **options)
    return buffer.getvalue()


def slug(data: bytes, limits: LimitsConfig = LIMITS) -> str:
    with pytest.raises(Problem) as raised:
        check_image(data, limits)
    assert raised.value.detail and raised.value.remedy
    return raised.value.slug


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (picture("PNG"), ImageHeader("png", 24, 20, 3, 8)),
        (picture("PNG", "P"), ImageHeader("png", 24, 20, 3, 1)),
        (picture("PNG", "I;16"), ImageHeader("png", 24, 20, 1, 16)),
        (picture("JPEG", "L"), ImageHeader("jpeg", 24, 20, 1, 8)),
        (picture("JPEG", progressive=True, icc_profile=bytes(70_000)), ImageHeader("jpeg", 24, 20, 3, 8)),
        (picture("TIFF", "RGB"), ImageHeader("tiff", 24, 20, 3, 8)),
        (picture("TIFF", "P"), ImageHeader("tiff", 24, 20, 3, 8)),
        (tif(dtype="uint16"), ImageHeader("tiff", 24, 20, 3, 16)),
        (tif(dtype="float32", interleave="band", BIGTIFF="YES"), ImageHeader("tiff", 24, 20, 3, 32)),
        (tif(ENDIANNESS="BIG", compress="deflate", predictor=2), ImageHeader("tiff", 24, 20, 3, 8)),
        (tif(size=(600, 700), tiled=True, blockxsize=256, blockysize=256), ImageHeader("tiff", 600, 700, 3, 8)),
        (tif(size=(600, 700), driver="COG"), ImageHeader("tiff", 600, 700, 3, 8)),
    ],
)
def test_sound_images_are_taken(data: bytes, header: ImageHeader) -> None:
    assert check_image(data, LIMITS) == header
    assert check_image(io.BytesIO(data), LIMITS) == header


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"BM",
        b"hello",
        b"\n <VRTDataset/>",
        b"PK\x03\x04",
        b"\x00\x00\x00\x0cjP  \r\n",
        b"\xef\xbb\xbf{}",
    ],
)
def test_other_kinds_are_not_tried(data: bytes) -> None:
    assert slug(data) == "unsupported-media-type"


@pytest.mark.parametrize("data", [picture("PNG"), picture("JPEG"), tif(), tif(BIGTIFF="YES", tiled=True)])
def test_cut_and_damaged_headers_are_no_surprise(data: bytes) -> None:
    for length in range(1, min(len(data), 400)):
        try:
            check_image(data[:length], LIMITS)
        except Problem:
            continue
    dice = random.Random(0)
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(dice.randint(1, 8)):
            changed[dice.randrange(min(len(data), 600))] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
        try:
            check_image(bytes(changed), LIMITS)
        except Problem:
            continue


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000_000))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(picture("JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff_of(*tags: tuple[int, int, int], order: str = "<", following: int = 0) -> bytes:
    """A TIFF of one page whose tags hold one number each."""
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    entries = b"".join(
        struct.pack(order + "HHI", name, kind, 1) + struct.pack(order + ("I" if kind == 4 else "Hxx"), value)
        for name, kind, value in sorted(tags)
    )
    return head + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", following)


SIZE = [(256, 4, 500), (257, 4, 500), (258, 3, 8)]


@pytest.mark.parametrize(
    "data",
    [
        png_of(60_000, 60_000),
        png_of(1, 2**31 - 1),
        jpeg_of(60_000, 60_000),
        tiff_of((256, 4, 60_000), (257, 4, 60_000), order=">"),
        tiff_of((256, 4, 2**31 - 1), (257, 4, 1)),
        tiff_of(*SIZE, (277, 3, 1000)),
        tiff_of(*SIZE, (322, 4, 2**30), (323, 4, 2**30)),
    ],
)
def test_bombs_are_refused_by_their_headers(data: bytes) -> None:
    tracemalloc.start()
    assert slug(data) == "scene-too-large"
    assert tracemalloc.get_traced_memory()[1] < len(data) + 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        png_of(0, 5),
        jpeg_of(5, 0),
        tiff_of((256, 4, 0), (257, 4, 5)),
        tiff_of((256, 4, 5)),
        tiff_of(*SIZE, following=8),
        tiff_of(*SIZE, (322, 4, 0), (323, 4, 16)),
        tiff_of(*SIZE, (322, 4, 1), (323, 4, 1), (284, 3, 2), (277, 3, 60)),
        b"II*\x00" + struct.pack("<I", 2**32 - 1),
        b"II+\x00\x08\x00\x00\x00" + struct.pack("<Q", 2**64 - 1),
        b"II*\x00" + struct.pack("<I", 0),
        b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(100),
        tiff_of(*SIZE, (324, 4, 0)).replace(struct.pack("<HHI", 324, 4, 1), struct.pack("<HHI", 324, 4, 2**32 - 1)),
        picture("JPEG")[:2] + b"\xff\xe0\x00\x04ab" * 5000,
    ],
)
def test_what_makes_no_sense_is_unreadable(data: bytes) -> None:
    assert slug(data) == "unreadable-image"


def test_pictures_of_endless_scans_are_refused() -> None:
    data = picture("JPEG", progressive=True)
    assert slug(data[:-2] + b"\xff\xda\x00\x0c" * 200 + data[-2:]) == "unreadable-image"


@pytest.mark.parametrize("name", ["OVERVIEW_FILE", "OVERVIEW&#95;FILE", "overview_file"])
def test_images_that_name_other_files_are_refused(name: str) -> None:
    text = f'<GDALMetadata><Item name="{name}" domain="X">/etc/x.tif</Item></GDALMetadata>\0'.encode()
    data = tiff_of(*SIZE, (42112, 4, 0))
    place = data.index(struct.pack("<HHI", 42112, 4, 1))
    entry = struct.pack("<HHII", 42112, 2, len(text), len(data))
    assert slug(data[:place] + entry + data[place + 12 :] + text) == "unreadable-image"


def test_limits_are_those_of_the_operator() -> None:
    assert slug(picture("PNG"), LimitsConfig(max_pixels=24 * 20 - 1)) == "scene-too-large"
    assert slug(picture("PNG"), LimitsConfig(max_side=23)) == "scene-too-large"
    assert slug(tif(), LimitsConfig(max_bands=2)) == "scene-too-large"
    header = check_image(picture("PNG"), LimitsConfig(max_pixels=24 * 20, max_side=24))
    check_answer(header, 2, LimitsConfig(max_sr_pixels=4 * 24 * 20))
    with pytest.raises(Problem) as raised:
        check_answer(header, 2.01, LimitsConfig(max_sr_pixels=4 * 24 * 20))
    assert raised.value.slug == "scene-too-large"
    assert "/v1/archives" in raised.value.remedy
