"""Metrics as MLflow wants them, and what it already has."""

import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, SupportsFloat

from pipelines.tracking.connection import MlflowClient

MAX_METRICS_PER_REQUEST = 1000  # MLflow's limit
SYSTEM_PREFIX = "system/"  # MLflow's page shows these apart
_LONGEST_NAME = 250
_FOREIGN = re.compile(r"[^\w\-. /:]", re.ASCII)


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    timestamp_ms: int
    step: int


def to_points(metrics: Mapping[str, SupportsFloat], step: int) -> list[Point]:
    """Values of one step, stamped with the present time; names are made acceptable to MLflow.

    Raises:
        TypeError, ValueError: A value is no number.
    """
    now_ms = int(time.time() * 1000)
    return [Point(metric_name(name), float(value), now_ms, int(step)) for name, value in metrics.items()]


def metric_name(name: str) -> str:
    """The name with characters that MLflow refuses replaced by underscores."""
    return _FOREIGN.sub("_", name)[:_LONGEST_NAME]


def send_points(client: MlflowClient, run_id: str, points: Iterable[Point]) -> None:
    """Store up to `MAX_METRICS_PER_REQUEST` points. Sending the same points again changes nothing."""
    from mlflow.entities import Metric

    metrics = [Metric(point.name, point.value, point.timestamp_ms, point.step) for point in points]
    client.log_batch(run_id, metrics=metrics, synchronous=True)


def stored_steps(run: Any) -> dict[str, int]:  # noqa: ANN401  # mlflow.entities.Run, untyped
    """The last step that the store holds of each metric of a run."""
    return {str(metric.key): int(metric.step) for metric in run.data.to_proto().metrics}


def last_step(steps: Mapping[str, int]) -> int | None:
    """The largest step of all metrics but the system's, which count samples."""
    own = [step for name, step in steps.items() if not name.startswith(SYSTEM_PREFIX)]
    return max(own, default=None)


def backoff_s(attempt: int, first_s: float = 0.5, longest_s: float = 30.0) -> float:
    """Pause after a failed attempt (0-based), doubling up to a bound."""
    return min(first_s * math.pow(2.0, min(attempt, 30)), longest_s)
