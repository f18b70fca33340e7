"""Shared memory, in which Ray keeps what tasks hand to one another."""

import os
from pathlib import Path

from rssr.doctor import DoctorOptions, Finding, ok, skipped, warning

_NAME = "ray.shared_memory"
_SHARED = Path("/dev/shm")
_SHARE = 0.3  # of the memory, by Ray's default
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def check_shared_memory(options: DoctorOptions, folder: Path = _SHARED, share: float = _SHARE) -> Finding:
    """Whether Ray's share of the memory fits; a container's own 64 MB do not."""
    if not folder.is_dir():
        return skipped(_NAME, f"there is no {folder} on this system, and Ray uses its temporary folder")
    room = os.statvfs(folder)
    free, wanted = room.f_frsize * room.f_bavail, int(share * memory_bytes())
    found = f"{folder} has {_in_words(free)} free, Ray wants {_in_words(wanted)} ({share:.0%} of the memory)"
    if free >= wanted:
        return ok(_NAME, found)
    return warning(
        _NAME,
        f"{found}: it would use the disk instead, which is slow",
        f"Start the container with --shm-size={max(1, -(-wanted // 2**30))}g (Kubernetes: an emptyDir of medium Memory "
        "at /dev/shm), or remove what lies there.",
    )


def memory_bytes() -> int:
    """Memory of this machine, or of the container where that has less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_limits()])


def _limits() -> list[int]:
    texts = [path.read_text().strip() for path in _LIMITS if path.is_file()]
    return [int(text) for text in texts if text.isdecimal()]


def _in_words(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
