"""Cloud Optimized GeoTIFF files: written row by row, checked, and there as a whole or not at all."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from rssr.allocator import release_freed_memory
from rssr.errors import ConfigError, RasterError, StorageError
from rssr.processors import usual_threads
from rssr.publish import write_aside
from rssr.raster.block_cache import at_most
from rssr.raster.georeference import parse_crs
from rssr.raster.pyramid import Pyramid, describe_files
from rssr.raster.raster import Mask, Pixels
from rssr.raster.read import RasterInfo
from rssr.raster.write import BLOCK, colours

Compression = Literal["zstd", "deflate"]

_HIGHEST_LEVELS: dict[str, int] = {"zstd": 22, "deflate": 9}
_LINES_KEPT = 1.25 * BLOCK
_LEAST_CACHE, _LARGEST_CACHE = 16 << 20, 256 << 20  # bytes
_WITH_OVERVIEWS = 4 / 3  # of the pixels of the full size, at most


@dataclass(frozen=True)
class CogOptions:
    """How a COG is compressed.

    Attributes:
        compression: `zstd` is read by GDAL since 2.3 and all that comes with it, such as QGIS; `deflate` by everything.
        level: Of the compression. Super-resolved reflectance of 16 bits: zstd 1 takes 3 % more space than deflate 6 and
            an eighth of its time; zstd 9 takes 10 % less than deflate 6, and twice its time.
        num_threads: That compress; 0 takes as many as the process has processors, or `OMP_NUM_THREADS` says. The file
            is the same.

    Raises:
        ConfigError: There is no such compression, or it has no such level.
    """

    compression: Compression = "zstd"
    level: int = 1
    num_threads: int = 0

    def __post_init__(self) -> None:
        if self.compression not in _HIGHEST_LEVELS:
            raise ConfigError(f"There is no compression '{self.compression}'.", "Use zstd or deflate.")
        highest = _HIGHEST_LEVELS[self.compression]
        if not 1 <= self.level <= highest:
            raise ConfigError(f"{self.compression} has no level {self.level}.", f"Give 1 to {highest}.")

    @property
    def threads(self) -> int:
        """That compress, at least 1."""
        return self.num_threads or usual_threads()


class CogWriter:
    """An open COG, written from top to bottom. Use `create_cog`."""

    def __init__(self, pyramid: Pyramid) -> None:
        self._pyramid = pyramid
        self.tags: dict[str, str] = {}
        self.band_tags: dict[int, dict[str, str]] = {}

    def write_rows(self, pixels: Pixels, valid_mask: Mask) -> None:
        """Write the next rows, over the full width.

        Args:
            pixels: [C, rows, W], of the file's type.
            valid_mask: Bool [rows, W].
        """
        self._pyramid.write(pixels, valid_mask)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add metadata, which may depend on what was written."""
        self.tags.update(tags)

    def tag_band(self, band: int, tags: Mapping[str, str]) -> None:
        """Add metadata to a band, counted from 0."""
        self.band_tags.setdefault(band, {}).update(tags)


@contextmanager
def create_cog(
    path: Path | str,
    info: RasterInfo,
    *,
    tags: Mapping[str, str] | None = None,
    options: CogOptions | None = None,
) -> Iterator[CogWriter]:
    """Create a COG that appears under its name when the block succeeds, and is valid then.

    Blocks are 512 pixels a side; overviews are means; a BigTIFF is written where 4 GiB may be exceeded. Without a
    nodata number a mask lies inside the file where something is not valid. Beside the file uncompressed pixels are
    kept until it is complete: 4/3 of the product's pixels.

    Args:
        path: The file to appear.
        info: Size, type, place and meaning of the pixels; `driver` is not looked at.
        tags: Metadata, e.g. which model made it.
        options: How it is compressed.

    Raises:
        RasterError: Rows are missing, or GDAL cannot write the file.
        StorageError: The folder or file cannot be written, or too little space is left.
    """
    target = Path(path)
    with write_aside(target) as aside, ExitStack() as opened:
        aside.touch()  # a folder that cannot be written to is told before anything is computed
        _check_space(target, info)
        opened.callback(_remove_beside, aside)
        pyramid = Pyramid(aside, info, opened)
        writer = CogWriter(pyramid)
        writer.tag(tags or {})
        yield writer
        if pyramid.num_rows != info.size[0]:
            raise RasterError(f"Only {pyramid.num_rows} of {info.size[0]} rows were written.")
        try:
            _compress(describe_files(pyramid.finish(), info), aside, info, (writer, options or CogOptions()))
            _check_complete(aside, target)
        except (RasterioError, CPLE_BaseError) as error:  # the latter is what copying raises in one thread
            _check_space(target, info)
            raise RasterError(f"{target} cannot be written: {error}.", "Is there space left?") from error


