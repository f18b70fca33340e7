"""The figures of a sweep, one row a model and scale, and each variant's distance from the first."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.sweep import TEACHER, SweepResults
from rssr.inference.cost import ImageCost
from rssr.metrics.paired import PairedDifference

COMPARED = ("psnr_y_db", "ssim_y")
"""Metrics whose differences are told."""


@dataclass(frozen=True)
class SweepRow:
    """One model at one scale.

    Attributes:
        variant: Name of the variant; `bicubic` for the baseline.
        model: Its name in the evaluation: the variant's, or its teacher's.
        scale: HR/LR ratio.
        num_images: Held-out images measured.
        means: Mean of each metric.
        differences: Paired differences to the reference's model of the same kind, by metric; none for itself, and none
            where there is no reference or a single image.
        cost: None for the baseline.
        paper_millions: Parameters of the variant's model in the paper, at the published widths.
    """

    variant: str
    model: str
    scale: float
    num_images: int
    means: Mapping[str, float]
    differences: Mapping[str, PairedDifference]
    cost: ImageCost | None
    paper_millions: float | None

    @property
    def is_teacher(self) -> bool:
        """Whether this is a variant's teacher."""
        return self.model != self.variant


def sweep_rows(results: SweepResults, reference: str, paper_millions: Mapping[str, float]) -> list[SweepRow]:
    """All rows, scale by scale in the order in which models were measured.

    Args:
        results: Of the sweep.
        reference: Variant that the others are compared with.
        paper_millions: Parameter figures of the paper by variant.
    """
    evaluation, found = results.evaluation, []
    for scale in evaluation.scales:
        for model, means in evaluation.means(scale).items():
            variant = model.removesuffix(TEACHER.format(""))
            compared = reference if variant == model else TEACHER.format(reference)
            found.append(
                SweepRow(
                    variant=variant,
                    model=model,
                    scale=scale,
                    num_images=len(evaluation.values(model, COMPARED[0], scale)),
                    means=means,
                    differences=_differences(evaluation, (model, compared), scale),
                    cost=results.costs.get(model),
                    paper_millions=paper_millions.get(variant) if variant == model else None,
                )
            )
    return found


def plain_rows(rows: Sequence[SweepRow]) -> list[dict[str, Any]]:
    """Rows as flat values for files: the same keys in each, None where there is nothing."""
    return [_plain(row) for row in rows]


def to_parquet(rows: Sequence[SweepRow]) -> bytes:
    """Rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain_rows(rows)), buffer)
    return buffer.getvalue()


def to_csv(rows: Sequence[SweepRow]) -> bytes:
    """Rows as a CSV file with a header."""
    buffer, plain = io.StringIO(), plain_rows(rows)
    writer = csv.DictWriter(buffer, fieldnames=list(plain[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return buffer.getvalue().encode()


def _plain(row: SweepRow) -> dict[str, Any]:
    cost = row.cost
    values: dict[str, Any] = {
        "variant": row.variant,
        "model": "teacher" if row.is_teacher else "student" if cost is not None else "baseline",
        "scale": row.scale,
        "num_images": row.num_images,
        "num_parameters": cost.num_parameters if cost else None,
        "paper_parameters_millions": row.paper_millions,
        "macs_512": cost.macs if cost else None,
        "seconds_512": cost.seconds if cost else None,
        "device": cost.device if cost else None,
        **row.means,
    }
    for metric in COMPARED:
        difference = row.differences.get(metric)
        values[f"{metric}_difference"] = difference.mean if difference else None
        values[f"{metric}_difference_low"] = difference.low if difference else None
        values[f"{metric}_difference_high"] = difference.high if difference else None
    return values


def _differences(evaluation: Evaluation, models: tuple[str, str], scale: float) -> dict[str, PairedDifference]:
    own, reference = models
    if own == reference:
        return {}
    found = {metric: evaluation.difference(own, reference, metric, scale) for metric in COMPARED}
    return {metric: difference for metric, difference in found.items() if difference is not None}
