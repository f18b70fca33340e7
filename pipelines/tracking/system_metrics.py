"""What the machine does meanwhile: CPU, memory, disk, network and, where NVIDIA's bindings are, GPUs.

MLflow brings the probes; its own monitor gives up at the first request that fails, so sampling and delivery are
done here.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.tracking.connection import prepare_mlflow
from pipelines.tracking.errors import first_line
from pipelines.tracking.metrics import SYSTEM_PREFIX

_log = logging.getLogger(__name__)


Put = Callable[[Mapping[str, float], int], None]


class SystemMetrics:
    """Samples this machine from a background thread until closed.

    Args:
        put: Takes the values of a sample and its number; see `MetricBuffer.put`.
        interval_s: Pause between samples.
        started_s: When the run was begun, seconds of the epoch. Samples are numbered by the intervals since, so that
            the numbers of a resumed run go on.
        node: Prefix that tells machines apart; empty for the driver's.
    """

    def __init__(self, put: Put, interval_s: float, started_s: float, node: str = "") -> None:
        prepare_mlflow()
        self._probes = _probes()
        self._prefix = f"{SYSTEM_PREFIX}{node}/" if node else SYSTEM_PREFIX
        self._put = put
        self._interval_s = interval_s
        self._started_s = started_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="system-metrics", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Take no more samples."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            values: dict[str, float] = {}
            for probe in self._probes:
                try:
                    probe.collect_metrics()
                    values |= {f"{self._prefix}{name}": value for name, value in probe.aggregate_metrics().items()}
                    probe.clear_metrics()
                except Exception as error:  # e.g. a disk that has gone; the job must not notice
                    _log.debug("A system probe failed: %s.", first_line(error))
            self._put(values, max(0, int((time.time() - self._started_s) / self._interval_s)))


def _probes() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    probes = []
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        try:
            probes.append(kind())
        except Exception as error:  # no GPU, no bindings, or no right to look
            _log.debug("No %s: %s.", kind.__name__, first_line(error))
    return probes
