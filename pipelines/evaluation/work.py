"""One image at one scale, from its file to what is found of each method: a plain callable that knows no Ray."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipelines.evaluation.measures import Features, Measures
from pipelines.evaluation.prepare import OF_ONE_IMAGE, PreparedImage, PrepareImage, in_words
from pipelines.evaluation.resolve import ResolveImage, SrImage
from pipelines.evaluation.task import EvaluationTask, ImageJob

OF_ALL_METHODS = ""
"""Stands for a method where something concerns the image itself."""


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found of one image as one method made it, or of the image itself.

    Attributes:
        image: Position of the image in its dataset.
        method: Name of the method; `OF_ALL_METHODS` for the image.
        metrics: Values by metric; None where the method has no row for the image.
        reasons: What failed, and why, a sentence each.
        seconds: Time of super-resolution alone; NaN where nothing was run.
        seconds_with_io: The same with reading, decoding and degrading.
        peak_bytes: Most memory that super-resolution took; None where unknown.
        machine: On which it ran.
        features: What FID and KID compare; None where they are not asked for.
        tally: Error bars against errors, as `ReliabilityTally.to_bytes`; empty where there are none.
    """

    image: int
    method: str
    metrics: Mapping[str, float] | None = None
    reasons: tuple[str, ...] = ()
    seconds: float = math.nan
    seconds_with_io: float = math.nan
    peak_bytes: int | None = None
    machine: str = ""
    features: Features | None = field(default=None, repr=False)
    tally: bytes = field(default=b"", repr=False)


class MeasureImage:
    """Measure what methods made of images. Safe to run again.

    Args:
        task: Names metrics.
    """

    def __init__(self, task: EvaluationTask) -> None:
        self._measures = Measures(task.measuring, task.device)

    def of_image(self, image: PreparedImage) -> list[Finding]:
        """What is found of the HR image itself: its features, where they are asked for."""
        try:
            features = None if image.hr is None else self._measures.features(image.hr)
        except OF_ONE_IMAGE as error:
            return [Finding(image.job.image, OF_ALL_METHODS, reasons=(in_words(error),))]
        return [] if features is None else [Finding(image.job.image, OF_ALL_METHODS, features=features)]

    def __call__(self, image: PreparedImage, made: SrImage) -> Finding:
        """What is found of an SR image."""
        number = image.job.image
        if made.sr is None:
            return Finding(number, made.method, reasons=(made.reason,))
        try:
            found = self._measures(image, made.sr)
            features = None if image.hr is None else self._measures.features(made.sr)
        except OF_ONE_IMAGE as error:
            return Finding(number, made.method, reasons=(in_words(error),))
        return Finding(
            image=number,
            method=made.method,
            metrics=found.metrics,
            reasons=found.reasons,
            seconds=made.seconds,
            seconds_with_io=made.seconds + image.io_seconds,
            peak_bytes=made.peak_bytes,
            machine=made.machine,
            features=features,
            tally=made.tally,
        )


class EvaluateImage:
    """All that is done for one image, in this process. Safe to run again: results depend on the task alone.

    Args:
        task: Images, methods and metrics.

    Raises:
        WeightsError: Weights of a metric are missing or damaged.
    """

    def __init__(self, task: EvaluationTask) -> None:
        self._task = task
        self.prepare = PrepareImage(task)
        self.resolve = ResolveImage(task)

    @cached_property
    def measure(self) -> MeasureImage:
        """Metrics, loaded when they are first needed: a process that hands images on never does."""
        return MeasureImage(self._task)

    def __call__(self, job: ImageJob) -> list[Finding]:
        """What is found of the image at one scale, for each method that is run at it.

        Raises:
            StorageError: Images cannot be reached.
        """
        image = self.prepared(job)
        return [image] if isinstance(image, Finding) else self.whole(image)

    def prepared(self, job: ImageJob) -> PreparedImage | Finding:
        """The image of a job, or why it cannot be used."""
        try:
            return self.prepare(job)
        except OF_ONE_IMAGE as error:
            return Finding(job.image, OF_ALL_METHODS, reasons=(in_words(error),))

    def whole(self, image: PreparedImage) -> list[Finding]:
        """Run and measure one method after the other, so that one SR image is in memory at a time."""
        findings = self.measure.of_image(image)
        for method in self._task.methods_at(image.job.scale):
            findings.append(self.measure(image, self.resolve(image, method)))
        return findings


def jobs_of(task: EvaluationTask) -> Sequence[ImageJob]:
    """All images at all scales, ordered by dataset, scale and image; pairs without an LR image are left out."""
    return [
        ImageJob(number, scale, image)
        for number, dataset in enumerate(task.datasets)
        for scale in dataset.scales
        for image in range(len(dataset.images))
        if not dataset.lr_images or dataset.lr_images[image] is not None
    ]
