"""All metrics of one SR image: the one place that knows what each of them takes."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.blocks import BlockPlan, mean_of_blocks, psnr_of_blocks
from pipelines.evaluation.prepare import Picture, PreparedImage, border_of, in_words
from pipelines.evaluation.task import MeasuringSpec
from rssr.errors import ImageError
from rssr.metrics.consistency import consistency
from rssr.metrics.correctness import correctness
from rssr.metrics.fidelity import SSIM_WINDOW
from rssr.metrics.inception import InceptionFeatures, load_inception
from rssr.metrics.perceptual import load_metric
from rssr.metrics.spec import MetricSpec, PairMetric, metric_spec
from rssr.metrics.trust_specs import HR_SPECS, LR_SPECS

Features = NDArray[np.float32]

_LR_NAMES = frozenset(spec.name for spec in LR_SPECS)
_HR_NAMES = frozenset(spec.name for spec in HR_SPECS)
_ARITHMETIC_SIDE = 4096  # pixels; larger images are measured in blocks of about this side
_NETWORK_SIDE = 2048  # the same for networks, which take hundreds of bytes a pixel
_LARGEST_DENOMINATOR = 20

Combine = Callable[[Sequence[float], Sequence[int]], float]


class Found(NamedTuple):
    """What was measured.

    Attributes:
        metrics: Values by metric, never NaN.
        reasons: Why metrics could not be measured, a sentence each.
    """

    metrics: dict[str, float]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Loaded:
    """A metric that compares pictures or looks at one, ready to run."""

    spec: MetricSpec
    run: PairMetric
    plan: BlockPlan
    combine: Combine


class Measures:
    """Metrics, loaded. Safe to run again; what one metric stumbles over leaves the others as they are.

    Args:
        spec: What is measured.
        device: Where networks run.

    Raises:
        WeightsError: Weights of a metric are missing or damaged.
    """

    def __init__(self, spec: MeasuringSpec, device: str) -> None:
        self._spec = spec
        specs = [metric_spec(name) for name in spec.metrics]
        plain = [item for item in specs if item.name not in _LR_NAMES | _HR_NAMES]
        self._loaded = [_load(item, spec.weights, device) for item in plain]
        self._inception: InceptionFeatures | None = None
        if spec.features:
            self._inception = load_inception(spec.weights, device)

    def __call__(self, image: PreparedImage, sr: Picture) -> Found:
        """Measure an SR image with every metric that the image has what it takes for.

        Args:
            image: With LR and, where there is one, HR image.
            sr: uint8 [H, W, 3], of the image's size.

        Raises:
            ImageError: The SR image has another size.
        """
        if sr.shape[:2] != image.size:
            height, width = image.size
            raise ImageError(f"The SR image has {sr.shape[0]} x {sr.shape[1]} pixels instead of {height} x {width}.")
        metrics: dict[str, float] = {}
        reasons: list[str] = []
        for what, measure in self._measurements(image, sr):
            try:
                metrics |= measure()
            except Exception as error:  # of networks of others' making, which stumble in any way they can
                reasons.append(f"{what} cannot be measured. {in_words(error)}")
        ordered = {name: metrics[name] for name in self._spec.metrics if name in metrics}
        return Found(ordered, tuple(reasons))

    def features(self, picture: Picture) -> Features | None:
        """What FID and KID compare, float32 [2048]; None where they are not asked for."""
        return None if self._inception is None else self._inception(picture)

    def _measurements(self, image: PreparedImage, sr: Picture) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
        """What is measured, in words, and how."""
        border = border_of(self._spec.border, image.job.scale)
        for loaded in self._loaded:
            if loaded.spec.needs == "nothing" or image.hr is not None:
                yield loaded.spec.title, partial(_measure, loaded, sr, image.hr, border)
        names = set(self._spec.metrics)
        if names & _LR_NAMES:
            yield "Consistency with LR", partial(_against_lr, image, sr)
        if names & _HR_NAMES and image.hr is not None:
            yield "Truth of detail", partial(_against_hr, image, sr)


def _load(spec: MetricSpec, weights: str | None, device: str) -> _Loaded:
    if spec.measure is None:
        return _Loaded(spec, load_metric(spec.name, weights, device), BlockPlan(_NETWORK_SIDE), mean_of_blocks)
    if spec.unit == "dB":
        return _Loaded(spec, spec.measure, BlockPlan(_ARITHMETIC_SIDE), psnr_of_blocks)
    return _Loaded(spec, spec.measure, BlockPlan(_ARITHMETIC_SIDE, SSIM_WINDOW - 1), mean_of_blocks)


def _measure(loaded: _Loaded, sr: Picture, hr: Picture | None, border: int) -> dict[str, float]:
    """A metric of the whole image, or of its blocks together. PSNR and SSIM come out the same either way."""
    spec = loaded.spec
    border = border if spec.is_cropped else 0
    height, width = (side - 2 * border for side in sr.shape[:2])
    if min(height, width) < max(1, spec.smallest_side):
        raise ImageError(f"{height} x {width} pixels are left, and it takes {spec.smallest_side} at least.")
    truth = sr if hr is None else hr
    values, weights = [], []
    for rows, columns, num_pixels in loaded.plan.blocks((height, width)):
        part = tuple(slice(span.start + border, span.stop + border) for span in (rows, columns))
        values.append(loaded.run(np.ascontiguousarray(sr[part]), np.ascontiguousarray(truth[part])))
        weights.append(num_pixels)
    value = loaded.combine(values, weights)
    if math.isnan(value):
        raise ImageError("Its value is not a number.")
    return {spec.name: value}


def _against_lr(image: PreparedImage, sr: Picture) -> dict[str, float]:
    parts = []
    for lr_part, sr_part in _common_blocks(image):
        found = consistency(sr[sr_part], image.lr[lr_part], image.job.scale)
        parts.append((found.metrics(), found.num_pixels))
    return _joined(parts)


def _against_hr(image: PreparedImage, sr: Picture) -> dict[str, float]:
    assert image.hr is not None  # the caller looks
    parts = []
    for lr_part, sr_part in _common_blocks(image):
        found = correctness(sr[sr_part], image.lr[lr_part], image.hr[sr_part])
        if found is not None:
            parts.append((found.metrics(), found.num_pixels))
    return _joined(parts)


def _joined(parts: Sequence[tuple[dict[str, float], int]]) -> dict[str, float]:
    """Means over blocks; what no block tells is not in it."""
    if len(parts) == 1:
        return parts[0][0]
    told: dict[str, list[tuple[float, int]]] = {}
    for metrics, num_pixels in parts:
        for name, value in metrics.items():
            told.setdefault(name, []).append((value, num_pixels))
    return {name: mean_of_blocks(*zip(*pairs, strict=True)) for name, pairs in told.items()}


def _common_blocks(image: PreparedImage) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Blocks of the LR image and the SR pixels over them: the whole where that is small enough."""
    lr_size = image.lr.shape[:2]
    if max(image.size) <= _ARITHMETIC_SIDE:
        yield (slice(None), slice(None)), (slice(None), slice(None))
        return
    ratio = Fraction(image.job.scale).limit_denominator(_LARGEST_DENOMINATOR)
    rows, columns = (list(_spans(lr_side, side, ratio)) for lr_side, side in zip(lr_size, image.size, strict=True))
    for lr_rows, sr_rows in rows:
        for lr_columns, sr_columns in columns:
            yield (lr_rows, lr_columns), (sr_rows, sr_columns)


def _spans(lr_side: int, side: int, ratio: Fraction) -> Iterator[tuple[slice, slice]]:
    """Blocks along one axis; they begin where whole LR pixels are whole SR pixels."""
    step = ratio.denominator
    count = max(1, math.ceil(side / _ARITHMETIC_SIDE))
    starts = [lr_side * number // count // step * step for number in range(count)]
    for start, stop in zip(starts, [*starts[1:], lr_side], strict=True):
        sr_stop = side if stop == lr_side else int(stop * ratio)
        yield slice(start, stop), slice(int(start * ratio), sr_stop)
