"""Execute the plan: the same batches in the same order from plain functions or from Ray Data.

A batch is one worker's share of a micro-batch: a dict with

- `lr` uint8 [B, h, w, 3] and `hr` uint8 [B, H, W, 3], RGB; of Sentinel-2 products float32 [B, h, w, C] and
  [B, H, W, C], network values by the declared stretch,
- `scale` (float), `step` and `micro_batch` (int),
- `index` int64 [B], the samples' numbers in the run, and `key` (list of B), the images they come from.

**Under Ray Train**, each training worker builds and executes the stream of its own rank, inside its training
function: `ray_stream(inputs, start_step, rank, world_size)`. Tried with Ray 2.60 and Train v2 on two CPUs; three
other ways were considered:

- Datasets handed to the trainer (`datasets={"train_0": ...}`, `DataConfig(datasets_to_split=[])`, then
  `get_dataset_shard(f"train_{rank}")` and `ray_batches`) give the same batches, but are built before the training
  function knows from which step and with how many workers it goes on after a failure.
- `streaming_split` over several workers gives blocks to whichever asks first: timing would decide who trains on
  what. Split into one part it only moves Ray's scheduling into an actor of its own, which is how it is used here.
- `ray.data.range` as the source needs a CPU of its own for its read tasks, which a machine of two CPUs with one
  training worker and one data actor does not have. Blocks put by the consumer need none.

Data actors reserve CPUs beside the training workers; where these hold all of the cluster's CPUs, the actors run
without a reservation instead of waiting for ever.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.datasets.scenes_config import ScenesConfig
from pipelines.plan import Plan, StreamSpec, part_of_batch
from pipelines.stages import degrade, read
from pipelines.stages.degrade import Degrade
from pipelines.stages.reader import patch_reader
from pipelines.stages.stretch import ToNetworkValues
from pipelines.storage import StorageSettings
from rssr.degradation import DegradationConfig
from rssr.errors import RssrError

if TYPE_CHECKING:
    import ray.data

    from pipelines.datasets.manifest import ImageRecord

Batch = dict[str, Any]
Pixels = npt.NDArray[Any]

RESOURCES = read.RESOURCES.together(degrade.RESOURCES)

# One dataset holds a block of a few bytes for each of its tasks, which costs about 1 ms and 4 KB each where the
# dataset is built. A new one, every so many, costs seconds; the stream pauses once in minutes or hours.
_MICRO_BATCHES_PER_DATASET = 2048
_TASK_BYTES = 8 * 2**20  # of HR pixels that a task computes; large batches go alone
_MAX_BATCHES_PER_TASK = 8
MAX_ACTORS = 16  # a worker; more than a GPU's worth of degradation
_NUM_PREFETCHED = 2
_ERROR = "error"
_BATCH_ENTRIES = ("lr", "hr", "scale", "step", "micro_batch", "index", "key")


@dataclass(frozen=True)
class StreamInputs:
    """What a worker needs to compute its share of the stream: plain values only.

    Attributes:
        images: Training images in the plan's order.
        sources: Data locations.
        spec: The plan's parameters.
        degradation: How LR images are made.
        max_cached_bytes: Bound on decoded images kept by each data process.
        scenes: How Sentinel-2 products are read; None for pictures.
    """

    images: Sequence["ImageRecord"]
    sources: Sequence[str]
    spec: StreamSpec
    degradation: DegradationConfig
    max_cached_bytes: int
    scenes: ScenesConfig | None = None

    @property
    def bytes_per_pixel(self) -> int:
        """Of an image of the stream."""
        return 3 if self.scenes is None else 4 * len(self.scenes.bands)


class MakeBatch:
    """Plan, read and degrade one worker's share of a micro-batch, by its number. Safe to run again.

    Args:
        inputs: The stream.
        rank: This worker.
        world_size: All workers.
        settings: How to reach S3; None reads the environment of the process that reads.

    Raises:
        ConfigError: There is no image, or one is smaller than the crops.
    """

    def __init__(
        self, inputs: StreamInputs, rank: int = 0, world_size: int = 1, settings: StorageSettings | None = None
    ) -> None:
        spec = inputs.spec
        self._rank = rank
        self._world_size = world_size
        self._plan = Plan(inputs.images, spec)
        self._read = patch_reader(inputs.images, inputs.sources, inputs.scenes, inputs.max_cached_bytes, settings)
        self._degrade = Degrade(inputs.degradation)
        self._finish = None if inputs.scenes is None else ToNetworkValues(inputs.scenes.value_stretch)

    def __call__(self, number: int) -> Batch:
        """Micro-batch `number` of the run, counted from its start.

        Raises:
            ConfigError: The workers do not divide the global batch.
            DataError: An image has changed or is damaged.
            StorageError: An image cannot be read.
        """
        planned = vars(self._plan.micro_batch(number, self._rank, self._world_size))
        batch = self._degrade(self._read(planned))
        if self._finish is not None:
            batch = self._finish(batch)
        return {name: batch[name] for name in _BATCH_ENTRIES}


def local_batches(inputs: StreamInputs, start_step: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
    """The stream from a step on, computed in this process, without Ray.

    Args:
        inputs: The stream.
        start_step: First step to yield.
        rank: This worker.
        world_size: All workers.
    """
    make = MakeBatch(inputs, rank, world_size)
    for number in range(start_step * inputs.spec.micro_batches_per_step, inputs.spec.num_micro_batches):
        yield make(number)


def ray_stream(inputs: StreamInputs, start_step: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
    """The stream from a step on, computed by data actors: the batches of `local_batches`.

    However long the run, a few micro-batches are in memory at any time.

    Args:
        inputs: The stream.
        start_step: First step to yield.
        rank: This worker.
        world_size: All workers.
    """
    spec = inputs.spec
    steps_each = max(1, _MICRO_BATCHES_PER_DATASET // spec.micro_batches_per_step)
    for first in range(start_step, spec.num_steps, steps_each):
        dataset = ray_dataset(inputs, first, rank, world_size, stop_step=first + steps_each)
        # A split of one part is executed by an actor of its own. Iterating over the dataset itself would run Ray's
        # scheduling loop in a thread of the training process, which waits for the interpreter at every operation.
        yield from ray_batches(dataset.streaming_split(1)[0])


def ray_dataset(
    inputs: StreamInputs, start_step: int, rank: int = 0, world_size: int = 1, stop_step: int | None = None
) -> "ray.data.Dataset":
    """Some steps of the stream as a lazy Ray dataset; `ray_batches` reads it.

    A row is one whole batch, so that batches of different scales (and so of different shapes) can follow one
    another and no block boundary ever splits one. For thousands of steps and more, `ray_stream` starts sooner.

    Args:
        inputs: The stream.
        start_step: First step.
        rank: This worker.
        world_size: All workers.
        stop_step: Step to stop before; None goes to the end.
    """
    import ray.data

    spec = inputs.spec
    last = spec.num_steps if stop_step is None else min(stop_step, spec.num_steps)
    numbers = range(start_step * spec.micro_batches_per_step, last * spec.micro_batches_per_step)
    num_cpus, num_actors = _share_of_cluster(world_size)
    if not numbers:
        return ray.data.from_blocks([_table_of_numbers([])])
    each = _batches_per_task(inputs, world_size)
    blocks = [_table_of_numbers(list(numbers[first : first + each])) for first in range(0, len(numbers), each)]
    dataset = ray.data.from_blocks(blocks).map_batches(
        _MakeRow,
        fn_constructor_args=(inputs, rank, world_size, StorageSettings.from_environment()),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=num_actors),
        num_cpus=num_cpus,
    )
    keep_order(dataset.context)
    return dataset


def ray_batches(dataset: "ray.data.Dataset | ray.data.DataIterator") -> Iterator[Batch]:
    """The batches of a `ray_dataset`, or of an iterator over one, in order.

    Raises:
        RssrError: What a data actor raised, of the same class and text.
    """
    for table in dataset.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=_NUM_PREFETCHED):
        raise_packed_error(table)
        yield unpack_batch(table)


def pack_batch(batch: Mapping[str, Any]) -> pa.Table:
    """A batch as a table of one row; pixels become bytes, which Arrow holds whatever their shape."""
    columns: dict[str, Any] = {
        "scale": pa.array([batch["scale"]], pa.float64()),
        "step": pa.array([batch["step"]], pa.int64()),
        "micro_batch": pa.array([batch["micro_batch"]], pa.int64()),
        "index": pa.array([batch["index"]], pa.list_(pa.int64())),
        "key": pa.array([batch["key"]], pa.list_(pa.string())),
    }
    for name in ("lr", "hr"):
        columns[name] = pa.array([batch[name].tobytes()], pa.large_binary())
        columns[f"{name}_shape"] = pa.array([batch[name].shape], pa.list_(pa.int64()))
        columns[f"{name}_dtype"] = pa.array([batch[name].dtype.name], pa.string())
    return pa.table(columns)


def unpack_batch(table: pa.Table) -> Batch:
    """The batch in a table of one row. Its arrays are copies: they hold no shared memory and can be written to."""

    def pixels(name: str) -> Pixels:
        buffer = table.column(name).combine_chunks()[0].as_buffer()
        dtype = np.dtype(table[f"{name}_dtype"][0].as_py())
        return np.frombuffer(buffer, dtype=dtype).reshape(table[f"{name}_shape"][0].as_py()).copy()

    return {
        "lr": pixels("lr"),
        "hr": pixels("hr"),
        "scale": float(table["scale"][0].as_py()),
        "step": int(table["step"][0].as_py()),
        "micro_batch": int(table["micro_batch"][0].as_py()),
        "index": np.array(table["index"][0].as_py(), dtype=np.int64),
        "key": list(table["key"][0].as_py()),
    }


def _batches_per_task(inputs: StreamInputs, world_size: int) -> int:
    """Batches that one Ray task computes: a task costs tens of milliseconds, as much as a small batch itself."""
    spec = inputs.spec
    largest = len(part_of_batch(spec, world_size - 1, world_size))  # the last has most where they differ
    batch_bytes = inputs.bytes_per_pixel * spec.largest_patch_size**2 * largest
    return int(min(max(_TASK_BYTES // batch_bytes, 1), _MAX_BATCHES_PER_TASK))


class _MakeRow(MakeBatch):
    """`MakeBatch` in the form that Ray Data maps: a table of one number in, a table of one batch out.

    Errors of ours travel as rows, in order: Ray would hand on their text, but not what they are.
    """

    def __call__(self, row: Mapping[str, Any]) -> pa.Table:  # type: ignore[override]  # a row, not a number
        try:
            return pack_batch(super().__call__(int(row["number"][0])))
        except RssrError as error:
            return pack_error(error)


def pack_error(error: RssrError) -> pa.Table:
    """An error as a row, for `raise_packed_error` in another process."""
    return pa.table({_ERROR: [[type(error).__name__, error.problem, error.remedy]]})


def raise_packed_error(table: pa.Table) -> None:
    """Raise what a table's first row packs, of the same class and text; nothing where that is no error."""
    packed = table[_ERROR][0].as_py() if _ERROR in table.column_names else None
    if packed is None:  # a batch, perhaps out of a block that holds an error further on
        return
    name, problem, remedy = packed
    raise next((kind for kind in _kinds(RssrError) if kind.__name__ == name), RssrError)(problem, remedy)


