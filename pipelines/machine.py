"""What the machine is that times are taken on."""

import functools
import os
import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_GIB = 2**30


@functools.cache
def describe_machine(device: str) -> str:
    """Processor or accelerator, cores and memory, e.g. `AMD EPYC 9B14, 2 cores, 24 GiB`.

    Args:
        device: Where networks run, `cpu` or `cuda`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = [_processor(), f"{cores} core{'s' * (cores != 1)}"]
    if hasattr(os, "sysconf"):
        words.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIB:.0f} GiB")
    if device == "cuda":
        import torch

        properties = torch.cuda.get_device_properties(0)
        words.insert(0, f"{properties.name} ({properties.total_memory / _GIB:.0f} GiB)")
    return ", ".join(words)


def _processor() -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
