"""The training plan: which patch of which image is sample number n, decided before anything is read.

The plan is a pure function of (images, seed, counters). Micro-batch number m of the run holds the samples m * G to
(m + 1) * G - 1 for a global batch of G; each epoch visits every image once in a fresh order; position, flip and
degradation seed of a sample depend on its number alone. So the same seed gives the same pairs in the same order for
any number of workers, and a run that stopped after k steps goes on at exactly the next sample. Any micro-batch is
computed alone, at the cost of its own samples and one permutation an epoch: nothing grows with the run's length.

Random numbers are hashes or raw Philox output, which NumPy guarantees not to change between versions.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rssr.errors import ConfigError
from rssr.seeds import derive_seed

Ints = npt.NDArray[np.int64]

_SEED_RANGE = 2.0**63
_EPOCHS_KEPT = 4  # a micro-batch may straddle epochs, and tests look back


class PlannedImage(Protocol):
    """What the plan needs to know of an image; `pipelines.datasets.ImageRecord` is one."""

    @property
    def source(self) -> int:
        """Which of the data locations."""

    @property
    def key(self) -> str:
        """Key below that location."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def sha256(self) -> str:
        """Digest of the encoded bytes."""


@dataclass(frozen=True)
class StreamSpec:
    """Everything that determines the stream, besides the images.

    Attributes:
        seed: Seed of the stream.
        num_steps: Optimizer steps of the run.
        micro_batches_per_step: Micro-batches of each step.
        global_batch_size: Samples of a micro-batch over all workers.
        patch_size: Side of the HR crops, pixels.
        scale_range: Scale, drawn once a micro-batch; equal ends fix it.
        flips: Whether half of the patches are mirrored left to right.
        rotations: Whether patches are also mirrored top to bottom and turned by quarters (LDCSR): with `flips`, each
            of the eight orientations is equally likely.
        lr_patch_size: Side of the LR patches, pixels, where these are fixed and the HR crop follows from the scale
            (LDCSR, stage 1); replaces `patch_size`.
        patches_per_image: Patches of each image in an epoch; `area` takes as many as fit side by side, so that
            large scenes weigh by what they hold.
        scales: Scales of which each micro-batch has one, all equally likely; None draws from the whole range.
        samples_per_share: Samples that are never parted: workers of any number take whole shares of each micro-batch,
            some one more than others. None has workers divide it equally.
    """

    seed: int
    num_steps: int
    micro_batches_per_step: int
    global_batch_size: int
    patch_size: int
    scale_range: tuple[float, float]
    flips: bool = True
    rotations: bool = False
    lr_patch_size: int | None = None
    patches_per_image: int | Literal["area"] = 1
    scales: tuple[float, ...] | None = None
    samples_per_share: int | None = None

    def __post_init__(self) -> None:
        counts = (self.num_steps, self.micro_batches_per_step, self.global_batch_size, self.patch_size)
        if self.num_steps < 0 or min(counts[1:]) < 1 or not 1 <= self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"{self} is no stream: counts and sizes are positive, scales ordered and at least 1")

    @property
    def num_micro_batches(self) -> int:
        """Micro-batches of the whole run."""
        return self.num_steps * self.micro_batches_per_step

    @property
    def largest_patch_size(self) -> int:
        """Side of the largest HR crop, pixels: what every image must hold."""
        return self.patch_size_at(self.scale_range[1])

    def patch_size_at(self, scale: float) -> int:
        """Side of the HR crops of a micro-batch of this scale, pixels."""
        if self.lr_patch_size is None:
            return self.patch_size
        return math.floor(self.lr_patch_size * scale)

    def scale_at(self, scale: float) -> float:
        """HR/LR ratio of the patches themselves: as drawn, or where LR patches are fixed, that of whole pixels."""
        if self.lr_patch_size is None:
            return scale
        ratio = self.patch_size_at(scale) / self.lr_patch_size
        # LR sides are HR sides over this, rounded down, and must not come out one pixel short.
        return ratio if int(self.patch_size_at(scale) / ratio) == self.lr_patch_size else math.nextafter(ratio, 0.0)


