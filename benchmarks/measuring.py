"""Timing of several things in turn on one device, their memory, and the machine they ran on."""

import datetime
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rssr.allocator import keep_freed_memory, release_freed_memory

_GRAPH_WARM_UPS = 3  # compiled networks compile, then record their CUDA graph, then replay it
_CUDA_SPAN_S = 0.1  # calls are timed together until they last this long: one call is too short to time alone


@dataclass
class Subject:
    """One thing to time.

    Attributes:
        name: What it is, e.g. `student`.
        mode: How it runs, e.g. `eager float32`.
        run: Does it once.
        images: Images that one run makes.
        macs: Multiply-accumulates of one run, as the published network counts them.
        precision: What its products are made in: `float32`, `TF32` or `bfloat16`.
        weights_bytes: Memory of its weights.
        times: Seconds of each run that was timed.
        peak_bytes: Largest memory of the first run, weights included; None where that cannot be told.
    """

    name: str
    mode: str
    run: Callable[[], object]
    images: int
    macs: int
    precision: str = "float32"
    weights_bytes: int = 0
    times: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def median_s(self) -> float:
        """Median time of a run."""
        return statistics.median(self.times)

    @property
    def flops_per_s(self) -> float:
        """Published operations a second: two a multiply-accumulate."""
        return 2 * self.macs / self.median_s


def measure(subjects: Sequence[Subject], repeats: int, device: torch.device) -> None:
    """Run every subject once, then time all of them in turn, `repeats` times over.

    Every second round runs backwards, so that a change of clock speed or load meets all of them. Freed memory is kept
    for the next tensor, for all alike, as training and `rssr sr` have it. An untimed run goes before each timing, so
    that it finds the memory that it kept itself, as where many images are made, and not what another left.
    """
    keep_freed_memory()
    calls = {}
    for subject in subjects:
        _say(f"first run: {subject.name}, {subject.mode}, batch {subject.images}")
        subject.peak_bytes = _first_run(subject, device)
        calls[id(subject)] = _calls_a_timing(subject, device)
    for round_number in range(repeats):
        _say(f"round {round_number + 1} of {repeats}")
        for subject in subjects if round_number % 2 == 0 else reversed(subjects):
            _run(subject, device)
            subject.times.append(_timed_s(subject, calls[id(subject)], device))


def matmul_subject(precision: str, device: torch.device) -> Subject:
    """A square matrix product: what the machine can do at best."""
    side = 8192 if device.type == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return Subject("matmul", f"{side} x {side}", lambda: one @ other, 1, side**3, precision)


def describe_machine(device: torch.device) -> str:
    """Date, hardware and versions, as lines of Markdown."""
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    lines = [
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        f"- processor: {_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used{load}",
        f"- large pages for large tensors: {'yes' if os.environ.get('THP_MEM_ALLOC_ENABLE') == '1' else 'no'}",
        f"- versions: python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
    ]
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        lines.append(f"- accelerator: {found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
    return "\n".join(lines)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is the header."""
    header, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([header, "|" + "---|" * len(rows[0]), *body])


@contextmanager
def tensor_cores(allow_tf32: bool) -> Iterator[None]:
    """Whether float32 products on CUDA may be rounded to TF32, while this is open."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allow_tf32
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def _first_run(subject: Subject, device: torch.device) -> int | None:
    release_freed_memory()
    before = _memory_bytes(device)
    reset = _reset_peak(device)
    _run(subject, device)
    peak = _peak_bytes(device)
    for _ in range(_GRAPH_WARM_UPS if device.type == "cuda" else 0):
        _run(subject, device)
    if not reset or before is None or peak is None:
        return None
    return max(0, peak - before) + subject.weights_bytes


def _calls_a_timing(subject: Subject, device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return max(1, math.ceil(_CUDA_SPAN_S / _timed_s(subject, 1, device)))


def _timed_s(subject: Subject, calls: int, device: torch.device) -> float:
    start = time.perf_counter()
    with torch.inference_mode(), tensor_cores(subject.precision == "TF32"):
        for _ in range(calls):
            subject.run()
        _synchronise(device)
    return (time.perf_counter() - start) / calls


def _run(subject: Subject, device: torch.device) -> None:
    _timed_s(subject, 1, device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> bool:
    """Whether the peak could be set back to what is in use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak of resident memory starts anew
        return True
    return False


def _memory_bytes(device: torch.device) -> int | None:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _status_bytes("VmRSS")


def _peak_bytes(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status_bytes("VmHWM")


def _status_bytes(key: str) -> int | None:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
