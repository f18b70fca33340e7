"""Numbers of runs that are under way, at Ray's own metrics ports: what dashboards and alerts are made of.

Each node of a cluster has such a port, which Prometheus finds by Ray's own service discovery; names appear there with
`ray_` before them. MLflow keeps the history of a run, these tell how it is now.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

TRAINING = {
    "step": "Steps done.",
    "loss": "Mean of each loss and term since the last point.",
    "gradient_norm": "Norm of the gradients of each optimizer, before clipping.",
    "learning_rate": "Step size of each optimizer.",
    "samples_per_second": "HR patches that all workers went through a second.",
    "data_wait_fraction": "Share of time in which the first worker waited for images.",
    "bad_steps": "Steps that were left out since the last point: their loss was no number, or leapt.",
    "validation": "Measures on held-out patches.",
}
"""Gauges of training and what they tell, by name without `rssr_train_`; what has several of a kind tells `name`."""

BULK = {
    "windows_done": "Windows that are there.",
    "windows_planned": "Windows in all.",
    "windows_failed": "Windows that are masked in their product as they could not be computed.",
    "scenes": "Scenes by outcome; waiting for those that have none yet.",
    "windows_per_second": "Over about the last minute.",
    "mpx_per_second": "Millions of SR pixels a second, over about the last minute.",
    "eta_seconds": "Until the last window, at the present rate; -1 while nothing is computed.",
}
"""Gauges of bulk runs and what they tell, by name without `rssr_bulk_`; `scenes` tells `outcome`."""

_AGAIN_S = 5.0  # Ray's ports forget within half a minute what is not told again
_OF_EACH_OPTIMIZER = ("loss", "gradient_norm", "learning_rate", "validation")


class Gauges:
    """Gauges of one kind of run, in a process that Ray knows; elsewhere nothing happens.

    What was shown stays for as long as the process lives, so that a run that stands still can be told from one that has
    ended.

    Args:
        prefix: Before each name, e.g. `rssr_bulk`.
        about: What each tells, by name.
        labels: Of this run, on every gauge.
        kind: The label by which several values of one gauge are told apart.
    """

    def __init__(self, prefix: str, about: Mapping[str, str], labels: Mapping[str, str], kind: str) -> None:
        self._prefix, self._about, self._labels, self._kind = prefix, about, dict(labels), kind
        self._gauges: dict[str, Any] = {}
        self._shown: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def show(self, name: str, value: float, kind: str = "") -> None:
        """Set a gauge.

        Args:
            name: One of `about`.
            value: Its value now.
            kind: Which of several.
        """
        import ray

        if not ray.is_initialized():
            return
        with self._lock:
            self._shown[name, kind] = float(value)
            self._set(name, kind)
            if self._thread is None:
                self._thread = threading.Thread(target=self._show_again, name=self._prefix, daemon=True)
                self._thread.start()

    def _show_again(self) -> None:
        import ray

        pause = threading.Event()
        while not pause.wait(_AGAIN_S) and ray.is_initialized():
            with self._lock:
                for name, kind in self._shown:
                    self._set(name, kind)
        self._thread = None

    def _set(self, name: str, kind: str) -> None:
        from ray.util.metrics import Gauge

        try:
            if name not in self._gauges:
                keys = (*self._labels, self._kind)
                self._gauges[name] = Gauge(f"{self._prefix}_{name}", self._about[name], tag_keys=keys)
            self._gauges[name].set(self._shown[name, kind], {**self._labels, self._kind: kind})
        except Exception as error:  # watching must never end what is watched
            log.debug("%s_%s is not shown: %s", self._prefix, name, error)


class TrainingGauges:
    """Shows what the training loop reports.

    Args:
        method: Method name.
        phase: Phase name.
        run: Id of its MLflow run; empty for none.
    """

    def __init__(self, method: str, phase: str, run: str) -> None:
        labels = {"method": method, "phase": phase, "run": run}
        self._gauges = Gauges("rssr_train", TRAINING, labels, "name")

    def show(self, metrics: Mapping[str, float], step: int) -> None:
        """The metrics of one step; those that no dashboard asks for are left out."""
        self._gauges.show("step", step)
        if "samples_per_second" in metrics:
            self._gauges.show("bad_steps", metrics.get("bad_steps", 0.0))
        for metric, value in metrics.items():
            family, _, name = metric.partition("/")
            if family in TRAINING and bool(name) == (family in _OF_EACH_OPTIMIZER):
                self._gauges.show(family, value, name)


class BulkGauges:
    """Shows the status of a bulk run.

    Args:
        output: Its output, which tells runs apart.
    """

    def __init__(self, output: str) -> None:
        self._gauges = Gauges("rssr_bulk", BULK, {"output": output}, "outcome")

    def show(self, status: Mapping[str, Any]) -> None:
        """What `BulkProgress.snapshot` tells."""
        show = self._gauges.show
        show("windows_done", status["windows"]["done"])
        show("windows_planned", status["windows"]["total"])
        show("windows_failed", status["failed_windows"])
        for outcome, number in status["scenes"].items():
            if outcome != "total":
                show("scenes", number, outcome)
        show("windows_per_second", status["windows_per_s"])
        show("mpx_per_second", status["mpx_per_s"])
        show("eta_seconds", -1.0 if status["eta_s"] is None else status["eta_s"])
