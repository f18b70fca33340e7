"""Read planned patches out of encoded images."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.stages import StageResources
from pipelines.storage import StorageSettings, Store, open_store
from pipelines.storage.shards import open_images
from rssr.errors import DataError
from rssr.images import decode_image

Pixels = npt.NDArray[np.uint8]

RESOURCES = StageResources(num_cpus=1, memory_bytes=600 * 2**20)

_NUM_READS = 4  # images of a batch fetched and decoded at once, which hides the latency of object stores


class StoredImage(Protocol):
    """Where an image lies and what it must hold; `pipelines.datasets.ImageRecord` is one."""

    @property
    def source(self) -> int:
        """Which of the data locations."""

    @property
    def key(self) -> str:
        """Key below that location."""

    @property
    def sha256(self) -> str:
        """Digest of the encoded bytes."""


class ReadPatches:
    """Cut the HR crops of a planned micro-batch, straight from the stores, without local copies.

    Safe to run again. Decoded images are kept within a bound; stores are opened where they are first read.

    Args:
        images: All training images, in the plan's order.
        sources: Data locations.
        patch_size: Side of the crops, pixels, for batches that do not name theirs.
        max_cached_bytes: Bound on decoded images kept.
        settings: How to reach S3; None reads the environment of the process that reads.
    """

    def __init__(
        self,
        images: Sequence[StoredImage],
        sources: Sequence[str],
        patch_size: int = 0,
        max_cached_bytes: int = 0,
        settings: StorageSettings | None = None,
    ) -> None:
        self._images = images
        self._sources = sources
        self._patch_size = patch_size
        self._settings = settings
        self._cache = _Cache(max_cached_bytes)
        self._stores: dict[int, Store] = {}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Add the HR crops and their keys to a batch.

        Args:
            batch: Holds `image`, `top`, `left` and `flip` (int64 [B], see `pipelines.plan.PlannedMicroBatch`).

        Returns:
            The batch with `hr` uint8 [B, P, P, 3] and `key` (list of B).

        Raises:
            DataError: An image has changed since the manifest was written, or is damaged.
            StorageError: An image cannot be read.
        """
        size = int(batch.get("patch_size", self._patch_size))
        numbers = [int(number) for number in batch["image"]]
        hr = self._empty(len(numbers), size)
        places = zip(batch["top"], batch["left"], batch["flip"], strict=True)
        for position, (pixels, (top, left, flip)) in enumerate(zip(self._decoded(numbers), places, strict=True)):
            hr[position] = oriented(pixels[top : top + size, left : left + size], int(flip))
        return {**batch, "hr": hr, "key": [self._images[number].key for number in numbers]}

    def read_image(self, number: int) -> Pixels:
        """A whole image, uint8 [H, W, 3], checked against the manifest's digest.

        Raises:
            DataError: It has changed since the manifest was written, or is damaged.
            StorageError: It cannot be read.
        """
        image = self._images[number]
        store = self._store(image.source)
        address = store.describe(image.key)
        data = store.read_bytes(image.key)
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise DataError(
                f"{address} has changed since the manifest was written.",
                "Run the job again: it reads the images anew and writes a new manifest.",
            )
        return decode_image(data, address).pixels

    def _empty(self, num_patches: int, size: int) -> npt.NDArray[Any]:
        return np.empty((num_patches, size, size, 3), dtype=np.uint8)

    def _decoded(self, numbers: list[int]) -> Iterator[Pixels]:
        """The images, in order; at most a few beyond the cache's bound are in memory at any time."""
        for first in range(0, len(numbers), _NUM_READS):
            group = numbers[first : first + _NUM_READS]
            ready = {number: pixels for number in group if (pixels := self._cache.get(number)) is not None}
            missing = [number for number in dict.fromkeys(group) if number not in ready]
            for number, pixels in zip(missing, self._read_all(missing), strict=True):
                self._cache.put(number, pixels)
                ready[number] = pixels
            yield from (ready[number] for number in group)

    def _read_all(self, numbers: list[int]) -> list[Pixels]:
        if len(numbers) < 2:
            return [self.read_image(number) for number in numbers]
        with ThreadPoolExecutor(len(numbers)) as pool:
            return list(pool.map(self.read_image, numbers))

    def _store(self, source: int) -> Store:
        if source not in self._stores:
            uri = self._sources[source]
            open_store(uri, self._settings).expect_answers()  # whoever planned these images has reached it
            self._stores[source] = open_images(uri, self._settings)
        return self._stores[source]


def oriented(pixels: Pixels, flip: int) -> Pixels:
    """A square patch in one of its eight orientations.

    Args:
        pixels: uint8 [P, P, 3].
        flip: 4 swaps rows and columns, then 2 mirrors top to bottom, then 1 left to right; sums combine.
    """
    if flip & 4:
        pixels = pixels.transpose(1, 0, 2)
    if flip & 2:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if flip & 1 else pixels


class _Cache:
    """Decoded images within a bound, the least recently used dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self.num_bytes = 0
        self._max_bytes = max_bytes
        self._images: OrderedDict[int, Pixels] = OrderedDict()

    def get(self, number: int) -> Pixels | None:
        if number in self._images:
            self._images.move_to_end(number)
        return self._images.get(number)

    def put(self, number: int, pixels: Pixels) -> None:
        if pixels.nbytes > self._max_bytes:
            return
        self._images[number] = pixels
        self.num_bytes += pixels.nbytes
        while self.num_bytes > self._max_bytes:
            _, dropped = self._images.popitem(last=False)
            self.num_bytes -= dropped.nbytes
