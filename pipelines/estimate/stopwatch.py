"""How long something takes on a machine that may have other things to do."""

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_SCHEDULER = Path("/proc/thread-self/schedstat")  # of Linux: ran, waited for a processor, how often; nanoseconds


class Stopwatch:
    """Takes the time of a `with` block, as it would be if a processor had always been free for this thread.

    What is left out is the time in which the thread could have gone on and had to wait for others, as Linux tells it.
    Waiting for a disk or a server counts. Other threads' waiting is not known.

    Attributes:
        seconds: Of the block.
        waited_s: What was left out.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waited_s = 0.0
        self._start = (0.0, 0.0)

    @property
    def waited_share(self) -> float:
        """Of all time, what was left out."""
        return self.waited_s / max(1e-9, self.seconds + self.waited_s)

    def __enter__(self) -> Self:
        self._start = time.perf_counter(), _waited_s()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed_s = time.perf_counter() - self._start[0]
        self.waited_s = min(elapsed_s, max(0.0, _waited_s() - self._start[1]))
        self.seconds = max(1e-9, elapsed_s - self.waited_s)


def _waited_s() -> float:
    with suppress(OSError, ValueError, IndexError):
        return int(_SCHEDULER.read_text().split()[1]) / 1e9
    return 0.0
