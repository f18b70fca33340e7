"""What was found, asked for as tables and reports tell it: means with intervals, who is ahead, numbers in words."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import fmean
from typing import NamedTuple

from pipelines.evaluation.pairing import POOLED, Comparison, Pairing
from pipelines.evaluation.result import EvaluationResult, ImageRow, SetValue
from pipelines.report import Estimate
from rssr.metrics.bootstrap import bootstrap_interval
from rssr.metrics.spec import MetricSpec

_OF_TRUST = ("improvement", "omission", "hallucination")


class Place(NamedTuple):
    """Where methods are compared: one dataset at one scale."""

    dataset: str
    scale: float

    @property
    def title(self) -> str:
        """As in captions."""
        dataset = "All datasets" if self.dataset == POOLED else self.dataset
        return f"{dataset}, scale {self.scale:g}"


@dataclass(frozen=True)
class Standing:
    """Who is ahead by a metric.

    Attributes:
        metric: By which.
        ranked: Methods, the best first.
        beside: The first against each of the others, in their order.
    """

    metric: MetricSpec
    ranked: tuple[str, ...]
    beside: tuple[Comparison, ...]

    @property
    def leader(self) -> str:
        """The first."""
        return self.ranked[0]

    @property
    def is_clear(self) -> bool:
        """Whether the first is clearly better than each of the others."""
        return bool(self.beside) and all(comparison.is_better for comparison in self.beside)

    @property
    def tied(self) -> tuple[str, ...]:
        """The first, and those that it is not clearly better than."""
        return (self.leader, *(found.reference for found in self.beside if not found.is_better))

    @property
    def beaten(self) -> tuple[str, ...]:
        """Those that it is clearly better than."""
        return tuple(found.reference for found in self.beside if found.is_better)


class Findings:
    """A result, and what follows from it.

    Args:
        result: Of the evaluation.
    """

    def __init__(self, result: EvaluationResult) -> None:
        self.result = result
        self.pairing = Pairing(result)
        self.mean = cache(self._mean)
        self.standing = cache(self._standing)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Datasets and scales of which there are rows, in order."""
        found = dict.fromkeys(Place(row.dataset, row.scale) for row in self.result.rows)
        order = [facts.name for facts in self.result.datasets]
        return tuple(sorted(found, key=lambda place: (order.index(place.dataset), place.scale)))

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order."""
        return tuple(facts.name for facts in self.result.methods)

    @property
    def quality(self) -> tuple[MetricSpec, ...]:
        """Metrics of how good single images are, of which there are values."""
        return tuple(spec for spec in self._of_images if not is_of_trust(spec))

    @property
    def trust(self) -> tuple[MetricSpec, ...]:
        """Metrics of what in an image can be trusted, of which there are values."""
        return tuple(spec for spec in self._of_images if is_of_trust(spec))

    @property
    def of_sets(self) -> tuple[MetricSpec, ...]:
        """Metrics of whole sets of images, of which there are values."""
        names = {found.metric for found in self.result.set_values}
        return tuple(spec for spec in self.result.metrics if spec.name in names)

    @cached_property
    def ranking(self) -> MetricSpec | None:
        """The metric that decides who is ahead; None where there is no value of it."""
        return next((spec for spec in self._of_images if spec.name == self.result.rank_by), None)

    @cached_property
    def _of_images(self) -> tuple[MetricSpec, ...]:
        names = {name for row in self.result.rows for name in row.metrics}
        return tuple(spec for spec in self.result.metrics if spec.name in names)

    @cached_property
    def num_images(self) -> int:
        """Images of which there is a row."""
        return len({(row.dataset, row.key) for row in self.result.rows})

    def rows_at(self, place: Place) -> list[ImageRow]:
        """Rows of one dataset at one scale."""
        return [row for row in self.result.rows if (row.dataset, row.scale) == place]

    def set_value(self, place: Place, method: str, metric: str) -> SetValue | None:
        """A measure of a whole set."""
        wanted = (*place, method, metric)
        return next((found for found in self.result.set_values if found[:4] == wanted), None)

    def digits(self, metric: str) -> int:
        """Digits after the point with which a metric is written: of numbers below 1 four, of others two."""
        values = [
            abs(row.metrics[metric]) for row in self.result.rows if math.isfinite(row.metrics.get(metric, math.nan))
        ]
        values += [abs(found.value) for found in self.result.set_values if found.metric == metric]
        return 2 if values and max(values) > 2 else 4

    def _mean(self, method: str, metric: str, place: Place) -> Estimate | None:
        """Mean over the images with its bootstrap interval; None where there is no value."""
        return self.mean_of(list(self.pairing.values(method, metric, place.scale, place.dataset).values()))

    def mean_of(self, values: Sequence[float]) -> Estimate | None:
        """Mean of values with its bootstrap interval; None where there is none."""
        if not values:
            return None
        found = bootstrap_interval(values, self.result.seed)
        return Estimate(found.mean, found.low, found.high)

    def _standing(self, metric: str, place: Place | None = None) -> Standing | None:
        """Who is ahead at a place, or over all of them; None where no method has a value.

        Methods are ranked by their means over the images that all of them have, so that one that was run on easy
        images alone is not ahead for that. Over all places an image counts once, as in `compare`.
        """
        spec = self.result.spec(metric)
        scores = self._scores(metric, self.places if place is None else (place,))
        if not scores:
            return None
        ranked = sorted(scores, key=lambda name: scores[name], reverse=spec.direction == "higher")
        beside = tuple(self.compare(metric, (ranked[0], other), place) for other in ranked[1:])
        return Standing(spec, tuple(ranked), beside)

    def _scores(self, metric: str, places: Sequence[Place]) -> dict[str, float]:
        """Mean of each method that has values, over images of which each counts once, however many its scales."""
        held: dict[str, dict[tuple[str, str, float], float]] = defaultdict(dict)
        for name in self.methods:
            for place in places:
                values = self.pairing.values(name, metric, place.scale, place.dataset)
                held[name] |= {(*image, place.scale): value for image, value in values.items()}
        having = {name: values for name, values in held.items() if values}
        common = set.intersection(*(set(values) for values in having.values())) if having else set()
        return {name: _by_image(values, common or values.keys()) for name, values in having.items()}

    def compare(self, metric: str, methods: tuple[str, str], place: Place | None = None) -> Comparison:
        """Two methods on the images that both have, at a place or over all of them."""
        if place is None:
            return self.pairing.compare_overall(metric, methods)
        return self.pairing.compare(metric, methods, place.scale, place.dataset)

    def seconds(self, method: str, scale: float, *, with_io: bool = False, dataset: str = POOLED) -> float | None:
        """Mean time of an image at a scale, of one dataset or all; None where nothing was run."""
        rows = (row for row in self.result.rows if row.method == method and row.scale == scale)
        times = [row.seconds_with_io if with_io else row.seconds for row in rows if dataset in (POOLED, row.dataset)]
        known = [value for value in times if math.isfinite(value)]
        return fmean(known) if known else None


def _by_image(values: Mapping[tuple[str, str, float], float], chosen: Iterable[tuple[str, str, float]]) -> float:
    """Mean over images of their means over the scales."""
    images: dict[tuple[str, str], list[float]] = defaultdict(list)
    for key in sorted(chosen):
        images[key[:2]].append(values[key])
    return fmean(fmean(own) for own in images.values())


def is_of_trust(spec: MetricSpec) -> bool:
    """Whether a metric tells what can be trusted, rather than how good an image is."""
    return spec.needs == "lr" or spec.name in _OF_TRUST


def titled(spec: MetricSpec) -> str:
    """A metric's title with its unit."""
    return f"{spec.title}, {spec.unit}" if spec.unit else spec.title


def with_unit(text: str, spec: MetricSpec) -> str:
    """A number with the metric's unit."""
    return f"{text} {spec.unit}".rstrip()


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.0f} %"


def counted(number: int, what: str) -> str:
    """A number with its noun, e.g. `1 image`, `2 images`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
