"""What the loop needs from wherever it runs: a rank, a device, averaged gradients and somewhere to report."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor


class TrainContext(Protocol):
    """One training process."""

    rank: int
    world_size: int
    device: torch.device

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes."""

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        """Hand metrics on; called by every process at the same steps."""

    def agree(self, value: int) -> int:
        """Rank 0's value in every process."""


class MetricSink(Protocol):
    """Where rank 0 sends metrics; never blocks a step."""

    def put(self, metrics: Mapping[str, float], step: int) -> None:
        """Take the metrics of one step."""


class LocalContext:
    """One process, no cluster."""

    rank = 0
    world_size = 1

    def __init__(self, sink: MetricSink | None = None, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self._sink = sink

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Nothing to average."""

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        """To the sink, where there is one."""
        if self._sink is not None:
            self._sink.put(metrics, step)

    def agree(self, value: int) -> int:
        """Its own value."""
        return value


def average_gradients_over_workers(parameters: Iterable[torch.nn.Parameter], world_size: int) -> None:
    """All-reduce gradients in one flat buffer; parameters without a gradient count as zero."""
    trained = list(parameters)
    pieces: list[Tensor] = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
    if not pieces:
        return
    flat = torch.cat([piece.reshape(-1).float() for piece in pieces])
    torch.distributed.all_reduce(flat)
    flat /= world_size
    for parameter, piece in zip(trained, torch.split(flat, [piece.numel() for piece in pieces]), strict=True):
        parameter.grad = piece.reshape(parameter.shape).to(parameter.dtype)
