"""The worst and the middling images, made again for people to look at."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.opening import OpenEvaluation
from pipelines.evaluation.prepare import Picture, PreparedImage, in_words
from pipelines.evaluation.result import EvaluationResult, ImageRow, ShownImage
from pipelines.evaluation.task import ImageJob
from pipelines.evaluation.work import EvaluateImage, Finding
from rssr.metrics.consistency import consistency
from rssr.value_map import ValueMap

log = logging.getLogger(__name__)

ValueT = TypeVar("ValueT", np.uint8, np.float32)

_MOST_SHOWN = 512  # HR pixels a side; of larger images the middle is shown
_UNIT = "grey levels"
_PERCENTILE = 99.0  # of all values, which the colour scale ends at: a few outliers would leave the rest in one colour


@dataclass(frozen=True)
class _Choice:
    """An image and why it was chosen."""

    row: ImageRow
    why: str


def shown_images(evaluation: OpenEvaluation, result: EvaluationResult) -> list[ShownImage]:
    """The worst and the middling images of each dataset, as every method makes them, with maps of what to trust.

    Nothing of the evaluation is kept but figures, so images are made once more: from the same seeds they are the same.

    Args:
        evaluation: What was asked for.
        result: With all rows.
    """
    choices = [choice for facts in result.datasets for choice in _choose(evaluation, result, facts.name)]
    if not choices:
        return []
    evaluate = EvaluateImage(evaluation.task)
    shown = (_show(evaluation, evaluate, choice) for choice in choices)
    return [image for image in shown if image is not None]


def subject_of(result: EvaluationResult) -> str:
    """The method whose images are looked at: the first that is not the reference, or the only one."""
    others = [facts.name for facts in result.methods if facts.name != result.reference]
    return next(iter(others), result.reference)


def _choose(evaluation: OpenEvaluation, result: EvaluationResult, dataset: str) -> list[_Choice]:
    """Of one dataset at the first scale where the method has rows; by another metric where it has none of that one."""
    subject = subject_of(result)
    rows = [row for row in result.rows if row.dataset == dataset and row.method == subject]
    metrics = [result.rank_by, *evaluation.metrics.single]
    metric = next((name for name in metrics if any(name in row.metrics for row in rows)), None)
    if metric is None:
        return []
    spec = result.spec(metric)
    rows = [row for row in rows if metric in row.metrics]
    rows = [row for row in rows if row.scale == rows[0].scale]
    sign = 1 if spec.direction == "higher" else -1
    worst_first = sorted(rows, key=lambda row: (sign * row.metrics[metric], row.key))
    number = evaluation.config.num_shown
    worst = worst_first[:number]
    middle = max(number, (len(worst_first) - number) // 2)  # of those that are not shown as the worst already
    middling = worst_first[middle : middle + number]
    return [
        *(_Choice(row, f"worst {spec.title} of {subject}") for row in worst),
        *(_Choice(row, f"middling {spec.title} of {subject}") for row in middling),
    ]


def _show(evaluation: OpenEvaluation, evaluate: EvaluateImage, choice: _Choice) -> ShownImage | None:
    image = _prepared(evaluation, evaluate, choice.row)
    if image is None:
        return None
    sr: dict[str, Picture] = {}
    errors: dict[str, NDArray[np.float32]] = {}
    deviations: dict[str, NDArray[np.float32]] = {}
    for method in evaluation.task.methods_at(choice.row.scale):
        try:
            made = evaluate.resolve.sr_of(image, method)
            told = evaluate.resolve.deviation_of(image, method)
            errors[method.name] = consistency(made, image.lr, choice.row.scale).error_map
        except Exception as error:  # is among the failures already, which is no reason to have no report
            log.debug("%s of %s is not shown: %s", choice.row.key, method.name, in_words(error))
            continue
        sr[method.name] = made
        if told is not None:
            deviations[method.name] = np.sqrt(np.square(told[1]).mean(axis=2)).astype(np.float32)
    crop = _Crop.of(image)
    return ShownImage(
        row=choice.row,
        why=choice.why,
        lr=crop.lr(image.lr),
        hr=None if image.hr is None else crop.hr(image.hr),
        sr={name: crop.hr(picture) for name, picture in sr.items()},
        consistency=_maps(errors, crop.lr),
        uncertainty=_maps(deviations, crop.hr),
    )


def _prepared(evaluation: OpenEvaluation, evaluate: EvaluateImage, row: ImageRow) -> PreparedImage | None:
    names = [dataset.name for dataset in evaluation.task.datasets]
    number = names.index(row.dataset)
    keys = [record.key for record in evaluation.task.datasets[number].images]
    image = evaluate.prepared(ImageJob(number, row.scale, keys.index(row.key)))
    if isinstance(image, Finding):
        log.warning("%s is not shown: %s", row.key, " ".join(image.reasons))
        return None
    return image


@dataclass(frozen=True)
class _Crop:
    """The middle of an image, on both grids."""

    lr_rows: slice
    lr_columns: slice
    hr_rows: slice
    hr_columns: slice

    @classmethod
    def of(cls, image: PreparedImage) -> "_Crop":
        spans = [
            _middle(lr_side, side, image.job.scale)
            for lr_side, side in zip(image.lr.shape[:2], image.size, strict=True)
        ]
        (lr_rows, hr_rows), (lr_columns, hr_columns) = spans
        return cls(lr_rows, lr_columns, hr_rows, hr_columns)

    def lr(self, values: NDArray[ValueT]) -> NDArray[ValueT]:
        return np.ascontiguousarray(values[self.lr_rows, self.lr_columns])

    def hr(self, values: NDArray[ValueT]) -> NDArray[ValueT]:
        return np.ascontiguousarray(values[self.hr_rows, self.hr_columns])


def _middle(lr_side: int, side: int, scale: float) -> tuple[slice, slice]:
    if side <= _MOST_SHOWN:
        return slice(0, lr_side), slice(0, side)
    kept = max(1, int(_MOST_SHOWN / scale))
    start = (lr_side - kept) // 2
    ends = (round(place * side / lr_side) for place in (start, start + kept))
    return slice(start, start + kept), slice(*ends)


def _maps(
    values: dict[str, NDArray[np.float32]], crop: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> dict[str, ValueMap]:
    """Maps of all methods on one scale of colours, so that they can be compared."""
    cropped = {name: crop(part) for name, part in values.items()}
    limits = (0.0, _upper_end(list(cropped.values())))
    return {name: ValueMap(part, _UNIT, limits) for name, part in cropped.items()}


def _upper_end(maps: Sequence[NDArray[np.float32]]) -> float:
    known = [part[np.isfinite(part)] for part in maps]
    ends = [float(np.percentile(part, _PERCENTILE)) for part in known if part.size]
    return max([*ends, 1e-3])
