"""A product as a scene of reflectance, read window by window."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rssr.errors import RasterError
from rssr.raster import (
    Mask,
    Radiometry,
    Raster,
    RasterInfo,
    RasterReader,
    Window,
    open_raster,
    window_transform,
)
from rssr.sentinel2.band_grid import BandGrid
from rssr.sentinel2.calibration import DARK_PERCENTILE, SATURATED, Calibration, check_dark_pixels
from rssr.sentinel2.declared import Declared, require_bands
from rssr.sentinel2.files import LocalFiles, ProductFiles
from rssr.sentinel2.plain import read_plain
from rssr.sentinel2.product import Moments, Product
from rssr.sentinel2.safe import is_safe, read_safe
from rssr.sentinel2.stac import item_key, read_item

_PROBES = 3  # windows a side that dark pixels are looked for in
_PROBE_SIDE = 256  # pixels
_OF_PICTURES = ("uint8", "int8")


@dataclass
class PixelCounts:
    """Pixels of all windows read so far.

    Attributes:
        num_pixels: All of them.
        num_nodata: Without data in at least one band.
        num_saturated: With data, but saturated in at least one band; masked as well.
    """

    num_pixels: int = 0
    num_nodata: int = 0
    num_saturated: int = 0


class Sentinel2Scene:
    """Some bands of an open product; use `open_sentinel2`. Not for sharing between threads.

    Attributes:
        info: Size, place and band names; `float32` reflectance, not clipped to any range, NaN for "no data" in files.
        calibration: What the stored numbers mean, and who says so.
        counts: Of the pixels read so far.
        acquired: Between which moments the image was taken, UTC; None where unknown.
    """

    def __init__(
        self, grids: Mapping[str, BandGrid], calibration: Calibration, acquired: Moments | None = None
    ) -> None:
        self.bands = tuple(grids)
        self.acquired = acquired
        self.calibration = calibration
        self.counts = PixelCounts()
        self._grids = grids
        finest = next(grid for grid in grids.values() if grid.step == 1)
        unit = Radiometry((1.0,) * len(grids), (0.0,) * len(grids))
        nan = float("nan")
        self.info: RasterInfo = replace(
            finest.info, num_bands=len(grids), dtype="float32", band_names=self.bands, radiometry=unit, nodata=nan
        )

    def read_numbers(self, window: Window) -> tuple[NDArray[np.number], Mask]:
        """Stored numbers [C, h, w] and which pixels are real in all bands: neither 0 nor saturated in any.

        Raises:
            RasterError: The window leaves the scene, or the pixels are damaged.
        """
        parts = [grid.read(window) for grid in self._grids.values()]
        numbers = np.stack([part[0] for part in parts])
        has_data = np.logical_and.reduce([part[1] for part in parts])
        saturated = has_data & (numbers >= SATURATED).any(axis=0)
        self.counts.num_pixels += has_data.size
        self.counts.num_nodata += int(np.count_nonzero(~has_data))
        self.counts.num_saturated += int(np.count_nonzero(saturated))
        return numbers, has_data & ~saturated

    def reflectance(self, numbers: NDArray[np.number]) -> NDArray[np.float32]:
        """Stored numbers [C, h, w] as reflectance, float32; negative values and those above 1 stay."""
        offsets = np.array([self.calibration.offsets[band] for band in self.bands], np.float64)[:, None, None]
        reflectance: NDArray[np.float32] = ((numbers + offsets) / self.calibration.quantification).astype(np.float32)
        return reflectance

    def read(self, window: Window | None = None) -> Raster:
        """Reflectance of a window, or of everything; 0 where the mask is false.

        Raises:
            RasterError: See `read_numbers`.
        """
        window = window or Window(0, 0, *self.info.size)
        numbers, valid_mask = self.read_numbers(window)
        pixels = np.where(valid_mask, self.reflectance(numbers), np.float32(0))
        return self.raster(pixels, valid_mask, window)

    def raster(self, pixels: NDArray[np.float32], valid_mask: Mask, window: Window) -> Raster:
        """Reflectance of a window with its place on the ground."""
        place = window_transform(self.info.transform, window.row, window.column)
        return Raster(pixels, place, self.info.crs, valid_mask, self.bands, self.info.radiometry, self.info.nodata)

    def darkest(self) -> dict[str, float]:
        """The dark end of each band's valid numbers, from a few windows spread over the scene."""
        found: dict[str, list[NDArray[np.number]]] = {band: [] for band in self.bands}
        for window in _probes(self.info.size):
            numbers, valid_mask = self.read_numbers(window)
            for band, values in zip(self.bands, numbers, strict=True):
                found[band].append(values[valid_mask])
        self.counts = PixelCounts()
        values_of = {band: np.concatenate(parts) for band, parts in found.items()}
        return {band: float(np.percentile(held, DARK_PERCENTILE)) for band, held in values_of.items() if held.size}


