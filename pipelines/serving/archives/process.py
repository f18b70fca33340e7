"""The process of one archive, as its runner sees it."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipelines.serving.archives.order import Order, Outcome

log = logging.getLogger(__name__)

_MODULE = "pipelines.serving.archives.child"
_MOST_OF_ANSWER = 2**20  # bytes
_PATIENCE_S = 5.0  # for the last line of a process that has ended


class ArchiveProcess:
    """Runs one order; begin it from a thread that lives as long as it may run, for the kernel ends it with that.

    Args:
        order: What to do.
        woken: Called from another thread when it has ended.
    """

    def __init__(self, order: Order, woken: Callable[[], None]) -> None:
        self.archive_id = order.archive_id
        self._woken = woken
        self._answer = b""
        self._stopped_at: float | None = None
        places = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)  # also those that Ray has added
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": places},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_answer, daemon=True)
        self._reader.start()
        threading.Thread(target=self._read_log, daemon=True).start()
        with suppress(OSError):  # it has died already
            assert self._process.stdin is not None
            self._process.stdin.write(order.to_line())
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    @property
    def was_stopped(self) -> bool:
        """Whether it was told to end."""
        return self._stopped_at is not None

    def outcome(self) -> Outcome | None:
        """What came of it, once it has ended; None where it died or was stopped before it could tell."""
        self._reader.join(_PATIENCE_S)
        with suppress(ValueError):
            return Outcome.from_line(self._answer)
        return None

    def death(self) -> str:
        """How it ended, for people."""
        status = self._process.returncode
        if status is not None and status < 0:
            return f"was killed by signal {-status}"
        return f"ended with status {status}"

    def stop(self, patience_s: float) -> None:
        """Tell it to end, and kill it if it has not after that long. To be called again until it has ended."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            with suppress(OSError):
                self._process.terminate()
        elif time.monotonic() - self._stopped_at > patience_s:
            self.kill()

    def kill(self) -> None:
        """End it at once, with whatever it has started, and wait until it has."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read_answer(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self._answer = stream.read(_MOST_OF_ANSWER)
        self._process.wait()
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._woken()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                log.info("%s", line.decode(errors="replace").rstrip(), extra={"archive_id": self.archive_id})
