"""The files of a scene run: what may be read and written, and rasters and pictures behind one face."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rssr.errors import DataError
from rssr.images import decode_image, encode_jpeg, encode_png, is_raster
from rssr.inference.products import SideProducts
from rssr.publish import write_aside
from rssr.raster import ByteSource, Raster, RasterInfo, Window, describe, open_raster, window_transform
from rssr.sentinel2 import open_sentinel2

RASTER_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")

_VIRTUAL_RASTER = b"<VRTDataset"
_HEAD_BYTES = 32


class SceneReader(Protocol):
    """A scene that knows itself and can be read by windows."""

    @property
    def info(self) -> RasterInfo:
        """Size, type, place and bands."""
        ...

    def read(self, window: Window | None = None) -> Raster:
        """Read a window, or everything."""
        ...


class MemoryReader:
    """A raster in memory, read by windows as if it were a file."""

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self.info = describe(raster)

    def read(self, window: Window | None = None) -> Raster:
        """See `SceneReader`."""
        whole = self._raster
        window = window or Window(0, 0, *whole.size)
        rows, columns = (
            slice(window.row, window.row + window.height),
            slice(window.column, window.column + window.width),
        )
        return Raster(
            whole.pixels[:, rows, columns],
            window_transform(whole.transform, window.row, window.column),
            whole.crs,
            whole.valid_mask[rows, columns],
            whole.band_names,
            whole.radiometry,
            whole.nodata,
        )


@dataclass(frozen=True)
class SceneFiles:
    """Where a scene is read and written.

    Attributes:
        source: GeoTIFF, JPEG 2000, VRT, or a picture that `decode_image` takes.
        target: Ends .tif, .tiff, .png, .jpg or .jpeg.
        overwrite: Whether existing targets are replaced.
        beside: GeoTIFFs for what is told of the image.
    """

    source: Path
    target: Path
    overwrite: bool = False
    beside: SideProducts = field(default_factory=SideProducts)

    def check(self) -> None:
        """Refuse what would destroy something or cannot work, before anything is computed.

        Raises:
            DataError: Naming the file.
        """
        if not self.source.is_file() and not is_product(self.source):
            raise DataError(f"There is no file {self.source}.", "Check the path.")
        self._check_target(self.target, (*RASTER_SUFFIXES, *PICTURE_SUFFIXES))
        taken = {self.target.resolve()}
        for path in self.beside.paths:
            self._check_target(path, RASTER_SUFFIXES)
            if path.resolve() in taken:
                raise DataError(
                    f"{path} cannot hold both image and uncertainty, or two such layers.", "Name two files."
                )
            taken.add(path.resolve())

    def _check_target(self, target: Path, suffixes: tuple[str, ...]) -> None:
        if target.suffix.lower() not in suffixes:
            known = ", ".join(suffixes)
            raise DataError(f"The kind of file {target} shall be is unknown.", f"Let it end in one of: {known}.")
        if target.is_dir():
            raise DataError(f"{target} is a folder.", "Name a file in it.")
        if target.exists():
            if target.samefile(self.source):
                raise DataError(f"{target} is both input and output.", "Choose another output.")
            if not self.overwrite:
                raise DataError(f"{target} exists.", "Choose another output, or add --overwrite (overwrite=True).")

    @property
    def makes_raster(self) -> bool:
        """Whether the target is a GeoTIFF."""
        return self.target.suffix.lower() in RASTER_SUFFIXES


def is_product(path: Path) -> bool:
    """Whether this is a Sentinel-2 product rather than one raster or picture: a SAFE folder or a STAC item."""
    return (path.is_dir() and path.suffix.upper() == ".SAFE") or (path.is_file() and path.suffix.lower() == ".json")


@contextmanager
def open_scene(source: Path | ByteSource, bands: Sequence[str] = ()) -> Iterator[SceneReader]:
    """Open a raster or a picture, recognised by content, or a Sentinel-2 product.

    Args:
        source: A file, or a SAFE folder; or a raster or picture that lies elsewhere.
        bands: Of a product: those wanted.

    Raises:
        DataError: The file cannot be read.
        RasterError: A raster or product that cannot be used.
        ImageError: Not a picture, or one that would need a guess.
    """
    if isinstance(source, Path) and is_product(source):
        with open_sentinel2(source, bands) as scene:
            yield scene
        return
    head = _begin(source, _HEAD_BYTES)
    if is_raster(head) or (isinstance(source, Path) and is_virtual_raster(head)):
        with open_raster(source, refuse_non_finite=True) as reader:
            yield reader
    else:
        name = source.name if isinstance(source, ByteSource) else str(source)
        pixels = decode_image(_begin(source, None), name).pixels
        yield MemoryReader(Raster(pixels.transpose(2, 0, 1), band_names=("red", "green", "blue")))


def is_virtual_raster(head: bytes) -> bool:
    """Whether a file that begins like this is a VRT, which names other files instead of holding pixels."""
    return head.lstrip().startswith(_VIRTUAL_RASTER)


def _begin(source: Path | ByteSource, num_bytes: int | None) -> bytes:
    """The first bytes of a file; None for all of them."""
    if isinstance(source, ByteSource):
        return source.read_all() if num_bytes is None else source.read(0, num_bytes)
    try:
        with source.open("rb") as file:
            return file.read(-1 if num_bytes is None else num_bytes)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.", "Check the file.") from None


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write uint8 [C, H, W] with one or three bands as PNG or JPEG, by the path's ending."""
    bands_last = np.ascontiguousarray(pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0))
    data = encode_png(bands_last) if path.suffix.lower() == ".png" else encode_jpeg(bands_last)
    with write_aside(path) as aside:
        aside.write_bytes(data)
