"""A scene in a file or in memory: as a model sees it, and as its product is compared with it."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rssr.inference.radiometric import StoredStretch
from rssr.inference.reflectance import values_of
from rssr.inference.values import check_values
from rssr.raster import Window
from rssr.sentinel2 import Sentinel2Scene, StretchConfig
from rssr.stretch import Stretch

if TYPE_CHECKING:
    from rssr.inference.files import SceneReader
    from rssr.models.loaded import LoadedModel

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


class StoredScene:
    """An LR scene, shown to the model as its card asks; see `LrScene`. Threads may share it.

    Attributes:
        info: Of the scene.
        values: The map between stored and network values.
        tags: What a product should say of it.
        acquired: Between which moments the image was taken, UTC; None where the scene does not say so.
    """

    def __init__(
        self,
        reader: "SceneReader",
        bands: list[int],
        model: "LoadedModel",
        stretch: StretchConfig | None = None,
    ) -> None:
        self._reader = reader
        self._lock = threading.Lock()  # readers are for one thread at a time
        self.info = reader.info
        self._bands = bands
        self._card = model.card
        self.acquired = reader.acquired if isinstance(reader, Sentinel2Scene) else None
        self.values, self.tags = values_of(reader, bands, model, stretch)

    def read(self, part: tuple[slice, slice]) -> tuple[FloatArray, Mask]:
        """Values as networks see them, and which are real."""
        rows, columns = part
        window = Window(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        pixels, mask = self._read_stored(window, self._bands)
        if not isinstance(self.values, Stretch | StoredStretch):  # reflectance far above 1 is a cloud, not a mistake
            check_values(pixels, self._card)
        return self.values.to_network(pixels), mask

    def read_rows(self, first: int, stop: int, bands: Sequence[int]) -> tuple[NDArray[np.number], Mask]:
        """Stored values [C, rows, w] of some of the scene's bands, 0 where there is no data, and which are real."""
        return self._read_stored(Window(first, 0, stop - first, self._reader.info.size[1]), bands)

    def _read_stored(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[np.number], Mask]:
        with self._lock:
            raster = self._reader.read(window)
        pixels = raster.pixels[list(bands)]
        if not raster.valid_mask.all():
            pixels = np.where(raster.valid_mask, pixels, 0).astype(pixels.dtype)
        return pixels, raster.valid_mask
