"""A scene in a file or in memory as a model sees it, and what its product says of itself."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rssr.inference.reflectance import values_of
from rssr.inference.values import check_values
from rssr.raster import Radiometry, RasterInfo, Window, scaled_transform
from rssr.stretch import Stretch
from rssr.tiling import TilePlan, nearest_lr

if TYPE_CHECKING:
    from rssr.inference.files import SceneReader
    from rssr.models.loaded import LoadedModel

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


class StoredScene:
    """An LR scene in a file or in memory, shown to the model as its card asks; see `LrScene`."""

    def __init__(self, reader: "SceneReader", bands: list[int], model: "LoadedModel") -> None:
        self._reader = reader
        self._bands = bands
        self._card = model.card
        self.values, self.tags = values_of(reader, bands, model)

    def read(self, part: tuple[slice, slice]) -> tuple[FloatArray, Mask]:
        """Values as networks see them, and which are real."""
        rows, columns = part
        window = Window(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        raster = self._reader.read(window)
        pixels = np.where(raster.valid_mask, raster.pixels[self._bands], 0).astype(raster.pixels.dtype)
        if not isinstance(self.values, Stretch):  # reflectance far above 1 is a bright cloud, not a mistake
            check_values(pixels, self._card)
        return self.values.to_network(pixels), raster.valid_mask

    def lr_rows(self, plan: TilePlan, first_row: int, num_rows: int) -> "LrRows":
        """What lies behind some SR rows."""
        sr_rows = slice(first_row, first_row + num_rows)
        rows = nearest_lr(plan.lr_size[0], plan.sr_size[0])[sr_rows]
        first = int(rows[0])
        raster = self._reader.read(Window(first, 0, int(rows[-1]) - first + 1, plan.lr_size[1]))
        pixels = raster.pixels[self._bands]
        if not raster.valid_mask.all():
            pixels = np.where(raster.valid_mask, pixels, 0).astype(pixels.dtype)
        columns = nearest_lr(plan.lr_size[1], plan.sr_size[1])
        enlarged: Mask = raster.valid_mask[(rows - first)[:, None], columns]
        return LrRows(first, pixels, enlarged)


class LrRows(NamedTuple):
    """LR rows in which SR rows lie.

    Attributes:
        first: Number of the first one.
        pixels: Stored values [C, rows, w] of the model's bands; 0 where there is no data.
        sr_mask: Where the SR rows are real, bool [SR rows, W].
    """

    first: int
    pixels: NDArray[np.number]
    sr_mask: Mask


def sr_info(info: RasterInfo, plan: TilePlan, bands: list[int]) -> RasterInfo:
    """The product over the scene's ground: some of its bands, with its type, radiometry and nodata number."""
    radiometry = info.radiometry
    return replace(
        info,
        size=plan.sr_size,
        num_bands=len(bands),
        transform=scaled_transform(info.transform, plan.lr_size, plan.sr_size),
        band_names=tuple(info.band_names[index] for index in bands),
        radiometry=Radiometry(
            tuple(radiometry.scales[index] for index in bands),
            tuple(radiometry.offsets[index] for index in bands),
            radiometry.declared,
        ),
    )


def deviation_info(info: RasterInfo) -> RasterInfo:
    """Deviations over the same ground. They scale as the values do, but an offset does not shift them."""
    scales = info.radiometry.scales
    return replace(
        info,
        dtype="float32",
        nodata=float("nan"),
        band_names=tuple(f"{name} deviation" for name in info.band_names),
        radiometry=Radiometry(scales, (0.0,) * len(scales), info.radiometry.declared),
    )
