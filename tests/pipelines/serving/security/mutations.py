"""Files that are nearly sound: what fuzzers send."""

import io
import random
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from tests.pipelines.bulk.imagery import png, tif, zipped
from tests.pipelines.serving.images import of_every_kind
from tests.pipelines.storage.packing import packed

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1)
_HEAD_BYTES = 400  # where most of what decides lies


def images() -> list[bytes]:
    """Sound ones of every kind."""
    side = (24, 20)
    noise = np.random.default_rng(0).integers(0, 256, (*side, 3)).astype(np.uint8)
    packings = ("lzw", "deflate", "zstd", "packbits", "jpeg", "lerc", "webp")
    return [
        *of_every_kind().values(),
        *(tif(size=side, compress=packing) for packing in packings),
        tif(size=(300, 280), driver="COG"),
        tif(size=side, BIGTIFF="YES", ENDIANNESS="BIG"),
        tif(size=side, tiled=True, blockxsize=16, blockysize=16, interleave="band"),
        *(_picture(noise, kind, mode, **options) for kind, mode, options in _PICTURES),
    ]


_PICTURES: Sequence[tuple[str, str, dict[str, object]]] = (
    ("PNG", "P", {}),
    ("PNG", "LA", {}),
    ("PNG", "I;16", {}),
    ("PNG", "1", {}),
    (
        "JPEG",
        "RGB",
        {"progressive": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0"},
    ),
    ("JPEG", "CMYK", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
)


def _picture(noise: np.ndarray, kind: str, mode: str, **options: object) -> bytes:  # type: ignore[type-arg]  # of bytes
    buffer = io.BytesIO()
    picture = Image.fromarray(noise)
    (picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def archives() -> list[bytes]:
    """Sound ones of every kind."""
    files = {"a/one.png": png(), "two.tif": tif(), "notes.txt": b"a.tif\n/etc/passwd\n", "i.json": b"{}"}
    return [zipped(files), *(packed(ending, files) for ending in ("zip", "tar", "tar.gz"))]


def mutated(sound: Sequence[bytes], number: int, seed: int) -> Iterator[bytes]:
    """So many files, each made of a sound one by a few changes; the same seed gives the same."""
    dice = random.Random(seed)
    for _ in range(number):
        data = bytearray(dice.choice(sound))
        for _ in range(dice.choice((1, 1, 2, 3, 8))):
            _change(data, sound, dice)
        yield bytes(data)


def _change(data: bytearray, sound: Sequence[bytes], dice: random.Random) -> None:
    length = max(len(data), 1)
    place = dice.randrange(min(length, _HEAD_BYTES) if dice.random() < 0.7 else length)
    kind = dice.randrange(8)
    if kind <= 2:
        size = dice.choice((1, 2, 4, 8))
        value = dice.choice(_EDGES) % 256**size
        data[place : place + size] = value.to_bytes(size, dice.choice(("little", "big")))
    elif kind == 3:
        data[place : place + 1] = bytes([dice.randrange(256)])
    elif kind == 4:
        del data[place : place + dice.choice((1, 4, 100, length))]
    elif kind == 5:
        data[place:place] = dice.randbytes(dice.choice((1, 4, 100)))
    elif kind == 6:
        other = dice.choice(sound)
        data[place:] = other[dice.randrange(len(other)) :]
    else:
        data[place:place] = data[place : place + dice.choice((8, 64, 1000))]
