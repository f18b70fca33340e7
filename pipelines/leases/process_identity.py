"""Which process this is, said so that another one on the same machine can tell whether it is still there."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_BOOT = _PROC / "sys" / "kernel" / "random" / "boot_id"
_ENDED = ("Z", "X", "x")  # states of processes that were killed and that nobody has taken note of


@dataclass(frozen=True)
class ProcessIdentity:
    """A process.

    Attributes:
        host: Name of the machine, for people.
        pid: Its number.
        place: Start of the machine and namespace of process numbers: what `pid` counts in. Empty where unknown.
        started: When it started, in ticks since then: numbers are given out again. Empty where unknown.
    """

    host: str
    pid: int
    place: str = ""
    started: str = ""

    @classmethod
    def of_this_process(cls) -> "ProcessIdentity":
        """The one that asks."""
        pid = os.getpid()
        status = _status(pid)
        return cls(socket.gethostname(), pid, _place(), status[1] if status else "")

    def is_gone(self) -> bool:
        """Whether it has surely ended; false where that cannot be told from here."""
        if not self.place or not self.started or self.place != _place():
            return False
        status = _status(self.pid)
        return status is None or status[0] in _ENDED or status[1] != self.started

    def is_here(self) -> bool:
        """Whether it surely runs, on this machine."""
        return bool(self.place) and bool(self.started) and self.place == _place() and not self.is_gone()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _place() -> str:
    """Empty on machines that do not tell."""
    try:
        namespace = (_PROC / "self" / "ns" / "pid").stat().st_ino
        return f"{socket.gethostname()}:{_BOOT.read_text().strip()}:{namespace}"
    except OSError:
        return ""


def _status(pid: int) -> tuple[str, str] | None:
    """State of a process, and when it started; None where there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return fields[0], fields[19]
