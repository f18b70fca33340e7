"""The process of one archive: a bulk run that ends when its runner does."""

import ctypes
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.planning.identity import begun_run
from pipelines.bulk.run import run_bulk
from pipelines.leases.lease import LeaseHeld, LeaseLost
from pipelines.progress import configure_logging
from pipelines.serving.archives.counts import final_counts
from pipelines.serving.archives.order import Order, Outcome
from pipelines.storage import StoreUnavailable, open_store
from rssr.errors import ExitCode, RssrError

log = logging.getLogger(__name__)

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_SET_DEATH_SIGNAL = 1  # of Linux' prctl
_EXPENDABLE = "500"  # what to kill first where the machine's memory ends: this, and not the service
_STOPPED = 128 + signal.SIGTERM
_PASSING = (LeaseHeld, LeaseLost, StoreUnavailable)


class Stopped(BaseException):
    """The runner wants this process to end."""


def main() -> int:
    """Take an order from the standard input, run it and write the outcome to the standard output."""
    answer = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)  # whatever libraries print is no outcome
    order = Order.from_line(_read_line())
    _end_with_parent()
    _stand_back(order.niceness)
    signal.signal(signal.SIGTERM, _stop)
    configure_logging(False)
    try:
        outcome = run(BulkConfig.model_validate(order.config))
    except Stopped:
        return _STOPPED
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is done, and says so
    os.write(answer, outcome.to_line())
    return outcome.status


def run(config: BulkConfig) -> Outcome:
    """Run it; what fails becomes part of the outcome."""
    try:
        status = run_bulk(config)
        output = open_store(config.output.uri)
        identity = begun_run(output)
        version = "" if identity is None else identity.model
        return Outcome(status, model_version=version, counts=final_counts(output))
    except RssrError as error:
        return Outcome(
            error.exit_code, type(error).__name__, error.problem, error.remedy, passes=isinstance(error, _PASSING)
        )
    except Exception as error:
        log.exception("The archive failed for a reason that nobody foresaw.")
        return Outcome(ExitCode.OUR_FAULT, type(error).__name__)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what is cleaned up now is not interrupted
    raise Stopped


def _read_line() -> bytes:
    """The first line of the standard input, and nothing behind it."""
    line = bytearray()
    while not line.endswith(b"\n") and (sign := os.read(_STDIN, 1)):
        line += sign
    return bytes(line)


def _end_with_parent() -> None:
    """Be killed when the runner ends, however it does: by the kernel on Linux, by the closing pipe everywhere."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_wait_for_end, name="end of the runner", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(_STDIN, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # with whatever it has started
    os._exit(_STOPPED)


def _stand_back(niceness: int) -> None:
    os.nice(niceness)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_EXPENDABLE)


if __name__ == "__main__":
    sys.exit(main())
