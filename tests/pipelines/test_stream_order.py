"""One ordered list of samples, whatever the number of workers, the size of Ray's blocks or the step to start from."""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import ray

from pipelines import stream
from pipelines.datasets import DataConfig
from pipelines.plan import StreamSpec
from pipelines.stream import StreamInputs, local_batches, ray_batches, ray_dataset
from tests.pipelines.streams import inputs_of, write_noise

NUM_IMAGES = 11
SPEC = StreamSpec(
    seed=11,
    num_steps=5,
    micro_batches_per_step=2,
    global_batch_size=4,
    patch_size=40,
    scale_range=(2.0, 8.0),
    rotations=True,
)
CONFIG = DataConfig.model_validate({"scale": [2, 8], "degradation": "slimdiffsr", "num_test": 0, "patch_size": 64})
# What this module defines travels to Ray's workers by value: they cannot import tests.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Sample(NamedTuple):
    """One pair of the stream, by its place and its pixels."""

    step: int
    micro_batch: int
    index: int
    scale: float
    lr_sha256: str
    hr_sha256: str


def samples(batches: Iterable[Mapping[str, Any]]) -> list[list[Sample]]:
    """What a worker was given, a list for each of its batches, in its order."""
    return [
        [
            Sample(batch["step"], batch["micro_batch"], int(index), batch["scale"], _sha256(lr), _sha256(hr))
            for index, lr, hr in zip(batch["index"], batch["lr"], batch["hr"], strict=True)
        ]
        for batch in batches
    ]


def in_global_order(workers: Sequence[list[list[Sample]]]) -> list[Sample]:
    """The lists of all workers as one: micro-batch by micro-batch, and within it worker by worker."""
    return [sample for shares in zip(*workers, strict=True) for share in shares for sample in share]


def _sha256(pixels: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> StreamInputs:
    """Images of mixed sizes in three classes."""
    sizes = [(64 + 5 * number, 64 + 3 * (number % 4)) for number in range(NUM_IMAGES)]
    inputs = inputs_of(str(write_noise(tmp_path_factory.mktemp("images"), sizes, num_classes=3)), CONFIG, SPEC)
    assert len(inputs.images) == NUM_IMAGES
    return inputs


@pytest.fixture(scope="module")
def whole(inputs: StreamInputs) -> list[Sample]:
    """All samples of the run, as one worker has them."""
    return in_global_order([samples(local_batches(inputs, 0))])


def tail(whole: list[Sample], start_step: int) -> list[Sample]:
    return whole[start_step * SPEC.micro_batches_per_step * SPEC.global_batch_size :]


def test_the_list_is_what_the_plan_promises(whole: list[Sample]) -> None:
    assert [sample.index for sample in whole] == list(range(SPEC.num_micro_batches * SPEC.global_batch_size))
    numbers = [sample.step * SPEC.micro_batches_per_step + sample.micro_batch for sample in whole]
    assert numbers == [index // SPEC.global_batch_size for index in range(len(whole))]
    scales = {number: {s.scale for s, own in zip(whole, numbers, strict=True) if own == number} for number in numbers}
    assert all(len(drawn) == 1 for drawn in scales.values()), "one scale a micro-batch"
    assert len(set.union(*scales.values())) == SPEC.num_micro_batches, "and another for each"
    assert len({sample.hr_sha256 for sample in whole}) == len({sample.lr_sha256 for sample in whole}) == len(whole)


@pytest.mark.parametrize("max_cached_bytes", [0, 40_000, 10**6])
@pytest.mark.parametrize("start_step", [0, 1, 3, SPEC.num_steps])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_any_number_of_workers_from_any_step_gives_exactly_the_tail(
    inputs: StreamInputs, whole: list[Sample], world_size: int, start_step: int, max_cached_bytes: int
) -> None:
    own = replace(inputs, max_cached_bytes=max_cached_bytes)
    workers = [samples(local_batches(own, start_step, rank, world_size)) for rank in range(world_size)]
    assert in_global_order(workers) == tail(whole, start_step)


def test_a_run_goes_on_with_another_number_of_workers(inputs: StreamInputs, whole: list[Sample]) -> None:
    """Two workers until step 2, then four, then one."""
    seen: list[Sample] = []
    for world_size, start_step, stop_step in ((2, 0, 2), (4, 2, 3), (1, 3, SPEC.num_steps)):
        ended = replace(inputs, spec=replace(SPEC, num_steps=stop_step))
        workers = [samples(local_batches(ended, start_step, rank, world_size)) for rank in range(world_size)]
        seen += in_global_order(workers)
    assert seen == whole


def test_the_comparison_sees_swapped_samples(inputs: StreamInputs, whole: list[Sample]) -> None:
    """As sets, the shares of two workers that were mixed up would pass; as a list they do not."""
    workers = [samples(local_batches(inputs, 0, rank, 2)) for rank in (1, 0)]
    mixed = in_global_order(workers)
    assert set(mixed) == set(whole)
    assert mixed != whole


@pytest.mark.parametrize(
    ("world_size", "batches_per_task", "micro_batches_per_dataset", "start_step"),
    [(1, 1, 2048, 0), (1, 3, 4, 1), (2, 8, 2048, 2), (4, 2, 2048, 3)],
)
def test_block_sizes_change_nothing(
    ray_cluster: str,
    inputs: StreamInputs,
    whole: list[Sample],
    monkeypatch: pytest.MonkeyPatch,
    world_size: int,
    batches_per_task: int,
    micro_batches_per_dataset: int,
    start_step: int,
) -> None:
    monkeypatch.setattr(stream, "_MAX_BATCHES_PER_TASK", batches_per_task)
    monkeypatch.setattr(stream, "_MICRO_BATCHES_PER_DATASET", micro_batches_per_dataset)
    workers = []
    for rank in range(world_size):
        if micro_batches_per_dataset < SPEC.num_micro_batches:
            batches = stream.ray_stream(inputs, start_step, rank, world_size)
        else:
            batches = ray_batches(ray_dataset(inputs, start_step, rank, world_size))
        workers.append(samples(batches))
    assert in_global_order(workers) == tail(whole, start_step)


class Worker:
    """A training worker that only notes what it is given."""

    def run(self, inputs: StreamInputs, start_step: int, rank: int, batches_per_task: int) -> list[list[Sample]]:
        from pipelines import stream

        stream._MAX_BATCHES_PER_TASK = batches_per_task
        return samples(stream.ray_stream(inputs, start_step, rank, 2))


def test_two_training_workers_at_once_see_the_whole_in_order(
    ray_cluster: str, inputs: StreamInputs, whole: list[Sample]
) -> None:
    """Each with data actors of its own and blocks of another size than the other's."""
    workers = [ray.remote(num_cpus=0)(Worker).remote() for _ in range(2)]
    results = [worker.run.remote(inputs, 1, rank, (1, 4)[rank]) for rank, worker in enumerate(workers)]
    assert in_global_order(ray.get(results, timeout=300)) == tail(whole, 1)
    for worker in workers:
        ray.kill(worker)