@contextmanager
def open_sentinel2(
    place: Path | str | ProductFiles,
    bands: Sequence[str],
    *,
    declared: Declared | None = None,
    resample: bool = False,
    checks_dark_pixels: bool = True,
) -> Iterator[Sentinel2Scene]:
    """Open some bands of a product.

    Args:
        place: A SAFE folder, a STAC item (`.json`), a GeoTIFF or JPEG 2000, a folder of such; or files elsewhere.
        bands: Names such as `B02`, in the order wanted.
        declared: What the user says against or beside the metadata.
        resample: Whether bands of coarser resolution are enlarged bilinearly to the finest; otherwise refused.
        checks_dark_pixels: Whether the offset is checked against a few windows, which reads them.

    Raises:
        RasterError: There is no such product or band, it is damaged, a picture or of a level without reflectance, its
            bands do not lie on one grid, or the offset is unknown or contradicted by the dark pixels.
    """
    files = LocalFiles(Path(place)) if isinstance(place, Path | str) else place
    said = declared or Declared()
    wanted = _known(bands)
    product = find_product(files, said)
    calibration = product.calibration(wanted, said)
    with ExitStack() as opened:
        readers: dict[str, tuple[RasterReader, int]] = {}
        for band, file in product.choose_files(wanted).items():
            reader = opened.enter_context(open_raster(file.source, name=f"{band} of {product.name}"))
            if reader.info.dtype in _OF_PICTURES and said.quantification is None:
                raise _picture(f"{band} of {product.name}", reader.info.dtype)
            readers[band] = reader, file.position
        scene = Sentinel2Scene(_on_one_grid(product, readers, resample), calibration, product.acquired)
        if checks_dark_pixels:
            check_dark_pixels(product.name, calibration, scene.darkest(), product.may_have_offset, product.level)
        yield scene


def find_product(files: ProductFiles, declared: Declared) -> Product:
    """What the files are, from their metadata and names.

    Raises:
        RasterError: They are no product; see `open_sentinel2`.
    """
    if is_safe(files):
        return read_safe(files)
    key = item_key(files)
    return read_plain(files, declared) if key is None else read_item(files, key)


def _known(bands: Sequence[str]) -> tuple[str, ...]:
    try:
        return require_bands(tuple(bands))
    except ValueError as error:
        raise RasterError(f"{error}.", "Ask for bands such as B02, B03, B04, B08.") from None


def _on_one_grid(
    product: Product, readers: Mapping[str, tuple[RasterReader, int]], resample: bool
) -> dict[str, BandGrid]:
    """The bands over the finest one's pixels.

    Raises:
        RasterError: They lie in different CRSs or on grids that do not match, or resolutions differ unasked.
    """
    crs = {band: reader.info.crs for band, (reader, _) in readers.items()}
    if len(set(crs.values())) > 1:
        told = ", ".join(f"{band} in {name or 'none'}" for band, name in crs.items())
        raise RasterError(f"The bands of {product.name} lie in different CRSs: {told}.", "Warp them to one.")
    finest = max((reader.info for reader, _ in readers.values()), key=lambda info: info.size[0])
    grids = {band: BandGrid.over(finest, reader, position) for band, (reader, position) in readers.items()}
    unfit = [band for band, grid in grids.items() if grid is None]
    if unfit:
        sizes = ", ".join(
            f"{band} {reader.info.size[0]}x{reader.info.size[1]}" for band, (reader, _) in readers.items()
        )
        raise RasterError(
            f"The bands of {product.name} do not cover the same ground on one grid ({sizes} pixels; unlike the rest: "
            f"{', '.join(unfit)}).",
            "Warp them to one grid.",
        )
    matched = {band: grid for band, grid in grids.items() if grid is not None}
    coarse = [f"{band} ({grid.step} times)" for band, grid in matched.items() if grid.step > 1]
    if coarse and not resample:
        raise RasterError(
            f"Of the bands of {product.name}, {', '.join(coarse)} are coarser than the rest.",
            "Ask for bands of one resolution, or for resampling (resample=True).",
        )
    return matched


def _picture(name: str, dtype: str) -> RasterError:
    return RasterError(
        f"{name} holds {dtype} numbers, as pictures for people do: brightness, not reflectance.",
        "Give the band itself, or declare what its numbers mean: quantification=255 (in a job "
        "data.scenes.quantification=255) and the offset.",
    )


def _probes(size: tuple[int, int]) -> Iterator[Window]:
    """A few windows, evenly spread; all of a small scene."""
    for row, height in _spread(size[0]):
        for column, width in _spread(size[1]):
            yield Window(row, column, height, width)


def _spread(side: int) -> list[tuple[int, int]]:
    length = min(_PROBE_SIDE, side)
    if side <= _PROBES * length:
        return [(start, min(length, side - start)) for start in range(0, side, length)]
    return [((side - length) * place // (_PROBES - 1), length) for place in range(_PROBES)]
