"""What /metrics answers: counts of all processes, gathered by one small actor.

Each process counts for itself and tells the actor every second or so. Ray's own way, from `ray.util.metrics` to the
ports of its agents, was tried and left: it rebuilds histograms from the middles of their buckets, so that ten answers
of 2 s each came out as 55 s in all; it lags by ten seconds, and loses as much with each process that is killed. What
Ray counts of Serve itself is still found there.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import threading
import time
from typing import Any

import ray

from pipelines.serving.telemetry.counts import Counts, CountsOfAll, to_text
from pipelines.serving.telemetry.metrics import ServiceMetrics, service_metrics

log = logging.getLogger(__name__)

_NAMESPACE = "rssr"
_NAME_DIGITS = 16
_HEARTBEAT_S = 5.0  # also said by processes in which nothing has happened
_LOST_AFTER_S = 20.0
_PATIENCE_S = 5.0
_IDLE_S = 900.0


class Gatherer:
    """The actor's inside: the latest counts of each process. It ends when nobody has told it anything for long."""

    def __init__(self) -> None:
        self._all = CountsOfAll(time.monotonic, _LOST_AFTER_S)
        self._born_at = time.monotonic()
        threading.Thread(target=self._end_when_idle, name="end-when-idle", daemon=True).start()

    def tell(self, process: str, counts: Counts) -> None:
        """See `CountsOfAll.receive`."""
        self._all.receive(process, counts)

    def ask(self, process: str, counts: Counts) -> Counts:
        """Tell, and hear the sums of all."""
        self._all.receive(process, counts)
        return self._all.total()

    def _end_when_idle(self) -> None:
        while time.monotonic() - (self._all.last_heard_at or self._born_at) < _IDLE_S:
            time.sleep(_IDLE_S / 10)
        os._exit(0)  # the service is gone, and nobody else would end a detached actor


class Reporter:
    """Tells the gatherer what this process counts.

    Args:
        metrics: This process's counters.
        interval_s: How often.
        service: Whose process this is, see `gatherer_name`.
    """

    def __init__(self, metrics: ServiceMetrics, interval_s: float, service: str) -> None:
        self._metrics = metrics
        self._interval_s = interval_s
        self._gatherer_name = gatherer_name(service)
        self._process = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._gatherer: Any = None
        self._lock = threading.Lock()
        self._told: tuple[float, Counts] | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Tell from now on, in a thread, until `stop`."""
        threading.Thread(target=self._tell_for_ever, name="tell-metrics", daemon=True).start()

    def stop(self) -> None:
        """Tell for the last time."""
        self._ended.set()
        self._tell_if_due(heartbeat_s=0.0)

    def ask(self) -> Counts:
        """The sums of all processes, this one's up to this moment.

        Raises:
            ray.exceptions.RayError: The gatherer does not answer, `GetTimeoutError` among them.
        """
        return list(self._call("ask"))

    def _tell_for_ever(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._tell_if_due(_HEARTBEAT_S)

    def _tell_if_due(self, heartbeat_s: float) -> None:
        counts = self._metrics.counts()
        if self._told is not None and self._told[1] == counts and time.monotonic() - self._told[0] < heartbeat_s:
            return
        try:
            self._call("tell", counts)
        except (
            Exception
        ) as error:  # the cluster is ending, or the gatherer's node was lost; the next call makes another
            log.debug("metrics are not gathered: %s", error)
            return
        self._told = time.monotonic(), counts

    def _call(self, method: str, counts: Counts | None = None) -> Any:  # noqa: ANN401  # what the method returns
        """Call the gatherer; after a failure the next call looks for it anew, or starts it."""
        with self._lock:
            self._gatherer = self._gatherer or _find_gatherer(self._gatherer_name)
            gatherer = self._gatherer
        try:
            call = getattr(gatherer, method).remote(self._process, self._metrics.counts() if counts is None else counts)
            return ray.get(call, timeout=_PATIENCE_S)
        except ray.exceptions.RayError:
            with self._lock:
                self._gatherer = None
            raise


_lock = threading.Lock()
_reporters: list[Reporter] = []


def start_reporting(interval_s: float, service: str) -> Reporter:
    """Let this process tell what it counts; further calls return the same reporter.

    Args:
        interval_s: How often, seconds.
        service: Whose process this is, see `gatherer_name`.
    """
    with _lock:
        if not _reporters:
            _reporters.append(Reporter(service_metrics(), interval_s, service))
            _reporters[0].start()
        return _reporters[0]


async def collect(reporter: Reporter) -> str:
    """The text that /metrics answers.

    Raises:
        TimeoutError: Counts of other processes cannot be had at the moment: sums without them would fall.
    """
    try:
        return to_text(await asyncio.to_thread(reporter.ask))
    except ray.exceptions.RayError as error:
        raise TimeoutError(f"counts are not gathered: {error}") from None


def gatherer_name(service: str) -> str:
    """What a service's gatherer is called on its cluster, where there may be several services.

    Args:
        service: The service's own place, its output: no two services share one.
    """
    return f"rssr-metrics-{hashlib.sha256(service.rstrip('/').encode()).hexdigest()[:_NAME_DIGITS]}"


def _find_gatherer(name: str) -> Any:  # noqa: ANN401  # Ray's handles are untyped
    """The one gatherer of a service, started if there is none. A lost one is not restarted but found missing here."""
    actor = ray.remote(num_cpus=0)(Gatherer)
    return actor.options(name=name, namespace=_NAMESPACE, get_if_exists=True, lifetime="detached").remote()
