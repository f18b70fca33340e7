"""How fast products came."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipelines.bulk.report.measures import FEWEST_FOR_DRAWINGS
from pipelines.bulk.result import BulkResult
from pipelines.report import Part, curve, prose

_FEWEST_FOR_RATES = 8  # products
_MOST_STRETCHES = 48
_DAY_S, _HOUR_S, _MINUTE_S = 86_400.0, 3600.0, 60.0
_UNITS = (
    (3 * _DAY_S, _DAY_S, "days"),
    (3 * _HOUR_S, _HOUR_S, "hours"),
    (3 * _MINUTE_S, _MINUTE_S, "minutes"),
    (0.0, 1.0, "seconds"),
)

FloatArray = NDArray[np.float64]


def timeline(result: BulkResult) -> Iterable[Part]:
    """Products finished so far, and how many megapixels a second that was, over all attempts."""
    events = sorted((_time(scene.product.finished_at), scene.mpx) for scene in result.products if scene.product)
    times, areas = np.array([at for at, _ in events]), np.array([area for _, area in events])
    elapsed = times - min(_time(result.identity.planned_at), times[0])
    factor, unit = next((length, name) for limit, length, name in _UNITS if elapsed[-1] >= limit)
    x_label = f"{unit} since the run was planned"
    if len(events) < FEWEST_FOR_DRAWINGS:
        yield prose(f"The product was there {elapsed[-1] / factor:.3g} {unit} after the run was planned.")
        return
    yield prose("Flat pieces are pauses between commands, or scenes that take long.")
    so_far = _as_steps(np.append(0.0, elapsed) / factor, np.append(0.0, np.cumsum(areas)))
    yield curve({"products": so_far}, "Finished so far", x_label, "Mpx of products")
    if len(events) >= _FEWEST_FOR_RATES and elapsed[-1] > 0:
        edges = np.linspace(0, elapsed[-1], min(max(len(events) // 3, 4), _MOST_STRETCHES) + 1)
        finished, _ = np.histogram(elapsed, edges, weights=areas)
        speeds = finished / np.diff(edges)
        from_zero = np.append(0.0, edges / factor), np.concatenate([[0.0], speeds, speeds[-1:]])
        rates = _as_steps(*from_zero)
        yield curve({"rate": rates}, "Rate", x_label, "Mpx/s")


def _as_steps(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A curve that keeps each value until the next place."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def _time(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
