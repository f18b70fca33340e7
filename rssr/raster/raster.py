"""A raster in memory: pixels with where they lie, which of them are real, and what their numbers mean."""

from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rssr.errors import RasterError

REAL_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

Pixels = NDArray[np.number]  # [C, H, W], a dtype of REAL_DTYPES
Mask = NDArray[np.bool_]  # [H, W]


@dataclass(frozen=True)
class Radiometry:
    """What stored numbers mean: physical = stored * scale + offset, a band at a time.

    Attributes:
        scales: One a band.
        offsets: One a band, in physical units (as in GDAL and STAC: applied after scaling).
        declared: Whether the file said so; otherwise they are 1 and 0 and mean nothing.
    """

    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    declared: bool = True

    @classmethod
    def undeclared(cls, num_bands: int) -> "Radiometry":
        """Numbers of unknown meaning."""
        return cls((1.0,) * num_bands, (0.0,) * num_bands, declared=False)


@dataclass(frozen=True, eq=False)
class Raster:
    """A georeferenced picture, checked when made.

    Attributes:
        pixels: [C, H, W], uint8, int8, uint16, int16, uint32, int32, float32 or float64.
        transform: From (column, row) of pixel corners to CRS coordinates; may be rotated.
        crs: `EPSG:n` where it has a number, else WKT; None where unknown.
        valid_mask: Bool [H, W], true where data is real. Defaults to all true.
        band_names: One a band, e.g. `red`. Defaults to `band_1` and so on.
        radiometry: What the numbers mean. Defaults to undeclared.
        nodata: The number that stands for "no data" in files; None where the mask is stored beside the pixels.
    """

    pixels: Pixels
    transform: Affine = Affine.identity()  # noqa: RUF009  # immutable
    crs: str | None = None
    valid_mask: Mask = field(default_factory=lambda: np.zeros((0, 0), np.bool_))  # empty: see __post_init__
    band_names: tuple[str, ...] = ()
    radiometry: Radiometry = Radiometry((), (), declared=False)
    nodata: float | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or min(self.pixels.shape) < 1:
            raise RasterError(f"A raster has pixels [C, H, W] with at least one of each, not {self.pixels.shape}.")
        if self.pixels.dtype.name not in REAL_DTYPES:
            raise RasterError(
                f"Pixels of type {self.pixels.dtype} are not supported.",
                f"Convert to one of: {', '.join(REAL_DTYPES)}.",
            )
        if self.valid_mask.size == 0:
            object.__setattr__(self, "valid_mask", np.ones(self.size, np.bool_))
        if not self.band_names:
            object.__setattr__(self, "band_names", tuple(f"band_{index + 1}" for index in range(self.num_bands)))
        if not self.radiometry.scales:
            object.__setattr__(self, "radiometry", Radiometry.undeclared(self.num_bands))
        self._check()

    @property
    def num_bands(self) -> int:
        """Number of bands."""
        return int(self.pixels.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def _check(self) -> None:
        if self.valid_mask.shape != self.size or self.valid_mask.dtype != np.bool_:
            raise RasterError(
                f"The valid mask is {self.valid_mask.dtype} {self.valid_mask.shape}, the pixels need bool {self.size}."
            )
        lengths = {len(self.band_names), len(self.radiometry.scales), len(self.radiometry.offsets)}
        if lengths != {self.num_bands}:
            raise RasterError(f"{self.num_bands} bands need as many names, scales and offsets.")
        if self.transform.is_degenerate:
            raise RasterError("The transform maps all pixels onto a line or point.", "Give pixels a size above zero.")
        if np.issubdtype(self.pixels.dtype, np.floating):
            broken = int(np.count_nonzero(~np.isfinite(self.pixels) & self.valid_mask))
            if broken:
                raise RasterError(f"{broken} valid values are NaN or infinite.", "Mark them as not valid.")
