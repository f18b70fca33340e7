"""How many threads this process should work with."""

import os


def usual_threads() -> int:
    """As many as it has processors, or fewer where `OMP_NUM_THREADS` says so."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(available, int(wanted))) if wanted.isdecimal() else available
