"""One method against another, image by image: only images that both have count, and the others are told."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pipelines.evaluation.comparison import LOSSLESS_DB
from pipelines.evaluation.result import EvaluationResult
from rssr.metrics.paired import PairedDifference, paired_difference
from rssr.metrics.spec import MetricSpec

POOLED = "(all datasets)"
"""Stands for all datasets together where rows are told by dataset; no dataset can be called that."""


@dataclass(frozen=True)
class Comparison:
    """One method's values against another's on the images that both have.

    Attributes:
        dataset: Name of the dataset, or `POOLED`.
        scale: HR/LR size ratio; None where each image counts once, with its mean over the scales.
        metric: What was compared.
        method: The one method.
        reference: The other.
        difference: By how much the method's values exceed the reference's; None with fewer than two images.
        num_images: Images that both have.
        num_left_out: Images that only one of them has.
    """

    dataset: str
    scale: float | None
    metric: MetricSpec
    method: str
    reference: str
    difference: PairedDifference | None
    num_images: int
    num_left_out: int

    @property
    def is_better(self) -> bool:
        """Whether the method is clearly the better one."""
        return self.difference is not None and self.difference.is_clearly_better(self._higher)

    @property
    def is_worse(self) -> bool:
        """Whether the reference is clearly the better one."""
        return self.difference is not None and self.difference.is_clearly_better(not self._higher)

    @property
    def share_won(self) -> float:
        """Share of the images on which the method is the better one, ties counted half; NaN where unknown."""
        return math.nan if self.difference is None else self.difference.share_won(self._higher)

    @property
    def _higher(self) -> bool:
        return self.metric.direction == "higher"


class Pairing:
    """The rows of a result, ordered so that methods can be compared often.

    Args:
        result: Of the evaluation.
    """

    def __init__(self, result: EvaluationResult) -> None:
        self._result = result
        self._rows: dict[tuple[str, float, str], dict[str, Mapping[str, float]]] = defaultdict(dict)
        for row in result.rows:
            self._rows[row.dataset, row.scale, row.method][row.key] = row.metrics

    def values(self, method: str, metric: str, scale: float, dataset: str = POOLED) -> dict[tuple[str, str], float]:
        """One metric of one method at one scale; an infinite PSNR counts as 100 dB.

        Args:
            method: Name of the method.
            metric: Name of the metric.
            scale: HR/LR size ratio.
            dataset: Name of the dataset, or `POOLED`.
        """
        names = [facts.name for facts in self._result.datasets] if dataset == POOLED else [dataset]
        return {
            (name, key): LOSSLESS_DB if metrics[metric] == math.inf else metrics[metric]
            for name in names
            for key, metrics in self._rows.get((name, scale, method), {}).items()
            if metric in metrics
        }

    def compare(self, metric: str, methods: tuple[str, str], scale: float, dataset: str = POOLED) -> Comparison:
        """Compare two methods at one scale.

        Args:
            metric: Name of the metric.
            methods: The one and the other.
            scale: HR/LR size ratio.
            dataset: Name of the dataset, or `POOLED`.
        """
        one, other = (self.values(method, metric, scale, dataset) for method in methods)
        pairs = [(one[image], other[image]) for image in sorted(one.keys() & other.keys())]
        return self._compared((dataset, scale), metric, methods, pairs, len(one.keys() ^ other.keys()))

    def compare_overall(self, metric: str, methods: tuple[str, str]) -> Comparison:
        """Compare two methods over all datasets and scales.

        An image counts once, with the mean of its values over those scales at which both methods have it: what it is
        at two scales is too alike to count as two images.
        """
        found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        lone = set[tuple[str, str]]()
        for scale in self._result.scales:
            one, other = (self.values(method, metric, scale) for method in methods)
            lone |= one.keys() ^ other.keys()
            for image in one.keys() & other.keys():
                found[image].append((one[image], other[image]))
        pairs = [(fmean(a for a, _ in found[image]), fmean(b for _, b in found[image])) for image in sorted(found)]
        return self._compared((POOLED, None), metric, methods, pairs, len(lone - found.keys()))

    def _compared(
        self,
        place: tuple[str, float | None],
        metric: str,
        methods: tuple[str, str],
        pairs: Sequence[tuple[float, float]],
        num_left_out: int,
    ) -> Comparison:
        difference = paired_difference([value for value, _ in pairs], [value for _, value in pairs])
        return Comparison(*place, self._result.spec(metric), *methods, difference, len(pairs), num_left_out)
