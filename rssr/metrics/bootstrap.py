"""Intervals of a mean over images, whatever the distribution of the values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri  # scipy.stats takes long to import

from rssr.seeds import numpy_generator

_DRAWS_AT_A_TIME = 2**20  # 8 MB each of choices and values


@dataclass(frozen=True)
class Interval:
    """A mean and where that of all images of the kind probably lies.

    Attributes:
        mean: Of the values.
        low: Lower end of the interval; not a number where a single value tells nothing of the spread.
        high: Upper end, likewise.
        num_values: How many values, of one image each.
    """

    mean: float
    low: float
    high: float
    num_values: int


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.floating],
    seed: int,
    num_resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of the mean by the bias-corrected and accelerated bootstrap (BCa; Efron 1987, JASA 82).

    Images are drawn anew with replacement, and the quantiles of their means corrected for skewness, which plain
    percentiles miss: metrics such as LPIPS and errors lean to one side. With fewer than about 20 values any bootstrap
    interval is too narrow.

    The result depends on the values and the seed alone, not on the values' order, so that it is the same however many
    workers brought them together.

    Args:
        values: One finite value an image.
        seed: The same gives the same interval.
        num_resamples: How often images are drawn anew.
        confidence: Share of intervals that hold the true mean, within (0, 1).

    Raises:
        ValueError: There are no values, some are not finite, or the confidence is not within (0, 1).
    """
    ordered = np.sort(np.asarray(values, np.float64))
    if ordered.ndim != 1 or not ordered.size or not np.isfinite(ordered).all():
        raise ValueError("an interval needs one finite value an image, and one image at least")
    if not 0 < confidence < 1 or num_resamples < 1:
        raise ValueError("the confidence lies between 0 and 1, and there is one resample at least")
    mean = float(ordered.mean())
    if ordered.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    if ordered[0] == ordered[-1]:
        return Interval(float(ordered[0]), float(ordered[0]), float(ordered[0]), ordered.size)
    means = _resampled_means(ordered, seed, num_resamples).clip(ordered[0], ordered[-1])  # but for rounding they are
    low, high = np.quantile(means, _corrected_levels(ordered - mean, means - mean, confidence))
    return Interval(mean, float(low), float(high), ordered.size)


def _resampled_means(values: NDArray[np.float64], seed: int, num_resamples: int) -> NDArray[np.float64]:
    generator = numpy_generator("bootstrap", seed)
    rows = max(1, _DRAWS_AT_A_TIME // values.size)
    counts = [min(rows, num_resamples - start) for start in range(0, num_resamples, rows)]
    return np.concatenate([values[generator.integers(values.size, size=(n, values.size))].mean(axis=1) for n in counts])


def _corrected_levels(
    deviations: NDArray[np.float64], mean_deviations: NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """Levels of the quantiles to take, for values and resampled means about the mean."""
    below = (np.sign(-mean_deviations).mean() + 1) / 2  # ties count half
    least = 0.5 / len(mean_deviations)
    bias = ndtri(np.clip(below, least, 1 - least))
    deviations = deviations / np.abs(deviations).max()  # cubes of the very small would vanish
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    wanted = bias + ndtri([(1 - confidence) / 2, (1 + confidence) / 2])
    slowdown = np.maximum(1 - acceleration * wanted, 1e-9)  # below 0 only at extreme skewness and confidence
    levels: NDArray[np.float64] = ndtr(bias + wanted / slowdown)
    return levels
