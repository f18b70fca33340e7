"""Execute the plan: the same batches in the same order from plain functions or from Ray Data.

A row of the Ray dataset is one whole micro-batch of one worker, so that batches of different scales (and so of
different shapes) can follow one another and no block boundary ever splits one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.plan import StreamSpec, plan_micro_batch
from pipelines.stages import read
from pipelines.stages.degrade import Degrade
from pipelines.stages.read import ReadPatches
from rssr.degradation import DegradationConfig

if TYPE_CHECKING:
    import ray.data

    from pipelines.datasets.manifest import ImageRecord

# Micro-batches computed by one Ray task: few enough that the first is delivered at once, many enough that the
# cost of a task (milliseconds) vanishes.
_MICRO_BATCHES_PER_TASK = 4
_MAX_TASKS = 20_000


@dataclass(frozen=True)
class StreamInputs:
    """What a worker needs to compute its share of the stream.

    Attributes:
        images: Training images in the plan's order.
        sources: Data locations.
        spec: The plan's parameters.
        degradation: How LR images are made.
        max_cached_bytes: Bound on decoded images kept by each data process.
    """

    images: Sequence["ImageRecord"]
    sources: Sequence[str]
    spec: StreamSpec
    degradation: DegradationConfig
    max_cached_bytes: int


class MakeBatch:
    """Plan, read and degrade one worker's share of a micro-batch, by its number."""

    def __init__(self, inputs: StreamInputs, rank: int, world_size: int) -> None:
        self._inputs = inputs
        self._rank = rank
        self._world_size = world_size
        spec = inputs.spec
        self._read = ReadPatches(inputs.images, inputs.sources, spec.patch_size, inputs.max_cached_bytes)
        self._degrade = Degrade(inputs.degradation)

    def __call__(self, number: int) -> dict[str, Any]:
        """Micro-batch `number` of the run; see `ReadPatches` and `Degrade` for its entries."""
        inputs = self._inputs
        planned = plan_micro_batch(inputs.images, inputs.spec, number, self._rank, self._world_size)
        return self._degrade(self._read(planned))


class _MakeRow:
    """`MakeBatch` in the form that Ray Data maps: row `id` is micro-batch `start + id`."""

    def __init__(self, inputs: StreamInputs, rank: int, world_size: int, start: int) -> None:
        self._make = MakeBatch(inputs, rank, world_size)
        self._start = start

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row holding a micro-batch; lists become arrays, which Arrow stores without pickling."""
        batch = self._make(self._start + int(row["id"]))
        return {**batch, "key": "\n".join(batch["key"]), "seed": np.array(batch["seed"], dtype=np.int64)}


def local_batches(inputs: StreamInputs, start_step: int, rank: int = 0, world_size: int = 1) -> Iterator[dict[str, Any]]:
    """The stream from a step on, computed in this process."""
    make = MakeBatch(inputs, rank, world_size)
    start = start_step * inputs.spec.micro_batches_per_step
    for number in range(start, inputs.spec.num_micro_batches):
        yield make(number)


def ray_dataset(inputs: StreamInputs, start_step: int, rank: int = 0, world_size: int = 1) -> "ray.data.Dataset":
    """The stream from a step on as a lazy Ray dataset, to be consumed by the worker of this rank.

    Each training worker builds and executes its own dataset: Ray's `streaming_split` hands blocks to whichever
    worker asks first, which would make the assignment depend on timing.
    """
    import ray.data

    start = start_step * inputs.spec.micro_batches_per_step
    count = max(inputs.spec.num_micro_batches - start, 0)
    num_tasks = max(1, min(-(-count // _MICRO_BATCHES_PER_TASK), _MAX_TASKS))
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    dataset = ray.data.range(count, override_num_blocks=num_tasks)
    return dataset.map(
        _MakeRow,
        fn_constructor_args=(inputs, rank, world_size, start),
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=read.RESOURCES.num_cpus,
    )


def ray_batches(dataset: "ray.data.Dataset") -> Iterator[dict[str, Any]]:
    """Micro-batches of `ray_dataset`, in order and in the form of `local_batches`."""
    for row in dataset.iter_batches(batch_size=1, prefetch_batches=2, batch_format="numpy"):
        yield {
            "lr": row["lr"][0],
            "hr": row["hr"][0],
            "key": str(row["key"][0]).split("\n"),
            "seed": [int(seed) for seed in row["seed"][0]],
            "index": row["index"][0],
            "scale": float(row["scale"][0]),
            "step": int(row["step"][0]),
            "micro_batch": int(row["micro_batch"][0]),
        }
