"""Results as an evaluation would find them, made of a few numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.result import DatasetFacts, EvaluationResult, ImageRow, MethodFacts
from rssr.metrics import METRICS

LPIPS, FID = METRICS["lpips"], METRICS["fid"]
SPECS = (METRICS["psnr_y"], LPIPS, FID)

Found = Mapping[str, Sequence[float]]
"""Values of the images 0, 1, ... by `METHOD METRIC`; NaN where an image has none."""


def rows_of(dataset: str, scale: float, found: Found) -> list[ImageRow]:
    """Rows of one dataset and scale."""
    metrics: dict[tuple[str, int], dict[str, float]] = {}
    for name, values in found.items():
        method, metric = name.rsplit(" ", 1)
        for number, value in enumerate(values):
            held = metrics.setdefault((method, number), {})
            if not math.isnan(value):
                held[metric] = value
    return [
        ImageRow(dataset, f"{number:03d}.png", None, scale, method, held, 0.5, 0.6)
        for (method, number), held in metrics.items()
    ]


def made_result(places: Mapping[tuple[str, float], Found], **values: Any) -> EvaluationResult:
    """A result; the first method is the reference, and PSNR ranks.

    Args:
        places: What was found, by dataset and scale.
        **values: Further attributes.
    """
    rows = [row for (dataset, scale), found in places.items() for row in rows_of(dataset, scale, found)]
    methods = tuple(MethodFacts(name, "model", name) for name in dict.fromkeys(row.method for row in rows))
    datasets = tuple(
        DatasetFacts(name, f"data/{name}", "manifest", "digest", len({row.key for row in rows if row.dataset == name}))
        for name in dict.fromkeys(row.dataset for row in rows)
    )
    usual: dict[str, Any] = {
        "title": "Made",
        "rows": rows,
        "methods": methods,
        "datasets": datasets,
        "scales": tuple(sorted({row.scale for row in rows})),
        "metrics": SPECS,
        "reference": methods[0].name,
        "rank_by": "psnr_y",
    }
    return EvaluationResult(**{**usual, **values})