@dataclass(frozen=True)
class PlannedMicroBatch:
    """What one worker computes of one micro-batch; arrays are int64 [B].

    Attributes:
        step: Optimizer step.
        micro_batch: Position within the step.
        scale: HR/LR ratio of all its pairs.
        patch_size: Side of the HR crops, pixels.
        index: Number of each sample in the run.
        epoch: Epoch of each sample.
        image: Position in the list of images.
        top: First row of the HR crop.
        left: First column of the HR crop.
        flip: Orientation: 1 mirrors left to right, 2 top to bottom, 4 swaps rows and columns first; sums combine.
        seed: Seed of the degradation.
    """

    step: int
    micro_batch: int
    scale: float
    patch_size: int
    index: Ints
    epoch: Ints
    image: Ints
    top: Ints
    left: Ints
    flip: Ints
    seed: Ints


class Plan:
    """The plan of one run.

    Args:
        images: Training images in a fixed order.
        spec: The stream.

    Raises:
        ConfigError: There is no image, or one is smaller than the crops.
    """

    def __init__(self, images: Sequence[PlannedImage], spec: StreamSpec) -> None:
        if not images:
            raise ConfigError("There is no training image.", "Check data.uri and data.patch_size.")
        small = next((image for image in images if min(image.width, image.height) < spec.largest_patch_size), None)
        if small is not None:
            raise ConfigError(
                f"{small.key} measures {small.width}x{small.height} pixels, too small for crops of "
                f"{spec.largest_patch_size} pixels.",
                "Choose a smaller patch_size or larger images.",
            )
        self._images = images
        self._spec = spec
        self._heights = np.array([image.height for image in images], dtype=np.int64)
        self._widths = np.array([image.width for image in images], dtype=np.int64)
        self._order = lru_cache(maxsize=_EPOCHS_KEPT)(self._make_order)

    @property
    def num_samples_per_epoch(self) -> int:
        """Samples of an epoch."""
        return len(self._draws)

    def micro_batch(self, number: int, rank: int = 0, world_size: int = 1) -> PlannedMicroBatch:
        """The share of one worker in micro-batch `number`, counted from the start of the run.

        Args:
            number: The micro-batch.
            rank: This worker; it takes a contiguous part of each micro-batch.
            world_size: All workers.

        Raises:
            ConfigError: The workers cannot share the global batch.
        """
        spec = self._spec
        part = part_of_batch(spec, rank, world_size)
        scale = _draw_scale(spec, number)
        size = spec.patch_size_at(scale)
        first = number * spec.global_batch_size
        index = np.arange(first + part.start, first + part.stop, dtype=np.int64)
        epoch, position = np.divmod(index, self.num_samples_per_epoch)
        image = np.array([self._order(int(e))[p] for e, p in zip(epoch, position, strict=True)], dtype=np.int64)
        step, micro_batch = divmod(number, spec.micro_batches_per_step)
        return PlannedMicroBatch(
            step=step,
            micro_batch=micro_batch,
            scale=spec.scale_at(scale),
            patch_size=size,
            index=index,
            epoch=epoch,
            image=image,
            top=self._hashes("top", index) % (self._heights[image] - size + 1),
            left=self._hashes("left", index) % (self._widths[image] - size + 1),
            flip=self._hashes("flip", index) % 8 & (spec.flips * 1 | spec.rotations * 6),
            seed=self._hashes("degradation", index),
        )

    @cached_property
    def _draws(self) -> Ints:
        """Image of each sample of an epoch, before they are put into order."""
        spec = self._spec
        if spec.patches_per_image == "area":
            side = spec.largest_patch_size
            counts = (self._heights // side) * (self._widths // side)
        else:
            counts = np.full(len(self._images), spec.patches_per_image, dtype=np.int64)
        return np.repeat(np.arange(len(self._images), dtype=np.int64), counts)

    def _make_order(self, epoch: int) -> Ints:
        keys = np.random.Philox(key=derive_seed(self._spec.seed, "epoch", epoch)).random_raw(len(self._draws))
        return self._draws[np.argsort(keys, kind="stable")]

    def _hashes(self, purpose: str, index: Ints) -> Ints:
        return np.array([derive_seed(self._spec.seed, purpose, int(number)) for number in index], dtype=np.int64)


def plan_rows(images: Sequence[PlannedImage], spec: StreamSpec, start_step: int, stop_step: int) -> pa.Table:
    """The plan of some steps as a table, a row a sample, in the order of the stream.

    Columns: step, micro_batch, index, epoch, source, key, sha256, top, left, patch_size, flip, scale, seed.

    Raises:
        ConfigError: See `Plan`.
    """
    tables = list(iterate_rows(images, spec, start_step, stop_step))
    return pa.concat_tables(tables) if tables else _table_of(images, []).slice(0, 0)


def iterate_rows(
    images: Sequence[PlannedImage], spec: StreamSpec, start_step: int, stop_step: int, chunk_steps: int = 1024
) -> Iterator[pa.Table]:
    """`plan_rows` in pieces, so that the plan of a long run never lies in memory as a whole."""
    plan = Plan(images, spec)
    per_step = spec.micro_batches_per_step
    for first in range(start_step, stop_step, chunk_steps):
        last = min(first + chunk_steps, stop_step)
        yield _table_of(images, [plan.micro_batch(number) for number in range(first * per_step, last * per_step)])


def shard(table: pa.Table, rank: int, world_size: int) -> pa.Table:
    """One worker's rows: a contiguous share of each micro-batch.

    Args:
        table: Whole micro-batches of `plan_rows`.
        rank: The worker.
        world_size: All workers.

    Raises:
        ConfigError: The workers do not divide the global batch.
    """
    if table.num_rows == 0:
        return table
    steps, micro_batches = (table.column(name).to_numpy() for name in ("step", "micro_batch"))
    global_batch_size = int(np.count_nonzero((steps == steps[0]) & (micro_batches == micro_batches[0])))
    share = share_of_batch(global_batch_size, world_size)
    position = np.arange(table.num_rows) % global_batch_size
    return table.filter(pa.array(position // share == rank))


def part_of_batch(spec: StreamSpec, rank: int, world_size: int) -> range:
    """Positions of one worker's samples in every global micro-batch.

    Raises:
        ConfigError: The workers do not divide it, or are more than its shares.
    """
    if spec.samples_per_share is None:
        share = share_of_batch(spec.global_batch_size, world_size)
        return range(rank * share, (rank + 1) * share)
    num_shares = spec.global_batch_size // spec.samples_per_share
    if not 1 <= world_size <= num_shares:
        raise ConfigError(
            f"{world_size} workers cannot share micro-batches of {num_shares} shares.",
            "Give num_workers as that of the most workers.",
        )
    bounds = [number * num_shares // world_size * spec.samples_per_share for number in (rank, rank + 1)]
    return range(*bounds)


def share_of_batch(global_batch_size: int, world_size: int) -> int:
    """Samples of one worker in a global micro-batch.

    Raises:
        ConfigError: The workers do not divide it.
    """
    if world_size < 1 or global_batch_size % world_size:
        raise ConfigError(
            f"{world_size} workers cannot share micro-batches of {global_batch_size} samples equally.",
            "Choose a number of workers that divides it.",
        )
    return global_batch_size // world_size


def _draw_scale(spec: StreamSpec, number: int) -> float:
    low, high = spec.scale_range
    if spec.scales is not None:
        return float(spec.scales[derive_seed(spec.seed, "scale", number) % len(spec.scales)])
    if low == high:
        return float(low)
    return float(low + (high - low) * (derive_seed(spec.seed, "scale", number) / _SEED_RANGE))


def _table_of(images: Sequence[PlannedImage], planned: list[PlannedMicroBatch]) -> pa.Table:
    chosen = [images[int(number)] for batch in planned for number in batch.image]
    share = [len(batch.index) for batch in planned]

    def repeated(name: str, dtype: type) -> npt.NDArray[np.generic]:
        return np.repeat(np.array([getattr(batch, name) for batch in planned], dtype=dtype), share)

    def joined(name: str) -> Ints:
        return np.concatenate([getattr(batch, name) for batch in planned] or [np.empty(0, dtype=np.int64)])

    return pa.table(
        {
            "step": repeated("step", np.int64),
            "micro_batch": repeated("micro_batch", np.int64),
            "index": joined("index"),
            "epoch": joined("epoch"),
            "source": pa.array([image.source for image in chosen], pa.int64()),
            "key": pa.array([image.key for image in chosen], pa.string()),
            "sha256": pa.array([image.sha256 for image in chosen], pa.string()),
            "top": joined("top"),
            "left": joined("left"),
            "patch_size": repeated("patch_size", np.int64),
            "flip": joined("flip"),
            "scale": repeated("scale", np.float64),
            "seed": joined("seed"),
        }
    )
