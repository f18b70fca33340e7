"""The time of a phase against what can be told without it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.estimate.training.pace import (
    RESOURCES,
    Machines,
    first_other_limit,
    largest_micro_batch,
    limit_of,
    phase_time,
)
from pipelines.estimate.training.work import PhaseWork
from tests.pipelines.estimate.training.known_work import machines, work

_works = st.builds(
    work,
    num_steps=st.integers(1, 10_000),
    pairs=st.integers(1, 64),
    flops_a_pair=st.floats(1e9, 1e14),
    gradient_bytes=st.floats(0, 1e10),
    pair_bytes=st.floats(0, 30e9),
    checkpoint_bytes=st.floats(0, 1e11),
    patch_size=st.integers(64, 1024),
)
_machines = st.builds(
    machines,
    flops_per_s=st.floats(1e11, 1e15),
    gpus_a_machine=st.integers(1, 16),
    cores=st.floats(0.5, 64),
    held_cores=st.floats(0, 8),
    link_bytes_per_s=st.floats(1e8, 1e12),
    network_bytes_per_s=st.floats(1e8, 1e12),
    hidden_share=st.floats(0, 1),
    store_bytes_per_s=st.floats(1e7, 1e12),
    pairs_per_core_s=st.floats(0.1, 500),
)
_numbers = st.integers(1, 100)
_each = st.none() | st.integers(1, 16)
_ALMOST = 1 - 1e-9


@given(_works, _machines, _numbers, _each)
def test_twice_the_gpus_are_never_slower(
    found: PhaseWork, around: Machines, num_gpus: int, pairs_each: int | None
) -> None:
    before = phase_time(found, around, num_gpus, pairs_each)
    assert phase_time(found, around, 2 * num_gpus, pairs_each).seconds <= before.seconds


@given(_works, _machines, _numbers, _each)
def test_no_resource_alone_would_take_longer(
    found: PhaseWork, around: Machines, num_gpus: int, pairs_each: int | None
) -> None:
    time = phase_time(found, around, num_gpus, pairs_each)
    all_pairs = found.num_steps * found.pairs
    assert time.seconds >= _ALMOST * found.all_flops / (num_gpus * around.flops_per_s)
    most_cores = max(time.num_used, num_gpus * around.cores)  # one each, where none is left beside the workers
    assert time.seconds >= _ALMOST * all_pairs / (most_cores * around.pairs_per_core_s)
    assert time.seconds >= _ALMOST * all_pairs * around.image_bytes / around.store_bytes_per_s


@given(_works, _machines, _numbers, _each)
def test_as_many_pairs_are_seen_as_are_asked_for(
    found: PhaseWork, around: Machines, num_gpus: int, pairs_each: int | None
) -> None:
    time = phase_time(found, around, num_gpus, pairs_each)
    assert 1 <= time.num_used <= num_gpus
    assert time.num_steps * time.pairs * time.num_used >= found.num_steps * found.pairs


@given(_works, _machines, _numbers, _each)
def test_the_limit_is_what_helps_most_when_it_is_doubled(
    found: PhaseWork, around: Machines, num_gpus: int, pairs_each: int | None
) -> None:
    limit = limit_of(found, around, num_gpus, pairs_each)
    doubled = {name: phase_time(found, around.doubled(name), num_gpus, pairs_each).seconds for name in RESOURCES}
    assert doubled[limit] == min(doubled.values())
    assert doubled[limit] <= phase_time(found, around, num_gpus, pairs_each).seconds


@given(_works, _machines, _numbers)
def test_what_is_computed_at_a_time_fits_into_memory(found: PhaseWork, around: Machines, num_gpus: int) -> None:
    time = phase_time(found, around, num_gpus)
    assert found.memory_bytes(1) <= around.memory_bytes
    assert time.memory_bytes <= around.memory_bytes * (1 + 1e-9)


def test_one_gpu_takes_the_arithmetic_alone() -> None:
    time = phase_time(work(), machines(), 1)
    assert time.step_s == pytest.approx(16 * 0.1)
    assert time.seconds == pytest.approx(1000 * 16 * 0.1)
    assert time.gradients_s == 0


def test_gradients_come_on_top_but_for_what_hides_behind_arithmetic() -> None:
    # Each of two GPUs sends as much as there is, once: 1 ms between GPUs of a machine, 10 ms between machines.
    shown = [
        phase_time(work(), machines(**changes), 2).exposed_s
        for changes in ({}, {"gpus_a_machine": 1}, {"gpus_a_machine": 1, "hidden_share": 0.01}, {"hidden_share": 1.0})
    ]
    assert shown == pytest.approx([1e-3, 10e-3, 10e-3 - 0.01 * 0.8, 0.0])


def test_gradients_hide_behind_the_last_micro_batch_alone() -> None:
    small = machines(gpus_a_machine=1, hidden_share=0.01, memory_bytes=6e9)
    time = phase_time(work(), small, 2)
    assert (time.pairs, time.micro_batch) == (8, 2)
    assert time.exposed_s == pytest.approx(10e-3 - 0.01 * 0.2)


def test_gpus_beyond_the_pairs_of_a_step_have_none() -> None:
    times = [phase_time(work(pairs=2), machines(), number) for number in (2, 8, 32)]
    assert [time.num_used for time in times] == [2, 2, 2]
    assert len({time.seconds for time in times}) == 1


def test_steps_that_grow_with_the_gpus_are_fewer() -> None:
    time = phase_time(work(), machines(hidden_share=1.0), 32, pairs_each=8)
    assert (time.num_used, time.pairs, time.num_steps) == (32, 8, 63)  # 1000 * 16 / 256, rounded up


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, "arithmetic"),
        ({"pairs_per_core_s": 0.01}, "cores"),
        ({"store_bytes_per_s": 1e5}, "store"),
        ({"network_bytes_per_s": 1.25e9, "gpus_a_machine": 1}, "network"),  # 0.15 s, for 0.1 s of arithmetic
        ({"link_bytes_per_s": 1.25e9, "gpus_a_machine": 16}, "links"),
        ({"network_bytes_per_s": 1.25e7}, "arithmetic"),  # so little that eight GPUs in one machine are faster
    ],
)
def test_whatever_is_scarce_is_named(changes: dict[str, float], limit: str) -> None:
    assert limit_of(work(), machines(**changes), 16) == limit


def test_more_memory_helps_where_larger_micro_batches_hide_more_of_the_gradients() -> None:
    around = machines(memory_bytes=5e9, hidden_share=1.0, network_bytes_per_s=1e8 / 0.09, gpus_a_machine=1)
    found = work(pairs=4, flops_a_pair=0.05 * 1e13)  # two pairs each, 50 ms each, one after another
    small, large = (phase_time(found, each, 2) for each in (around, around.doubled("memory")))
    assert (small.micro_batch, large.micro_batch) == (1, 2)
    assert (small.step_s, large.step_s) == pytest.approx((0.1 + 0.09 - 0.05, 0.1))


def test_another_limit_takes_over_where_the_network_does() -> None:
    assert first_other_limit(work(), machines(), 4096) is None
    # Two seconds between machines, for 0.8 s of arithmetic: with 16 GPUs and with 32 eight in one machine, or faster
    # ones, would be as good.
    found = first_other_limit(work(gradient_bytes=1e9), machines(network_bytes_per_s=1e9), 4096, pairs_each=8)
    assert found == (64, "network")


def test_larger_patches_take_as_much_longer_to_make() -> None:
    small, same, large = (phase_time(work(patch_size=side), machines(), 1).making_s for side in (128, 512, 1024))
    assert small == same
    assert large == pytest.approx(4 * same)


def test_micro_batches_are_as_large_as_memory_allows() -> None:
    assert largest_micro_batch(work(), 4e9) == 0
    assert largest_micro_batch(work(), 5e9) == 1
    assert largest_micro_batch(work(), 12.5e9) == 8
