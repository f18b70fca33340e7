"""What the loop needs from wherever it runs: a rank, a device, means over processes and somewhere to report."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from rssr.processes import mean_over_processes

Image = npt.NDArray[np.uint8]


class TrainContext(Protocol):
    """One training process."""

    rank: int
    world_size: int
    device: torch.device

    def mean(self, values: Sequence[float]) -> list[float]:
        """The mean of each value over all processes, which must give equally many."""

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        """Hand metrics on; called by every process at the same steps."""

    def show(self, image: Image, step: int) -> None:
        """Hand a picture uint8 [H, W, 3] of a step on; called by rank 0."""

    def is_due_to_end(self, elapsed_s: float) -> bool:
        """Whether a machine of this training is about to be taken away; called by every process after every step.

        Args:
            elapsed_s: Seconds of training so far, equal in all processes.
        """

    def end_if_told(self) -> None:
        """After what there is has been kept for `is_due_to_end`: end, or go on for as long as the machine is there."""

    def agree(self, value: int) -> int:
        """Rank 0's value in every process."""


class MetricSink(Protocol):
    """Where rank 0 sends metrics and pictures; never blocks a step."""

    def put(self, metrics: Mapping[str, float], step: int) -> None:
        """Take the metrics of one step."""

    def put_image(self, name: str, image: Image, step: int) -> None:
        """Take a picture of one step, uint8 [H, W, 3]."""


class LocalContext:
    """One process, no cluster.

    Args:
        sink: Where metrics and pictures go, if anywhere.
        device: Where to compute; the CPU by default.
        told_to_end: Set when this process has been asked to end.
    """

    rank = 0
    world_size = 1

    def __init__(
        self,
        sink: MetricSink | None = None,
        device: torch.device | None = None,
        told_to_end: threading.Event | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self._sink = sink
        self._told_to_end = told_to_end or threading.Event()

    def mean(self, values: Sequence[float]) -> list[float]:
        """Themselves."""
        return list(values)

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        """To the sink, where there is one."""
        if self._sink is not None:
            self._sink.put(metrics, step)

    def show(self, image: Image, step: int) -> None:
        """To the sink, where there is one."""
        if self._sink is not None:
            self._sink.put_image("panels", image, step)

    def is_due_to_end(self, elapsed_s: float) -> bool:
        """Whether this process has been asked to end."""
        return self._told_to_end.is_set()

    def end_if_told(self) -> None:
        """End as a process does that is terminated."""
        if self._told_to_end.is_set():
            raise SystemExit(128 + signal.SIGTERM)

    def agree(self, value: int) -> int:
        """Its own value."""
        return value


@contextmanager
def termination_noted() -> Iterator[threading.Event]:
    """While this is open, a request to terminate this process (SIGTERM) sets the event and nothing else."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told  # signals are the main thread's alone
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def means_of_values(values: Sequence[float], device: torch.device) -> list[float]:
    """The mean of each value over all processes, in float64."""
    means: list[float] = mean_over_processes(torch.tensor(values, dtype=torch.float64, device=device)).tolist()
    return means
