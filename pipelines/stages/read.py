"""Read planned patches out of encoded images."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.plan import PlannedMicroBatch, PlannedSample
from pipelines.stages import StageResources
from pipelines.storage import Store, open_store
from rssr.errors import DataError
from rssr.images import decode_image

Pixels = npt.NDArray[np.uint8]

RESOURCES = StageResources(num_cpus=1, memory_bytes=600 * 2**20)


class StoredImage(Protocol):
    """Where an image lies and what it must hold."""

    @property
    def source(self) -> int:
        """Which of the data locations."""

    @property
    def key(self) -> str:
        """Key below that location."""

    @property
    def sha256(self) -> str:
        """Digest of the encoded bytes."""


@dataclass
class _Cache:
    """Decoded images, the least recently used dropped first."""

    max_bytes: int
    num_bytes: int = 0

    def __post_init__(self) -> None:
        self._images: OrderedDict[int, Pixels] = OrderedDict()

    def get(self, number: int) -> Pixels | None:
        if number in self._images:
            self._images.move_to_end(number)
        return self._images.get(number)

    def put(self, number: int, pixels: Pixels) -> None:
        self._images[number] = pixels
        self.num_bytes += pixels.nbytes
        while self.num_bytes > self.max_bytes and len(self._images) > 1:
            _, dropped = self._images.popitem(last=False)
            self.num_bytes -= dropped.nbytes


class ReadPatches:
    """Cut the HR crops of a planned micro-batch. Safe to retry; keeps decoded images within a bound.

    Args:
        images: All training images, in the plan's order.
        sources: Data locations.
        patch_size: Side of the crops, pixels.
        max_cached_bytes: Bound on decoded images kept.
    """

    def __init__(
        self, images: Sequence[StoredImage], sources: Sequence[str], patch_size: int, max_cached_bytes: int
    ) -> None:
        self._images = images
        self._sources = sources
        self._patch_size = patch_size
        self._cache = _Cache(max_cached_bytes)
        self._stores: dict[int, Store] = {}

    def __call__(self, planned: PlannedMicroBatch) -> dict[str, Any]:
        """Read and cut.

        Returns:
            `hr` uint8 [B, P, P, 3], `key` (list), `seed` (list), `index` int64 [B], `scale`, `step`, `micro_batch`.

        Raises:
            DataError: An image has changed since the manifest was written.
            StorageError: An image cannot be read.
        """
        first = planned.first_index
        return {
            "hr": np.stack([self._crop(sample) for sample in planned.samples]),
            "key": [self._images[sample.image].key for sample in planned.samples],
            "seed": [sample.seed for sample in planned.samples],
            "index": np.arange(first, first + len(planned.samples), dtype=np.int64),
            "scale": planned.scale,
            "step": planned.step,
            "micro_batch": planned.micro_batch,
        }

    def _crop(self, sample: PlannedSample) -> Pixels:
        pixels = self._decoded(sample.image)
        size = self._patch_size
        crop = pixels[sample.top : sample.top + size, sample.left : sample.left + size]
        return crop[:, ::-1] if sample.flip else crop

    def _decoded(self, number: int) -> Pixels:
        pixels = self._cache.get(number)
        if pixels is None:
            pixels = self.read_image(number)
            self._cache.put(number, pixels)
        return pixels

    def read_image(self, number: int) -> Pixels:
        """A whole image, uint8 [H, W, 3], checked against the manifest's digest."""
        image = self._images[number]
        if image.source not in self._stores:
            self._stores[image.source] = open_store(self._sources[image.source])
        store = self._stores[image.source]
        data = store.read_bytes(image.key)
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise DataError(
                f"{image.key} in {store.uri} has changed since the manifest was written.",
                "Run the job again: it reads the images anew and writes a new manifest.",
            )
        return decode_image(data, image.key).pixels
