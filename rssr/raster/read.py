"""Rasters from files and bytes, through GDAL."""

import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterioWindow

from rssr.errors import RasterError, RssrError
from rssr.raster.block_cache import room_for
from rssr.raster.byte_source import ByteSource, opened_source
from rssr.raster.georeference import crs_text, window_transform
from rssr.raster.raster import REAL_DTYPES, Radiometry, Raster

UPLOAD_DRIVERS = ("GTiff", "JP2OpenJPEG")
"""Drivers for bytes from anywhere: formats that hold their own pixels. A VRT names other files and addresses."""

Result = TypeVar("Result")

_REMOTE = ("/vsis3/", "/vsigs/", "/vsiaz/", "/vsicurl/")
_PAUSES_S = (0.3, 1.0, 3.0)  # before a remote file is opened and read again, at most; half of it at least
_MOST_BANDS = 1024  # hyperspectral sensors have a few hundred; damaged headers claim tens of thousands
_ALPHA_THRESHOLD = 128  # half-covered pixels count as data

# Pictures without coordinates are ordinary input here. The filter is set once: swapping filters around each call
# would not be safe between threads.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: first row and column, height and width."""

    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True)
class RasterInfo:
    """What a file says about itself, without its pixels.

    Attributes:
        size: (H, W), pixels.
        num_bands: Bands with data: without alpha; a palette counts as three.
        dtype: NumPy name, e.g. `uint16`.
        transform: See `Raster`.
        crs: See `Raster`.
        band_names: See `Raster`.
        radiometry: See `Raster`.
        nodata: See `Raster`.
        driver: GDAL's name of the format.
    """

    size: tuple[int, int]
    num_bands: int
    dtype: str
    transform: Affine
    crs: str | None
    band_names: tuple[str, ...]
    radiometry: Radiometry
    nodata: float | None
    driver: str