def _kinds(kind: type[RssrError]) -> Iterator[type[RssrError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _table_of_numbers(numbers: list[int]) -> pa.Table:
    return pa.table({"number": pa.array(numbers, pa.int64())})


def _share_of_cluster(world_size: int) -> tuple[float, int]:
    """CPUs an actor reserves and the number of actors of one worker, so that all workers' actors find a place."""
    import ray

    total = ray.cluster_resources().get("CPU", 0.0)
    here = ray.get_runtime_context()
    in_worker = here.get_actor_id() is not None  # training workers are actors; a driver holds nothing
    held = float(here.get_assigned_resources().get("CPU", 0.0)) if in_worker else 0.0
    free = max(total / world_size - held, 0.0)
    if free < RESOURCES.num_cpus:
        return 0.0, 1
    return RESOURCES.num_cpus, min(MAX_ACTORS, int(free // RESOURCES.num_cpus))


def keep_order(context: "ray.data.DataContext") -> None:
    """Have a dataset hand out its rows in order, and say nothing; other datasets in this process stay as they are."""
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    # Newer than the oldest Ray we run with: no lines at every start, and no failure while a long validation or a
    # long step leaves the stream alone.
    for name, value in (("print_on_execution_start", False), ("execution_no_progress_timeout_s", -1)):
        if hasattr(context, name):
            setattr(context, name, value)
