"""GeoTIFF files: tiled, compressed, whole or not at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from rssr.errors import RasterError
from rssr.publish import write_aside
from rssr.raster.georeference import parse_crs
from rssr.raster.raster import Mask, Pixels, Raster
from rssr.raster.read import RasterInfo

BLOCK = 512
"""Side of a block, pixels; what cloud-optimised readers expect."""
_NEARLY = 2.0**-21  # of a decimal number
_COLOURS = {"red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue}


class RasterWriter:
    """An open GeoTIFF, written from top to bottom. Use `create_geotiff`.

    Rows are held back until they fill whole blocks: a compressed block that is written twice leaves its first
    version in the file as dead bytes.
    """

    def __init__(self, dataset: Any, info: RasterInfo) -> None:  # noqa: ANN401  # rasterio ships no types
        self._dataset = dataset
        self._info = info
        self._next_row = 0
        self._pixels = np.zeros((info.num_bands, 0, info.size[1]), info.dtype)
        self._mask = np.zeros((0, info.size[1]), np.bool_)

    def write_rows(self, pixels: Pixels, valid_mask: Mask) -> None:
        """Write the next rows, over the full width.

        Args:
            pixels: [C, rows, W], of the file's type.
            valid_mask: Bool [rows, W].
        """
        self._pixels = np.concatenate([self._pixels, pixels], axis=1)
        self._mask = np.concatenate([self._mask, valid_mask])
        self._write(self._pixels.shape[1] // BLOCK * BLOCK)

    def finish(self) -> None:
        """Write what is held back.

        Raises:
            RasterError: Rows are missing.
        """
        self._write(self._pixels.shape[1])
        if self._next_row != self._info.size[0]:
            raise RasterError(f"Only {self._next_row} of {self._info.size[0]} rows were written.")

    def _write(self, num_rows: int) -> None:
        if num_rows == 0:
            return
        pixels, self._pixels = self._pixels[:, :num_rows], self._pixels[:, num_rows:]
        valid_mask, self._mask = self._mask[:num_rows], self._mask[num_rows:]
        window = RasterioWindow(0, self._next_row, pixels.shape[2], num_rows)
        self._next_row += num_rows
        self._dataset.write(with_nodata(pixels, valid_mask, self._info.nodata), window=window)
        if self._info.nodata is None:
            self._dataset.write_mask(valid_mask, window=window)


@contextmanager
def create_geotiff(
    path: Path | str, info: RasterInfo, *, tags: Mapping[str, str] | None = None
) -> Iterator[RasterWriter]:
    """Create a GeoTIFF that appears under its name when the block succeeds.

    Without a nodata number the mask is stored inside the file.

    Args:
        path: The file to appear.
        info: Size, type, place and meaning of the pixels; `driver` is not looked at.
        tags: Metadata, e.g. which model made it.

    Raises:
        RasterError: GDAL cannot write it.
        StorageError: The folder or file cannot be written.
    """
    profile = _profile(info)
    with write_aside(Path(path)) as aside:
        try:
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(aside, "w", **profile) as dataset:
                dataset.descriptions = info.band_names
                dataset.colorinterp = colours(info.band_names)
                if info.radiometry.declared:
                    dataset.scales, dataset.offsets = info.radiometry.scales, info.radiometry.offsets
                dataset.update_tags(**(tags or {}))
                writer = RasterWriter(dataset, info)
                yield writer
                writer.finish()
        except RasterioError as error:
            raise RasterError(f"{path} cannot be written: {error}.", "Is there space left?") from error


def write_geotiff(path: Path | str, raster: Raster, *, tags: Mapping[str, str] | None = None) -> None:
    """Write a raster in memory; see `create_geotiff`."""
    with create_geotiff(path, describe(raster), tags=tags) as writer:
        writer.write_rows(raster.pixels, raster.valid_mask)


def describe(raster: Raster) -> RasterInfo:
    """What `create_geotiff` needs to know of a raster."""
    return RasterInfo(
        size=raster.size,
        num_bands=raster.num_bands,
        dtype=raster.pixels.dtype.name,
        transform=raster.transform,
        crs=raster.crs,
        band_names=raster.band_names,
        radiometry=raster.radiometry,
        nodata=raster.nodata,
        driver="GTiff",
    )


def colours(band_names: tuple[str, ...]) -> list[ColorInterp]:
    """What viewers shall take bands for."""
    return [_COLOURS.get(name, ColorInterp.undefined) for name in band_names]


def with_nodata(pixels: Pixels, valid_mask: Mask, nodata: float | None) -> Pixels:
    """Put the nodata number where there is no data, and nowhere else.

    A valid value that happens to equal the number is moved to its neighbour: readers would take it for a hole.

    Args:
        pixels: [C, H, W].
        valid_mask: Bool [H, W].
        nodata: The number; None puts zeros.
    """
    filled = pixels.copy()
    put_nodata(filled, valid_mask, nodata)
    return filled


def put_nodata(pixels: Pixels, valid_mask: Mask | None, nodata: float | None) -> None:
    """`with_nodata` in place; no mask stands for one that is true everywhere."""
    if nodata is not None and not np.isnan(nodata):
        taken = _equals(pixels, nodata)
        if taken.any():
            pixels[taken] = _neighbour(nodata, pixels.dtype)
    if valid_mask is not None:
        pixels[:, ~valid_mask] = 0 if nodata is None else nodata


def _equals(pixels: Pixels, nodata: float) -> Mask:
    """Where GDAL would take pixels for "no data": it does not tell decimals apart that are nearly the same."""
    dtype: np.dtype[Any] = pixels.dtype
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        if not float(nodata).is_integer() or not limits.min <= nodata <= limits.max:
            return np.zeros(pixels.shape, np.bool_)
        return np.asarray(pixels == dtype.type(int(nodata)))  # beside a decimal number all would become decimal
    if nodata == 0:
        return np.asarray(pixels == nodata)
    distances: NDArray[np.floating] = np.abs(np.subtract(pixels, np.asarray(nodata, pixels.dtype)))
    return np.asarray(distances <= _NEARLY * abs(nodata))


def _neighbour(nodata: float, dtype: np.dtype[Any]) -> float:
    if np.issubdtype(dtype, np.integer):
        return nodata - 1 if nodata >= np.iinfo(dtype).max else nodata + 1
    return nodata * (1 - 2 * _NEARLY) if nodata else float(np.nextafter(np.asarray(0, dtype), np.asarray(1, dtype)))


def _profile(info: RasterInfo) -> dict[str, Any]:
    floating = info.dtype.startswith("float")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": info.size[0],
        "width": info.size[1],
        "count": info.num_bands,
        "dtype": info.dtype,
        "nodata": info.nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "predictor": 3 if floating else 2,
        "BIGTIFF": "IF_SAFER",
        "interleave": "pixel",
        "photometric": "RGB" if info.band_names[:3] == ("red", "green", "blue") else "MINISBLACK",
    }
    if info.crs is not None:
        profile["crs"] = parse_crs(info.crs)
    if info.transform != Affine.identity():
        profile["transform"] = info.transform
    return profile