def _compress(source: str, target: Path, info: RasterInfo, how: tuple[CogWriter, CogOptions]) -> None:
    writer, options = how
    with _cache_for_lines(info), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_VRT_ENABLE_RAWRASTERBAND=True):
        with rasterio.open(source, "r+") as dataset:
            _describe(dataset, info, writer)
        rasterio.shutil.copy(
            source,
            str(target),
            driver="COG",
            blocksize=BLOCK if info.size[1] != BLOCK else BLOCK // 2,  # of one block's width, it passes for untiled
            compress=options.compression.upper(),
            level=options.level,
            predictor="YES",
            bigtiff="IF_SAFER",
            overviews="FORCE_USE_EXISTING",
            num_threads=options.threads,
        )


@contextmanager
def _cache_for_lines(info: RasterInfo) -> Iterator[None]:
    """Uncompressed pixels are copied block by block: their lines are kept as long as a row of blocks needs them.

    Where that is too much, each block's part of each line is read by itself, which takes longer.
    """
    needed = int(_LINES_KEPT * info.size[1] * info.num_bands * np.dtype(info.dtype).itemsize)
    if needed > _LEAST_CACHE:
        release_freed_memory()  # the rows that came here are gone; a small raster's are not worth the time
    with at_most(max(needed, _LEAST_CACHE)), rasterio.Env(GDAL_ONE_BIG_READ=needed > _LARGEST_CACHE):
        yield


def _describe(dataset: Any, info: RasterInfo, writer: CogWriter) -> None:  # noqa: ANN401  # rasterio ships no types
    if info.crs is not None:
        dataset.crs = parse_crs(info.crs)
    if info.transform != Affine.identity():
        dataset.transform = info.transform
    if info.nodata is not None:
        dataset.nodata = info.nodata
    dataset.descriptions = info.band_names
    dataset.colorinterp = colours(info.band_names)
    if info.radiometry.declared:
        dataset.scales, dataset.offsets = info.radiometry.scales, info.radiometry.offsets
    dataset.update_tags(**_sorted(writer.tags))
    for band, tags in sorted(writer.band_tags.items()):
        dataset.update_tags(band + 1, **_sorted(tags))


def _sorted(tags: Mapping[str, str]) -> dict[str, str]:
    """The order in which they were said must not change the file."""
    return dict(sorted(tags.items()))


def _check_complete(path: Path, target: Path) -> None:
    """Refuse files that are not laid out as COGs must be, or whose last blocks are missing.

    Raises:
        RasterError: It is such a file.
    """
    from rio_cogeo.cogeo import cog_validate  # knows all tile grids of the world, which takes a while

    is_valid, errors, _ = cog_validate(str(path), quiet=True)
    if not is_valid:
        raise RasterError(f"{target} did not become a valid COG: {'; '.join(errors)}.")
    with rasterio.open(path) as dataset:
        levels = [None, *range(len(dataset.overviews(1)))]
    for level in levels:
        with rasterio.open(path, **({} if level is None else {"overview_level": level})) as dataset:
            last = RasterioWindow(dataset.width - 1, dataset.height - 1, 1, 1)
            dataset.read(window=last)
            dataset.dataset_mask(window=last)


def _check_space(target: Path, info: RasterInfo) -> None:
    needed = info.num_bands * info.size[0] * info.size[1] * np.dtype(info.dtype).itemsize * _WITH_OVERVIEWS
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise StorageError(
            f"{target} needs {needed / 2**30:.1f} GiB beside it while it is written, but {free / 2**30:.1f} GiB are "
            "free.",
            "Make room, or write to another disk.",
        )


def _remove_beside(aside: Path) -> None:
    for left_over in aside.parent.glob(f"{_literal(aside.name)}.*"):
        left_over.unlink(missing_ok=True)


def _literal(name: str) -> str:
    """A file name in which no character stands for others."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