class RasterReader:
    """An open raster, read window by window. Use `open_raster`; not for sharing between threads.

    Args:
        dataset: Of rasterio.
        name: What errors call it.
        refuse_non_finite: See `open_raster`.
        reopen: Opens the dataset anew where that may help: transfers break off, which GDAL itself does not mend.
        source: Where the bytes come from, if GDAL does not fetch them itself.
    """

    def __init__(
        self,
        dataset: Any,  # noqa: ANN401  # rasterio ships no types
        name: str,
        refuse_non_finite: bool = False,
        reopen: Callable[[], Any] | None = None,
        source: ByteSource | None = None,
    ) -> None:
        self._dataset = dataset
        self._source = source
        self._name = name
        self._refuse_non_finite = refuse_non_finite
        self._reopen = reopen
        self._bands = [
            index
            for index, meaning in enumerate(dataset.colorinterp, start=1)
            if meaning != ColorInterp.alpha or dataset.count == 1
        ]
        self._palette = _palette(dataset)
        self.info = self._describe()

    def read(self, window: Window | None = None) -> Raster:
        """Read all bands of a window, or of everything.

        Raises:
            RasterError: The window leaves the raster, or the pixels are damaged, or not numbers (see `open_raster`).
        """
        window = window or Window(0, 0, *self.info.size)
        place = self._place(window)
        pixels, mask = self._attempt(
            lambda dataset: (dataset.read(self._bands, window=place), dataset.dataset_mask(window=place))
        )
        mask = mask >= _ALPHA_THRESHOLD
        if self._palette is not None:
            pixels = self._palette[pixels[0]].transpose(2, 0, 1)
        if np.issubdtype(pixels.dtype, np.floating):
            if self._refuse_non_finite:
                self._check_finite(pixels, mask, window)
            mask &= np.isfinite(pixels).all(axis=0)
        return Raster(
            pixels=pixels,
            transform=window_transform(self.info.transform, window.row, window.column),
            crs=self.info.crs,
            valid_mask=mask,
            band_names=self.info.band_names,
            radiometry=self.info.radiometry,
            nodata=self.info.nodata,
        )

    def read_bands(self, bands: Sequence[int], window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Some bands of a window, as stored, without the others being read; palettes stay numbers.

        Args:
            bands: Positions among `info.band_names`, from 0.
            window: Within the raster.

        Returns:
            [C, h, w], and a mask [C, h, w] that is true where the file does not mark the band's pixel as missing.

        Raises:
            RasterError: The window leaves the raster, or the pixels are damaged.
        """
        place, numbers = self._place(window), [self._bands[band] for band in bands]
        pixels, mask = self._attempt(
            lambda dataset: (dataset.read(numbers, window=place), dataset.read_masks(numbers, window=place))
        )
        return pixels, (mask >= _ALPHA_THRESHOLD) & np.isfinite(pixels)

    def check_end(self) -> None:
        """Read the last pixel, which files that were cut off lack; raises `RasterError` as reading does."""
        height, width = self.info.size
        self.read_bands([len(self._bands) - 1], Window(height - 1, width - 1, 1, 1))

    def read_reduced(self, bands: Sequence[int], size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """All of it with fewer pixels, from the file's overviews as far as it has them; palettes stay numbers.

        Args:
            bands: Positions among `info.band_names`, from 0.
            size: (H, W), at most the raster's own.

        Returns:
            Means [C, H, W] of the valid pixels, and which are real, [H, W].

        Raises:
            RasterError: The pixels are damaged.
        """
        numbers = [self._bands[band] for band in bands]
        shape, average = (len(numbers), *size), Resampling.average
        pixels, mask = self._attempt(
            lambda dataset: (
                dataset.read(numbers, out_shape=shape, resampling=average),
                dataset.dataset_mask(out_shape=size),
            )
        )
        return pixels, (mask >= _ALPHA_THRESHOLD) & np.isfinite(pixels).all(axis=0)

    def read_tags(self) -> dict[str, str]:
        """The file's metadata by name, without that of its bands."""
        return {str(name): str(value) for name, value in self._attempt(lambda dataset: dataset.tags()).items()}

    def _attempt(self, read: Callable[[Any], Result]) -> Result:
        reopen = self._reopen

        def attempt(number: int) -> Result:
            if number and reopen is not None:
                self._dataset.close()
                self._dataset = reopen()
            # What GDAL's own threads cannot decode, as in a JPEG 2000 file that was cut off, is never told to the one
            # that reads: it gets pixels that nobody wrote.
            with rasterio.Env(GDAL_NUM_THREADS="1"):
                return read(self._dataset)

        try:
            if self._source is not None:
                return self._source.asked(lambda: read(self._dataset))
            return attempt(0) if reopen is None else _with_patience(attempt)
        except (RasterioError, MemoryError) as error:
            raise self._unreadable(error) from None

    def _place(self, window: Window) -> RasterioWindow:
        height, width = self.info.size
        if not (0 <= window.row < window.row + window.height <= height) or not (
            0 <= window.column < window.column + window.width <= width
        ):
            raise RasterError(f"{window} leaves {self._name}, which is {height}x{width} pixels.")
        return RasterioWindow(window.column, window.row, window.width, window.height)

    def _unreadable(self, error: Exception) -> RasterError:
        told = _first_line(error.__cause__ or error)  # rasterio itself says no more than that reading failed
        return RasterError(f"The pixels of {self._name} cannot be read: {told}.", "Is the file complete?")

    def _check_finite(self, pixels: NDArray[Any], mask: NDArray[np.bool_], window: Window) -> None:
        nodata = self.info.nodata
        meant = np.isnan(pixels) if nodata is not None and np.isnan(nodata) else np.zeros(pixels.shape, np.bool_)
        broken = np.argwhere(~np.isfinite(pixels) & mask & ~meant)
        if len(broken) == 0:
            return
        band, row, column = broken[0]
        raise RasterError(
            f"{self._name} has values that are NaN or infinite although it does not mark them as missing: at least "
            f"{len(broken)}, the first in band {self.info.band_names[band]}, row {window.row + row}, column "
            f"{window.column + column} (counted from 0).",
            "Declare them as nodata (gdal_edit.py -a_nodata nan FILE), mask them, or fill them.",
        )

    def _describe(self) -> RasterInfo:
        dataset, (all_scales, all_offsets) = self._dataset, (self._dataset.scales, self._dataset.offsets)
        scales = tuple(float(all_scales[index - 1]) for index in self._bands)
        offsets = tuple(float(all_offsets[index - 1]) for index in self._bands)
        declared = any(scale != 1.0 for scale in scales) or any(offset != 0.0 for offset in offsets)
        names = ("red", "green", "blue") if self._palette is not None else self._band_names()
        if self._palette is not None:
            scales, offsets, declared = (1.0,) * 3, (0.0,) * 3, False
        return RasterInfo(
            size=(int(dataset.height), int(dataset.width)),
            num_bands=len(names),
            dtype=str(dataset.dtypes[0]),
            transform=dataset.transform,
            crs=crs_text(dataset.crs),
            band_names=names,
            radiometry=Radiometry(scales, offsets, declared),
            nodata=None if self._palette is not None else _storable(dataset.nodata, str(dataset.dtypes[0])),
            driver=str(dataset.driver),
        )

    def _band_names(self) -> tuple[str, ...]:
        names = []
        descriptions, meanings = self._dataset.descriptions, self._dataset.colorinterp
        for index in self._bands:
            description, meaning = descriptions[index - 1], meanings[index - 1]
            named_by_colour = meaning in (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            names.append(description or (meaning.name if named_by_colour else f"band_{index}"))
        return tuple(names)


@contextmanager
def open_raster(
    source: Path | str | bytes | ByteSource,
    *,
    name: str = "",
    max_pixels: int | None = None,
    refuse_non_finite: bool = False,
) -> Iterator[RasterReader]:
    """Open a raster for reading by windows.

    Args:
        source: A file, the bytes of a GeoTIFF or JPEG 2000, or where to get those of a larger one.
        name: What errors call it; a path names itself.
        max_pixels: Refuse anything with more rows times columns, before reading a pixel.
        refuse_non_finite: Whether NaN and infinity are refused where they are read, unless the file itself says that
            there is no data (by a nodata number of NaN, a mask or an alpha band). Otherwise they count as missing.

    Raises:
        RasterError: Not a raster, complex (radar), no bands, bands of several types, too large, overviews elsewhere.
    """
    if isinstance(source, ByteSource):
        name = name or source.name
    name = name or ("the data" if isinstance(source, bytes) else str(source))
    if source == b"":
        raise RasterError(f"{name} is empty (0 bytes).", "Was it written completely?")
    with ExitStack() as opened:
        try:
            if _is_remote(source):
                dataset = _with_patience(lambda number: _open_dataset(source, opened))
            else:
                dataset = _open_dataset(source, opened)
            _check_readable(dataset, name, max_pixels)
            opened.enter_context(room_for(dataset))
            reopen = (lambda: _open_dataset(source, opened)) if _is_remote(source) else None
            held = source if isinstance(source, ByteSource) else None
            reader = RasterReader(dataset, name, refuse_non_finite, reopen, held)
        except RssrError:
            raise
        except Exception as error:  # damaged headers raise RasterioError, UnicodeDecodeError, ValueError ...
            raise RasterError(
                f"{name} cannot be opened as a raster: {_first_line(error)}.", "Give a GeoTIFF or JPEG 2000 file."
            ) from None
        yield reader


def read_raster(
    source: Path | str | bytes, window: Window | None = None, *, name: str = "", max_pixels: int | None = None
) -> Raster:
    """Read a raster, or a window of it.

    A pixel is valid where an alpha band or mask says so, where any band differs from nodata, and where no band is
    NaN or infinite. Alpha bands become the mask; palettes become red, green, blue.

    Raises:
        RasterError: See `open_raster`.
    """
    with open_raster(source, name=name, max_pixels=max_pixels) as reader:
        return reader.read(window)


def _open_dataset(source: Path | str | bytes | ByteSource, opened: ExitStack) -> Any:  # noqa: ANN401  # no types
    if isinstance(source, ByteSource):
        return source.asked(lambda: opened.enter_context(opened_source(source)))
    if not isinstance(source, bytes):
        return opened.enter_context(rasterio.open(Path(source)))
    memory = opened.enter_context(MemoryFile(source))
    return opened.enter_context(memory.open(driver=list(UPLOAD_DRIVERS)))


def _is_remote(source: Path | str | bytes | ByteSource) -> bool:
    return isinstance(source, str) and source.startswith(_REMOTE)


def _with_patience(attempt: Callable[[int], Result]) -> Result:
    """Run attempts 0, 1 ... with pauses between them until one succeeds; the last one's error is raised."""
    for number, pause_s in enumerate(_PAUSES_S):
        try:
            return attempt(number)
        except RasterioError as error:
            if _is_lasting(error):
                raise
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # only spreads requests in time
    return attempt(len(_PAUSES_S))


def _is_lasting(error: Exception) -> bool:
    """Whether the server has said no: not there, not allowed, or busy after as many requests as GDAL makes itself."""
    inner = error.__cause__ or error.__context__  # rasterio hands on the text alone
    return type(inner).__name__.startswith("CPLE_AWS") or "does not exist" in str(error)


def _check_readable(dataset: Any, name: str, max_pixels: int | None) -> None:  # noqa: ANN401  # rasterio ships no types
    if dataset.count == 0:
        raise RasterError(f"{name} holds no bands of its own.", "Give one of its subdatasets as a GeoTIFF.")
    if dataset.count > _MOST_BANDS:
        raise RasterError(f"{name} claims {dataset.count} bands.", f"At most {_MOST_BANDS} are read.")
    if "OVERVIEW_FILE" in map(str.upper, dataset.tags(ns="OVERVIEWS")):  # GDAL would open it, whoever wrote it
        raise RasterError(f"{name} has overviews in another file.", "Write it anew: gdal_translate -of COG IN OUT.tif.")
    kinds = set(dataset.dtypes)
    if any(kind.startswith("complex") for kind in kinds):
        raise RasterError(
            f"{name} holds complex numbers ({', '.join(sorted(kinds))}), as radar does.",
            "Only optical images can be super-resolved.",
        )
    if len(kinds) > 1 or not kinds <= set(REAL_DTYPES):
        raise RasterError(
            f"The bands of {name} are {', '.join(sorted(kinds))}.", f"Use one of: {', '.join(REAL_DTYPES)}."
        )
    if max_pixels is not None and dataset.height * dataset.width > max_pixels:
        raise RasterError(
            f"{name} has {dataset.height}x{dataset.width} pixels, more than the {max_pixels} allowed.", "Cut it up."
        )


def _palette(dataset: Any) -> NDArray[np.uint8] | None:  # noqa: ANN401  # rasterio ships no types
    """Lookup table [256, 3] of a palette image; None for others."""
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette or dataset.dtypes[0] != "uint8":
        return None
    table = np.zeros((256, 3), np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[index] = colour[:3]
    return table


def _storable(nodata: float | None, dtype: str) -> float | None:
    """The number, or None where no pixel of this type can hold it (some files say -9999 for bytes)."""
    if nodata is None or dtype.startswith("float"):
        return nodata
    limits = np.iinfo(np.dtype(dtype))
    return float(nodata) if float(nodata).is_integer() and limits.min <= nodata <= limits.max else None


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
