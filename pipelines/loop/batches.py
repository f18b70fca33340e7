"""From the stream's arrays to the tensors that objectives take."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from rssr.methods.phase import Batch


class BatchSource(Protocol):
    """Opens the training stream at a step."""

    def __call__(self, start_step: int) -> Iterator[Mapping[str, Any]]:
        """Micro-batches from the first of `start_step` on, as the stream yields them."""


@dataclass(frozen=True)
class Share:
    """Samples of a micro-batch that are computed at once, the same ones however many processes there are.

    Attributes:
        number: Position in the micro-batch of all processes.
        batch: The samples.
        counts: Whether they count. A process that has fewer shares than another computes one again, so that all meet
            equally often.
        is_last: Whether it is the process's last of the micro-batch.
    """

    number: int
    batch: Batch
    counts: bool
    is_last: bool


def shares_of_process(num_shares: int, rank: int, world_size: int) -> range:
    """Which shares of every micro-batch a process computes: contiguous, as many as others or one more or less."""
    return range(rank * num_shares // world_size, (rank + 1) * num_shares // world_size)


def split_into_shares(
    arrays: Mapping[str, Any], device: torch.device, num_shares: int, rank: int, world_size: int
) -> Iterator[Share]:
    """A process's part of a micro-batch, share by share."""
    numbers = shares_of_process(num_shares, rank, world_size)
    size = len(arrays["lr"]) // len(numbers)
    most = -(-num_shares // world_size)
    for position in range(most):
        counts = position < len(numbers)
        chosen = position if counts else 0
        part = {name: arrays[name][chosen * size : (chosen + 1) * size] for name in ("lr", "hr")}
        batch = to_batch({**part, "scale": arrays["scale"]}, device)
        yield Share(numbers[chosen], batch, counts, is_last=position == most - 1)


def to_batch(arrays: Mapping[str, Any], device: torch.device) -> Batch:
    """Images uint8 [B, H, W, 3] to float32 [B, 3, H, W] in [-1, 1]; float32 ones [B, H, W, C] are such values."""
    return Batch(_to_tensor(arrays["lr"], device), _to_tensor(arrays["hr"], device), float(arrays["scale"]))


def group_by_step(
    stream: Iterable[Mapping[str, Any]], micro_batches_per_step: int
) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
    """Collect the micro-batches of each optimizer step; steps that lack some are an error of the stream."""
    group: list[Mapping[str, Any]] = []
    for arrays in stream:
        group.append(arrays)
        if arrays["step"] != group[0]["step"]:
            raise RuntimeError(f"the stream went on to step {arrays['step']} inside step {group[0]['step']}")
        if len(group) == micro_batches_per_step:
            yield int(group[0]["step"]), group
            group = []
    if group:
        raise RuntimeError(f"the stream ended inside step {group[0]['step']}")


def _to_tensor(images: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    if images.dtype == np.float32:
        return torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).contiguous()
    # torch cannot wrap read-only arrays, which the object store hands out, without a warning; copying is cheap.
    tensor = torch.from_numpy(np.array(images, dtype=np.uint8)).to(device)
    return tensor.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
