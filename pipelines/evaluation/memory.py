"""Most memory that a piece of work took above what was there before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from rssr.allocator import release_freed_memory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): the largest resident size so far becomes the present one
_KIB = 1024


class PeakMemory:
    """What was found.

    Attributes:
        num_bytes: Of the process, or of the accelerator where the work ran there; None where the system does not tell.
    """

    num_bytes: int | None = None


@contextmanager
def peak_memory(device: str) -> Iterator[PeakMemory]:
    """Measure the work inside.

    Args:
        device: Where it allocates, `cpu` or `cuda`. On the CPU the kernel's own record of the process is read, which
            misses nothing and costs the work no time; only Linux has one.
    """
    found = PeakMemory()
    before = _begin(device)
    yield found
    if before is not None:
        found.num_bytes = max(0, _peak(device) - before)


def _begin(device: str) -> int | None:
    """Bytes in use; the record of the peak starts from them."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    release_freed_memory()  # what earlier work has left would hide what this one takes
    try:
        _CLEAR.write_text(_RESET_PEAK)
        return _from_status("VmRSS")
    except (OSError, StopIteration):
        return None


def _peak(device: str) -> int:
    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else _from_status("VmHWM")


def _from_status(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * _KIB
