"""The training plan: which patch of which image is sample number n, decided before anything is read.

The plan is a pure function of (images, seed, counters). Micro-batch number m of the run holds the global samples
m * G to (m + 1) * G - 1 for a global batch of G; each epoch visits every image once in a fresh order; position, flip
and degradation seed of a sample depend on its number alone. So the same seed gives the same pairs in the same order
for any number of workers, and a run that stopped after k steps goes on at exactly the next sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rssr.errors import ConfigError
from rssr.seeds import derive_seed, numpy_generator


class PlannedImage(Protocol):
    """What the plan needs to know of an image."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""


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
    """

    seed: int
    num_steps: int
    micro_batches_per_step: int
    global_batch_size: int
    patch_size: int
    scale_range: tuple[float, float]
    flips: bool = True

    @property
    def num_micro_batches(self) -> int:
        """Micro-batches of the whole run."""
        return self.num_steps * self.micro_batches_per_step


@dataclass(frozen=True)
class PlannedSample:
    """One training pair before it is read.

    Attributes:
        image: Position in the list of images.
        top: First row of the HR crop.
        left: First column of the HR crop.
        flip: Whether it is mirrored left to right.
        seed: Seed of its degradation.
    """

    image: int
    top: int
    left: int
    flip: bool
    seed: int


@dataclass(frozen=True)
class PlannedMicroBatch:
    """What one worker computes of one micro-batch.

    Attributes:
        step: Optimizer step.
        micro_batch: Position within the step.
        scale: HR/LR ratio of all its pairs.
        first_index: Position of the first sample within the global micro-batch.
        samples: This worker's samples, in order.
    """

    step: int
    micro_batch: int
    scale: float
    first_index: int
    samples: tuple[PlannedSample, ...]


def plan_micro_batch(
    images: Sequence[PlannedImage], spec: StreamSpec, number: int, rank: int = 0, world_size: int = 1
) -> PlannedMicroBatch:
    """The share of one worker in micro-batch `number` of the run.

    Args:
        images: Training images; none smaller than the patch.
        spec: The stream.
        number: Counts micro-batches from the start of the run.
        rank: This worker; it takes a contiguous share of each micro-batch.
        world_size: All workers.

    Raises:
        ConfigError: The workers do not divide the global batch, or there is no image.
    """
    share = share_of_batch(spec.global_batch_size, world_size)
    if not images:
        raise ConfigError("There is no training image.", "Check data.uri and data.patch_size.")
    first = rank * share
    start = number * spec.global_batch_size + first
    samples = tuple(_plan_sample(images, spec, start + offset) for offset in range(share))
    step, micro_batch = divmod(number, spec.micro_batches_per_step)
    return PlannedMicroBatch(step, micro_batch, _draw_scale(spec, number), first, samples)


def share_of_batch(global_batch_size: int, world_size: int) -> int:
    """Samples of one worker in a global micro-batch.

    Raises:
        ConfigError: The workers do not divide it.
    """
    if global_batch_size % world_size:
        raise ConfigError(
            f"{world_size} workers cannot share micro-batches of {global_batch_size} samples equally.",
            "Choose a number of workers that divides it.",
        )
    return global_batch_size // world_size


def _plan_sample(images: Sequence[PlannedImage], spec: StreamSpec, number: int) -> PlannedSample:
    epoch, position = divmod(number, len(images))
    image = int(_epoch_order(spec.seed, epoch, len(images))[position])
    generator = numpy_generator(spec.seed, "sample", number)
    top = int(generator.integers(images[image].height - spec.patch_size + 1))
    left = int(generator.integers(images[image].width - spec.patch_size + 1))
    flip = spec.flips and bool(generator.integers(2))
    return PlannedSample(image, top, left, flip, derive_seed(spec.seed, "degradation", number))


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, num_images: int) -> npt.NDArray[np.int64]:
    return numpy_generator(seed, "epoch", epoch).permutation(num_images)


def _draw_scale(spec: StreamSpec, number: int) -> float:
    low, high = spec.scale_range
    if low == high:
        return low
    return float(numpy_generator(spec.seed, "scale", number).uniform(low, high))
