"""What the machine does meanwhile: CPU, memory, disk, network and, where NVIDIA's bindings are, GPUs.

MLflow brings the probes; its own monitor gives up at the first request that fails, so sampling and delivery are
done here.
"""

import logging
import threading
from typing import Any

from pipelines.tracking.buffer import MetricBuffer
from pipelines.tracking.connection import connect, prepare_mlflow
from pipelines.tracking.errors import first_line
from pipelines.tracking.metrics import SYSTEM_PREFIX, stored_steps

_log = logging.getLogger(__name__)


class SystemMetrics:
    """Samples this machine from a background thread until closed.

    Args:
        tracking_uri: MLflow server or database.
        run_id: Run to log to; its numbering of samples goes on where it stopped.
        interval_s: Pause between samples.
        node: Prefix that tells machines apart; empty for the driver's.
    """

    def __init__(self, tracking_uri: str, run_id: str, interval_s: float, node: str = "") -> None:
        prepare_mlflow()
        self._probes = _probes()
        self._prefix = f"{SYSTEM_PREFIX}{node}/" if node else SYSTEM_PREFIX
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._step = _next_step(tracking_uri, run_id, self._prefix)
        self._buffer = MetricBuffer(tracking_uri, run_id)
        self._thread = threading.Thread(target=self._sample, name="system-metrics", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Take no more samples, and deliver those taken."""
        self._stop.set()
        self._thread.join(timeout_s)
        self._buffer.close(timeout_s)

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
            self._buffer.put(values, self._step)
            self._step += 1


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


def _next_step(tracking_uri: str, run_id: str, prefix: str) -> int:
    steps = stored_steps(connect(tracking_uri, create=False).get_run(run_id))
    return max((step + 1 for name, step in steps.items() if name.startswith(prefix)), default=0)
