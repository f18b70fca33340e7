import platform
import subprocess
import sys
import textwrap

import pytest

from rssr.allocator import keep_freed_memory, release_freed_memory


def test_a_freed_block_is_used_again_without_new_pages() -> None:
    if platform.libc_ver()[0] != "glibc":  # the setting is glibc's
        assert not keep_freed_memory()
        return
    # In a process of its own: the setting holds for the rest of one, and faults are counted for a whole one.
    program = """
        import resource, torch
        from rssr.allocator import keep_freed_memory
        if {keep}: assert keep_freed_memory()
        for _ in range(16): torch.empty(2**24).fill_(1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(64): torch.empty(2**24).fill_(1)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """

    def faults(keep: bool) -> int:
        command = [sys.executable, "-c", textwrap.dedent(program).format(keep=keep)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    # A block or two may still find the heap's end moved by a small one, so not every fill is free.
    assert faults(keep=True) * 10 < faults(keep=False)


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
    release_freed_memory()


def test_kept_memory_can_be_handed_back() -> None:
    if platform.libc_ver()[0] != "glibc":
        return
    program = """
        from pathlib import Path
        import torch
        from rssr.allocator import keep_freed_memory, release_freed_memory
        def resident(): return int(Path("/proc/self/statm").read_text().split()[1])
        keep_freed_memory()
        before = resident()
        torch.empty(2**26).fill_(1)
        kept = resident()
        release_freed_memory()
        print(kept - before, resident() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    kept, left = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert kept > 2**15  # pages of 4 KiB: half of the tensor at least
    assert left < kept / 10
