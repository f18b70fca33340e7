"""Read planned patches out of Sentinel-2 products, by window."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from pipelines.datasets.products import open_product_files
from pipelines.datasets.scenes import numbers_digest, parse_square_key
from pipelines.datasets.scenes_config import ScenesConfig
from pipelines.stages.read import ReadPatches, StoredImage
from pipelines.storage import StorageSettings, open_store
from rssr.errors import DataError
from rssr.raster import Raster
from rssr.sentinel2 import Sentinel2Scene, open_sentinel2

Reflectance = npt.NDArray[np.float32]

_MAX_OPEN = 4  # products open at once; each holds four files and GDAL's caches


class ReadScenePatches(ReadPatches):
    """Cut HR crops of reflectance, float32 [B, P, P, C], out of squares of products.

    Whole squares are read and kept within the cache's bound, and each is checked against the manifest's digest.

    Args:
        images: All squares, in the plan's order.
        sources: Data locations.
        scenes: Bands, and what the user says of the products.
        max_cached_bytes: Bound on decoded squares kept.
        settings: How to reach S3; None reads the environment of the process that reads.
    """

    def __init__(
        self,
        images: Sequence[StoredImage],
        sources: Sequence[str],
        scenes: ScenesConfig,
        max_cached_bytes: int = 0,
        settings: StorageSettings | None = None,
    ) -> None:
        super().__init__(images, sources, 0, max_cached_bytes, settings)
        self._scenes = scenes
        self._open: OrderedDict[tuple[int, str], tuple[ExitStack, Sentinel2Scene]] = OrderedDict()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """See `ReadPatches.__call__`; `hr` is reflectance."""
        return super().__call__(batch)

    def read_image(self, number: int) -> Reflectance:  # type: ignore[override]  # reflectance, not grey levels
        """A whole square, float32 [H, W, C]; pixels without data have the value of the nearest that has.

        Raises:
            DataError: It has changed since the manifest was written.
            RasterError: It cannot be read.
        """
        raster = self.read_raster(number)
        bands_last: Reflectance = np.ascontiguousarray(np.moveaxis(_filled(raster), 0, -1))
        return bands_last

    def read_raster(self, number: int) -> Raster:
        """A whole square with its place on the ground; see `read_image`."""
        image = self._images[number]
        product, window = parse_square_key(image.key)
        scene = self._scene(image.source, product)
        numbers, valid_mask = scene.read_numbers(window)
        if numbers_digest(numbers, valid_mask) != image.sha256:
            raise DataError(
                f"{open_store(self._sources[image.source]).describe(image.key)} has changed since the manifest was "
                "written.",
                "Run the job again: it reads the products anew and writes a new manifest.",
            )
        pixels = np.where(valid_mask, scene.reflectance(numbers), np.float32(0))
        return scene.raster(pixels, valid_mask, window)

    def _empty(self, num_patches: int, size: int) -> npt.NDArray[Any]:
        return np.empty((num_patches, size, size, len(self._scenes.bands)), dtype=np.float32)

    def _read_all(self, numbers: list[int]) -> list[Any]:
        return [self.read_image(number) for number in numbers]  # open products are not for several threads

    def _scene(self, source: int, product: str) -> Sentinel2Scene:
        name = (source, product)
        if name not in self._open:
            if len(self._open) >= _MAX_OPEN:
                _, (oldest, _) = self._open.popitem(last=False)
                oldest.close()
            self._open[name] = self._opened(source, product)
        self._open.move_to_end(name)
        return self._open[name][1]

    def _opened(self, source: int, product: str) -> tuple[ExitStack, Sentinel2Scene]:
        scenes, opened = self._scenes, ExitStack()
        files = open_product_files(self._sources[source], product, self._settings)
        # Dark pixels were looked at when the manifest was made.
        scene = opened.enter_context(
            open_sentinel2(
                files, scenes.bands, declared=scenes.declared, resample=scenes.resample, checks_dark_pixels=False
            )
        )
        return opened, scene


def _filled(raster: Raster) -> npt.NDArray[Any]:
    """Pixels [C, H, W] whose holes have the value of the nearest valid pixel."""
    if raster.valid_mask.all():
        return raster.pixels
    rows, columns = distance_transform_edt(~raster.valid_mask, return_distances=False, return_indices=True)
    filled: npt.NDArray[Any] = raster.pixels[:, rows, columns]
    return filled
