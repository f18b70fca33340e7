"""What an evaluation found: a row an image, scale and method, and what everything in the rows was."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rssr.metrics.reliability import Reliability
from rssr.metrics.spec import MetricSpec
from rssr.value_map import ValueMap
from rssr.weights.missing import MissingWeights


@dataclass(frozen=True)
class ImageRow:
    """One image as one method made it at one scale.

    Attributes:
        dataset: Name of the dataset.
        key: Of the image in it.
        class_name: Its class, or None.
        scale: HR/LR size ratio.
        method: Name of the method.
        metrics: Values by metric; what could not be had is not in it. Never NaN.
        seconds: Time of super-resolution alone; NaN where nothing was run (images made elsewhere).
        seconds_with_io: The same with reading, decoding and degrading.
    """

    dataset: str
    key: str
    class_name: str | None
    scale: float
    method: str
    metrics: Mapping[str, float]
    seconds: float
    seconds_with_io: float


@dataclass(frozen=True)
class Failure:
    """What is not among the rows, and why.

    Attributes:
        dataset: Name of the dataset.
        key: Of the image.
        reason: In words.
        scale: At which; None where the image could not be read at all.
        method: Of which method; None where it concerns all of them.
    """

    dataset: str
    key: str
    reason: str
    scale: float | None = None
    method: str | None = None


class SetValue(NamedTuple):
    """A measure of a whole set of images, e.g. FID.

    Attributes:
        dataset: Name of the dataset.
        scale: HR/LR size ratio.
        method: Name of the method.
        metric: Name of the metric.
        value: Of the whole set.
        low: Lower end of its interval; NaN where there is none.
        high: Upper end.
        num_images: How many images the set has.
        warning: Why it should not be trusted; empty where it may be.
    """

    dataset: str
    scale: float
    method: str
    metric: str
    value: float
    low: float
    high: float
    num_images: int
    warning: str = ""


@dataclass(frozen=True)
class MethodFacts:
    """What is known about a method.

    Attributes:
        name: In rows.
        kind: A baseline, a model, or a folder of images made elsewhere.
        source: Where it comes from.
        digest: SHA-256 of the model folder; empty for others.
        num_parameters: Of the network; None where there is none, or it is unknown.
        gmacs: Billions of multiply-accumulates for an output of 512 x 512 pixels at the first scale; likewise.
        peak_bytes: Most memory that super-resolving one image took above what was there before; None where unknown.
        licence: Of the weights.
        is_official: Whether the weights are those that the method's authors published.
        digest_of_training: Digests of the training manifests that its card names.
    """

    name: str
    kind: Literal["baseline", "model", "images"]
    source: str
    digest: str = ""
    num_parameters: int | None = None
    gmacs: float | None = None
    peak_bytes: int | None = None
    licence: str = ""
    is_official: bool = False
    digest_of_training: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetFacts:
    """What was evaluated on.

    Attributes:
        name: In rows.
        uri: Where the images lie; of pairs, the HR images.
        manifest: Where the list of images lies.
        digest: Of that list.
        num_images: Images in it.
        classes: Names of the classes, in order; empty where it has none.
        has_hr: Whether there are HR images, or LR images alone.
        licence: As the user states it; empty where unknown.
    """

    name: str
    uri: str
    manifest: str
    digest: str
    num_images: int
    classes: tuple[str, ...] = ()
    has_hr: bool = True
    licence: str = ""


@dataclass(frozen=True)
class ShownImage:
    """One image with what each method made of it, for the report.

    Attributes:
        row: Why it is shown: the row of the method and metric that chose it.
        why: In words, e.g. `worst LPIPS of ldcsr`.
        lr: uint8 [h, w, 3].
        hr: uint8 [H, W, 3]; None where there is no HR image.
        sr: By method.
        consistency: How far SR taken back to LR is from LR, by method.
        uncertainty: Error bars, for methods that have them.
    """

    row: ImageRow
    why: str
    lr: NDArray[np.uint8]
    hr: NDArray[np.uint8] | None
    sr: Mapping[str, NDArray[np.uint8]]
    consistency: Mapping[str, ValueMap] = field(default_factory=dict)
    uncertainty: Mapping[str, ValueMap] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedCell:
    """A figure from a paper, beside ours.

    Attributes:
        method: As the paper writes it; its own method by name.
        dataset: Name of the dataset here, or `pairing.POOLED` for a mean over all of them.
        scale: HR/LR size ratio.
        metric: Name of the metric here, or `published.SECONDS` or `published.PARAMETERS`.
        value: As published.
        source: Document and table.
    """

    method: str
    dataset: str
    scale: float
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class SharedImage:
    """An image that a method has, or may have, learnt from.

    Attributes:
        dataset: Name of the dataset that is evaluated on.
        key: Of the image in it.
        method: That was trained on it; empty where two datasets share it.
        other: The image that it equals or resembles.
        distance: Bits in which their fingerprints differ; None where the files are equal byte by byte.
    """

    dataset: str
    key: str
    method: str
    other: str
    distance: int | None = None


@dataclass
class EvaluationResult:
    """Everything that was found.

    Attributes:
        title: Of the evaluation.
        rows: One an image, scale and method, ordered by dataset, scale, image and method as configured.
        failures: What is not among them.
        methods: In the order of the configuration.
        datasets: Likewise.
        scales: HR/LR size ratios, ascending.
        metrics: Specs of what was asked for, in order, sets included.
        set_values: Measures of whole sets.
        gaps: Metrics that could not be had, with what fetches their weights.
        reliability: How well error bars hold, by method.
        published: Figures of papers to show beside ours.
        shared: Images that methods have learnt from, or that datasets share: all of them, however many are shown.
        notices: What a reader must know beside the figures, e.g. that it is unknown what a method was trained on.
        shown: Images for the report.
        reference: Method that others are compared with.
        rank_by: Metric that decides which images are the worst and which method is ahead.
        seed: Of everything random, bootstrap included.
        config: The resolved configuration as YAML.
        versions: Of the software that took part.
        hardware: On which times were taken.
        date: Of the evaluation, e.g. 2026-11-29.
        promotion: What was decided about `champion`, in words; empty where nothing was asked.
    """

    title: str
    rows: list[ImageRow]
    methods: tuple[MethodFacts, ...]
    datasets: tuple[DatasetFacts, ...]
    scales: tuple[float, ...]
    metrics: tuple[MetricSpec, ...]
    reference: str
    rank_by: str
    seed: int = 0
    failures: list[Failure] = field(default_factory=list)
    set_values: list[SetValue] = field(default_factory=list)
    gaps: Mapping[str, MissingWeights] = field(default_factory=dict)
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    published: tuple[PublishedCell, ...] = ()
    shared: tuple[SharedImage, ...] = ()
    notices: tuple[str, ...] = ()
    shown: list[ShownImage] = field(default_factory=list)
    config: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: str = ""
    date: str = ""
    promotion: str = ""

    def values(self, method: str, metric: str, scale: float, dataset: str | None = None) -> dict[str, float]:
        """One metric of one method at one scale by image, as `DATASET/KEY`; images without it are left out.

        Args:
            method: Name of the method.
            metric: Name of the metric.
            scale: HR/LR size ratio.
            dataset: Of this dataset alone; None takes all.
        """
        return {
            f"{row.dataset}/{row.key}": row.metrics[metric]
            for row in self.rows
            if row.method == method and row.scale == scale and dataset in (None, row.dataset) and metric in row.metrics
        }

    def spec(self, metric: str) -> MetricSpec:
        """The spec of one of its metrics.

        Raises:
            KeyError: It is none of them.
        """
        return next(spec for spec in self.metrics if spec.name == metric)


def to_records(rows: list[ImageRow]) -> list[dict[str, Any]]:
    """Rows as flat records, one column a metric, as Parquet has them; a metric that is missing is None."""
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    return [
        {
            "dataset": row.dataset,
            "key": row.key,
            "class_name": row.class_name,
            "scale": row.scale,
            "method": row.method,
            "seconds": row.seconds,
            "seconds_with_io": row.seconds_with_io,
            **{name: row.metrics.get(name) for name in names},
        }
        for row in rows
    ]
