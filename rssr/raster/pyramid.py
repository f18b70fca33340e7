"""Rows of a raster and of its overviews, uncompressed in files beside it, until all of them are there.

A Cloud Optimized GeoTIFF begins with its smallest overview and ends with its full size, so it cannot be written from
top to bottom. What is kept until then are plain numbers, which cost a copy to write and to read.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.raster.raster import Mask, Pixels
from rssr.raster.read import RasterInfo
from rssr.raster.write import BLOCK, put_nodata

_GDAL_TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32"}
_GDAL_TYPES |= {"int32": "Int32", "float32": "Float32", "float64": "Float64"}
_AVERAGED_BY_OPENCV = ("uint8", "uint16", "int16", "float32", "float64")
_ALL_VALID = np.uint8(255)
_SLAB_VALUES = 1 << 22
_MASK_BYTES = 1 << 24  # that are written at a time where rows turn out to need a mask


@dataclass(frozen=True)
class LevelFiles:
    """One size of a raster in files.

    Attributes:
        size: (H, W).
        rows: Numbers, row after row and within it band after band.
        mask: 255 where data is real, else 0; None where all of it is.
    """

    size: tuple[int, int]
    rows: Path
    mask: Path | None


class Pyramid:
    """Takes a raster's rows from top to bottom and keeps them, and those of its overviews.

    Overviews are half as large, again and again, until one fits into a block: each pixel is the mean of the valid ones
    among four, its mask that of the first of them.

    Args:
        stem: Path that the files' names begin with.
        info: Of the raster.
        opened: What closes the files.
    """

    def __init__(self, stem: Path, info: RasterInfo, opened: ExitStack) -> None:
        self._levels: list[_Level] = []
        size = info.size
        while True:
            number = len(self._levels)
            place = stem.with_name(f"{stem.name}.{number}")
            self._levels.append(_Level(place, replace(info, size=size), opened))
            if _is_smallest(size):
                break
            size = -(-size[0] // 2), -(-size[1] // 2)

    @property
    def num_rows(self) -> int:
        """Rows of the full size so far."""
        return self._levels[0].num_rows

    def write(self, pixels: Pixels, valid_mask: Mask) -> None:
        """Take the next rows.

        Raises:
            OSError: They cannot be written.
        """
        rows: tuple[Pixels, Mask | None] | None = pixels, None if valid_mask.all() else valid_mask
        for level in self._levels:
            if rows is None:
                return
            rows = level.write(*rows)

    def finish(self) -> list[LevelFiles]:
        """Complete the overviews and close all files: full size first."""
        for level, smaller in zip(self._levels, self._levels[1:], strict=False):
            left_over = level.left_over()
            if left_over is not None:
                self._write_from(smaller, left_over)
        return [level.close() for level in self._levels]

    def _write_from(self, first: "_Level", rows: tuple[Pixels, Mask | None]) -> None:
        found: tuple[Pixels, Mask | None] | None = rows
        for level in self._levels[self._levels.index(first) :]:
            if found is None:
                return
            found = level.write(*found)


class _Level:
    """One size of a raster, and the last row that waits for another to be halved with."""

    def __init__(self, place: Path, info: RasterInfo, opened: ExitStack) -> None:
        self._place, self._info, self._opened = place, info, opened
        self._rows: IO[bytes] = opened.enter_context(self._path("rows").open("wb"))
        self._mask: IO[bytes] | None = None
        self._waiting: tuple[Pixels, Mask | None] | None = None
        self.num_rows = 0

    def write(self, pixels: Pixels, mask: Mask | None) -> tuple[Pixels, Mask | None] | None:
        """Keep rows; returns those of the next smaller size that are complete now."""
        for slab in _slabs(pixels):
            lines = pixels[:, slab].transpose(1, 0, 2).copy()
            put_nodata(lines.transpose(1, 0, 2), None if mask is None else mask[slab], self._info.nodata)
            self._rows.write(lines.data)
        if self._info.nodata is None:
            self._write_mask(pixels.shape[1], mask)
        self.num_rows += pixels.shape[1]
        if _is_smallest(self._info.size):
            return None
        pixels, mask = _joined(self._waiting, (pixels, mask))
        even = pixels.shape[1] // 2 * 2
        self._waiting = None if even == pixels.shape[1] else _part(pixels, mask, slice(even, None))
        return halved(*_part(pixels, mask, slice(0, even))) if even else None

    def left_over(self) -> tuple[Pixels, Mask | None] | None:
        """The last row of an odd number, halved with itself."""
        if self._waiting is None:
            return None
        return halved(*_joined(self._waiting, self._waiting))

    def close(self) -> LevelFiles:
        """End the files."""
        self._rows.close()
        if self._mask is not None:
            self._mask.close()
        return LevelFiles(self._info.size, self._path("rows"), None if self._mask is None else self._path("mask"))

    def _write_mask(self, num_rows: int, mask: Mask | None) -> None:
        """Most rasters are complete, and need no mask; until one is not, none is written."""
        if self._mask is None and mask is None:
            return
        width = self._info.size[1]
        if self._mask is None:
            self._mask = self._opened.enter_context(self._path("mask").open("wb"))
            for part in _in_parts(self.num_rows * width):
                self._mask.write(np.full(part, _ALL_VALID).data)
        values = np.full((num_rows, width), _ALL_VALID) if mask is None else np.where(mask, _ALL_VALID, np.uint8(0))
        self._mask.write(np.ascontiguousarray(values).data)

    def _path(self, ending: str) -> Path:
        return self._place.with_name(f"{self._place.name}.{ending}")


def halved(pixels: Pixels, mask: Mask | None) -> tuple[Pixels, Mask | None]:
    """Half the size, rounded up: the mean of the valid ones among four pixels, and the mask of the first.

    Args:
        pixels: [C, h, w]; what lies at an odd edge counts twice.
        mask: Bool [h, w]; None where all is valid.
    """
    height, width = pixels.shape[1:]
    if height % 2 or width % 2:
        around = (0, height % 2), (0, width % 2)
        pixels = np.pad(pixels, ((0, 0), *around), mode="edge")
        mask = None if mask is None else np.pad(mask, around, mode="edge")
    if mask is None and pixels.dtype.name in _AVERAGED_BY_OPENCV:
        size = pixels.shape[2] // 2, pixels.shape[1] // 2
        return np.stack([cv2.resize(band, size, interpolation=cv2.INTER_AREA) for band in pixels]), None
    parts = [_mean_of_valid(pixels[:, slab], None if mask is None else mask[slab]) for slab in _slabs(pixels)]
    return np.concatenate(parts, axis=1), None if mask is None else mask[::2, ::2]


def _mean_of_valid(pixels: Pixels, mask: Mask | None) -> Pixels:
    if mask is None:
        return _as_stored(_fours(pixels).mean(axis=(2, 4), dtype=np.float64), pixels.dtype)
    valid = _fours(mask[None])
    sums = np.where(valid, _fours(pixels), 0).sum(axis=(2, 4), dtype=np.float64)
    return _as_stored(sums / np.maximum(valid.sum(axis=(2, 4)), 1), pixels.dtype)


def describe_files(levels: list[LevelFiles], info: RasterInfo) -> str:
    """Let GDAL read the files: writes a VRT beside each level's, and returns the full size's name.

    Args:
        levels: Full size first.
        info: Of the raster.
    """
    for number, level in reversed(list(enumerate(levels))):
        smaller = [_vrt_of(other).name for other in levels[1:]] if number == 0 else []
        height, width = level.size
        lines = [f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">']
        line_bytes = info.num_bands * width * np.dtype(info.dtype).itemsize
        for band in range(info.num_bands):
            layout = info.dtype, band * line_bytes // info.num_bands, line_bytes
            lines += _raw_band(level.rows, layout, smaller, str(band + 1), f' band="{band + 1}"')
        if level.mask is not None:
            own = ["<MaskBand>", *_raw_band(level.mask, ("uint8", 0, width), smaller, "mask,1", ""), "</MaskBand>"]
            lines += own
        _vrt_of(level).write_text("\n".join([*lines, "</VRTDataset>"]), encoding="utf-8")
    return str(_vrt_of(levels[0]))


def _raw_band(
    file: Path, layout: tuple[str, int, int], smaller: list[str], source_band: str, attributes: str
) -> Iterator[str]:
    """One band of a VRT: type, first byte and bytes of a line, and files of its overviews."""
    dtype, offset, line_bytes = layout
    yield f'<VRTRasterBand dataType="{_GDAL_TYPES[dtype]}"{attributes} subClass="VRTRawRasterBand">'
    yield f'<SourceFilename relativeToVRT="1">{_escaped(file.name)}</SourceFilename><ImageOffset>{offset}</ImageOffset>'
    yield f"<PixelOffset>{np.dtype(dtype).itemsize}</PixelOffset><LineOffset>{line_bytes}</LineOffset>"
    yield f"<ByteOrder>{'LSB' if sys.byteorder == 'little' else 'MSB'}</ByteOrder>"
    for name in smaller:
        yield f'<Overview><SourceFilename relativeToVRT="1">{_escaped(name)}</SourceFilename>'
        yield f"<SourceBand>{source_band}</SourceBand></Overview>"
    yield "</VRTRasterBand>"


def _is_smallest(size: tuple[int, int]) -> bool:
    """Whether there is no smaller overview: it fits into a block, or is a line, which would not get thinner."""
    return max(size) <= BLOCK or min(size) == 1


def _vrt_of(level: LevelFiles) -> Path:
    return level.rows.with_suffix(".vrt")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _fours(values: NDArray[Any]) -> NDArray[Any]:
    """[C, h, w] as [C, h / 2, 2, w / 2, 2]."""
    return values.reshape(values.shape[0], values.shape[1] // 2, 2, values.shape[2] // 2, 2)


def _as_stored(means: NDArray[np.float64], dtype: np.dtype[Any]) -> Pixels:
    stored: Pixels = (np.rint(means) if np.issubdtype(dtype, np.integer) else means).astype(dtype)
    return stored


def _part(pixels: Pixels, mask: Mask | None, rows: slice) -> tuple[Pixels, Mask | None]:
    return pixels[:, rows], None if mask is None else mask[rows]


def _joined(first: tuple[Pixels, Mask | None] | None, second: tuple[Pixels, Mask | None]) -> tuple[Pixels, Mask | None]:
    if first is None:
        return second
    pixels = np.concatenate([first[0], second[0]], axis=1)
    if first[1] is None and second[1] is None:
        return pixels, None
    masks = [np.ones(part.shape[1:], np.bool_) if mask is None else mask for part, mask in (first, second)]
    return pixels, np.concatenate(masks)


def _slabs(pixels: Pixels) -> Iterator[slice]:
    """Rows that are worked on at a time, an even number: copies of more would leave the processor's cache."""
    num_rows = max(2, _SLAB_VALUES // (pixels.shape[0] * pixels.shape[2]) // 2 * 2)
    return (slice(start, start + num_rows) for start in range(0, pixels.shape[1], num_rows))


def _in_parts(total: int) -> Iterator[int]:
    while total > 0:
        yield min(total, _MASK_BYTES)
        total -= _MASK_BYTES
