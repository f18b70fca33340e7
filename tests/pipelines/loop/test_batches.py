import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.loop.batches import group_by_step, shares_of_process, split_into_shares, to_batch
from rssr.images import from_network, to_network

CPU = torch.device("cpu")


def arrays(lr: np.ndarray, hr: np.ndarray, scale: float = 4) -> dict[str, Any]:
    return {"lr": lr, "hr": hr, "scale": scale, "step": 0, "micro_batch": 0}


def stream(num_steps: int, micro_batches: int) -> Iterator[Mapping[str, Any]]:
    for step in range(num_steps):
        for micro_batch in range(micro_batches):
            yield {"step": step, "micro_batch": micro_batch}


def test_every_grey_level_reaches_networks_and_comes_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    batch = to_batch(arrays(levels, levels), CPU)
    assert batch.lr.dtype == torch.float32
    assert batch.hr.min() == -1
    assert batch.hr.max() == 1
    assert np.array_equal(from_network(batch.hr), levels)
    assert torch.equal(batch.hr, to_network(levels))


def test_bands_come_first_and_images_keep_their_order() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    batch = to_batch(arrays(images, images.repeat(2, axis=1).repeat(2, axis=2), 2), CPU)
    assert batch.lr.shape == (3, 3, 4, 5)
    assert batch.hr.shape == (3, 3, 8, 10)
    assert batch.lr[2, 1, 3, 4] == images[2, 3, 4, 1] / np.float32(127.5) - 1
    assert batch.scale == 2.0


def test_arrays_of_the_object_store_are_taken_without_a_warning_and_not_written_to() -> None:
    images = np.full((1, 4, 4, 3), 7, dtype=np.uint8)
    images.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = to_batch(arrays(images, images), CPU)
    batch.lr.zero_()
    assert images.min() == 7


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(1, 4))
def test_a_step_gets_all_its_micro_batches_in_order(num_steps: int, micro_batches: int) -> None:
    groups = list(group_by_step(stream(num_steps, micro_batches), micro_batches))
    assert [step for step, _ in groups] == list(range(num_steps))
    for step, group in groups:
        assert [(item["step"], item["micro_batch"]) for item in group] == [(step, n) for n in range(micro_batches)]


def test_no_more_of_the_stream_is_read_than_a_step_needs() -> None:
    source = stream(3, 2)
    next(group_by_step(source, 2))
    assert next(source) == {"step": 1, "micro_batch": 0}


def test_a_stream_that_ends_inside_a_step_is_an_error() -> None:
    groups = group_by_step(list(stream(2, 3))[:-1], 3)
    next(groups)
    with pytest.raises(RuntimeError, match="inside step 1"):
        next(groups)


def test_a_stream_that_mixes_steps_is_an_error() -> None:
    shifted = list(stream(3, 2))[1:-1]
    with pytest.raises(RuntimeError, match="step 0"):
        list(group_by_step(shifted, 2))


@given(st.integers(1, 12), st.integers(1, 3), st.data())
def test_every_share_is_computed_once_and_all_processes_meet_equally_often(
    num_shares: int, size: int, data: st.DataObject
) -> None:
    world_size = data.draw(st.integers(1, num_shares))
    values = np.arange(num_shares * size, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (num_shares * size, 2, 2, 3))
    passes: list[int] = []
    seen: dict[int, list[int]] = {}
    for rank in range(world_size):
        numbers = shares_of_process(num_shares, rank, world_size)
        part = images[numbers.start * size : numbers.stop * size]
        arrays = {"lr": part, "hr": part, "scale": 1.0}
        shares = list(split_into_shares(arrays, torch.device("cpu"), num_shares, rank, world_size))
        passes.append(len(shares))
        assert [share.is_last for share in shares] == [False] * (len(shares) - 1) + [True]
        for share in shares:
            pixels = from_network(share.batch.hr)[:, 0, 0, 0].tolist()
            assert pixels == list(range(share.number * size, (share.number + 1) * size))
            if share.counts:
                seen[share.number] = [*seen.get(share.number, []), rank]
    assert len(set(passes)) == 1
    assert sorted(seen) == list(range(num_shares))
    assert all(len(ranks) == 1 for ranks in seen.values())
