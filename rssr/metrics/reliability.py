"""How well error bars hold: predicted deviations against the errors that came about.

Sums are gathered in fine steps of the deviation, so that any number of images takes the same little memory.
"""

import math
import zlib
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rssr.errors import DataError
from rssr.metrics.exact_sum import ExactSum

NUM_BINS = 10

_STEPS_PER_OCTAVE = 16
_LOWEST, _HIGHEST = -24, 24  # powers of two between which steps lie; what is beyond counts in the outermost ones
_SUMS = (
    *("count", "deviation", "variance", "squared_error", "absolute_error", "product", "within_1", "within_2"),
    *("squared_ratio", "log_deviation"),
)
_SHAPE = len(_SUMS), (_HIGHEST - _LOWEST) * _STEPS_PER_OCTAVE
_MAGIC = b"reliability-1:"


@dataclass(frozen=True)
class ReliabilityBin:
    """Values whose predicted deviations are alike.

    Attributes:
        num_values: How many.
        deviation: Mean predicted deviation.
        rmse: Root of their mean squared error; equal to the deviation where error bars hold and errors are normal.
        coverage_1: Share of their errors up to one deviation; 0.683 where error bars hold.
    """

    num_values: int
    deviation: float
    rmse: float
    coverage_1: float


@dataclass(frozen=True)
class Reliability:
    """How well error bars hold over all values; lengths are in the units of the values.

    An error bar is a half-width that shall hold 0.683 of the errors. Of normal errors that is the root of the mean
    square; of errors with heavier tails it is less.

    Attributes:
        num_values: Values measured.
        rmse: Root of the mean squared error.
        rms_deviation: Root of the mean predicted variance; equal to rmse where error bars hold and errors are normal.
        correlation: Pearson's, of deviation and absolute error. Even with perfect error bars it is far below 1,
            because a single error may be small by chance.
        coverage_1: Share of errors up to one deviation; 0.683 where error bars hold.
        coverage_2: Share of errors up to two deviations; 0.954 if errors are normal.
        calibration_error: Mean relative distance of rmse and deviation over equally large groups of like deviations
            (expected normalised calibration error); 0 is perfect.
        likelihood_gain: Mean log-likelihood of the errors above that of the best constant deviation, nats a value,
            with deviations at the common factor that suits it best: whether they tell large errors from small ones.
        bins: About ten equally large groups of like deviations, ascending.
    """

    num_values: int
    rmse: float
    rms_deviation: float
    correlation: float
    coverage_1: float
    coverage_2: float
    calibration_error: float
    likelihood_gain: float
    bins: tuple[ReliabilityBin, ...]

    def metrics(self) -> dict[str, float]:
        """All single numbers by name."""
        return {field.name: float(getattr(self, field.name)) for field in fields(self) if field.name != "bins"}


class ReliabilityTally:
    """Gathers deviations and errors image by image.

    Sums over images are exact. Workers may each tally a part of the images, in any order, and the merged tallies give
    the same figures to the last digit as one tally of all; only the values of one image must be added at once.
    """

    def __init__(self) -> None:
        self._sums = ExactSum(_SHAPE)

    def add(self, deviation: NDArray[np.floating], error: NDArray[np.floating]) -> None:
        """Take in values.

        Args:
            deviation: Predicted, above 0, any shape.
            error: What came about, in the same units and of the same shape; the sign plays no part.

        Raises:
            ValueError: Some deviations are not above 0, values are not finite, or shapes differ.
        """
        d, e = deviation.ravel().astype(np.float64), np.abs(error.ravel().astype(np.float64))
        if d.shape != e.shape or not (d > 0).all() or not (np.isfinite(d) & np.isfinite(e)).all():
            raise ValueError("deviations are above 0, and there is one for each error, all finite")
        step = ((np.log2(d) - _LOWEST) * _STEPS_PER_OCTAVE).astype(np.int64).clip(0, _SHAPE[1] - 1)
        within = [(e <= limit * d) * 1.0 for limit in (1, 2)]
        values = (np.ones_like(d), d, d * d, e * e, e, d * e, *within, np.square(e / d), np.log(d))
        self._sums.add(np.stack([np.bincount(step, weights=value, minlength=_SHAPE[1]) for value in values]))

    def merge(self, other: Self) -> None:
        """Take in what another tally gathered from other images."""
        self._sums.merge(other._sums)

    def to_bytes(self) -> bytes:
        """The tally for a file or a column of binary values, some kilobytes; it goes on from there as if never left."""
        return _MAGIC + zlib.compress(self._sums.parts.astype("<f8").tobytes())

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """The tally that `to_bytes` stored.

        Raises:
            DataError: It is damaged, or none.
        """
        try:
            if not stored.startswith(_MAGIC):
                raise ValueError("another format")
            parts = np.frombuffer(zlib.decompress(stored[len(_MAGIC) :]), "<f8").reshape(-1, *_SHAPE)
        except (zlib.error, ValueError) as error:
            problem = "A reliability tally is damaged, or of another version."
            raise DataError(problem, "Delete the part that holds it and run again.") from error
        tally = cls()
        for part in parts:
            tally._sums.add(part)
        return tally

    def result(self) -> Reliability:
        """What was found so far.

        Raises:
            ValueError: Nothing was added.
        """
        rounded = self._sums.rounded()
        count, *sums = (float(total) for total in rounded.sum(axis=1))
        if count == 0:
            raise ValueError("there are no values yet")
        means = dict(zip(_SUMS[1:], (total / count for total in sums), strict=True))
        bins = _bins(rounded)
        mse = means["squared_error"]
        return Reliability(
            num_values=int(count),
            rmse=math.sqrt(mse),
            rms_deviation=math.sqrt(means["variance"]),
            correlation=_correlation(means),
            coverage_1=means["within_1"],
            coverage_2=means["within_2"],
            calibration_error=float(np.mean([abs(group.rmse - group.deviation) / group.deviation for group in bins])),
            likelihood_gain=_likelihood_gain(means),
            bins=bins,
        )


def _bins(table: NDArray[np.float64]) -> tuple[ReliabilityBin, ...]:
    """Steps joined to groups of about equal numbers of values; a step is never divided."""
    count = table[0]
    middle = (np.cumsum(count) - 0.5 * count) / count.sum()
    group = np.minimum((NUM_BINS * middle).astype(np.int64), NUM_BINS - 1)
    joined = np.stack([np.bincount(group, weights=sums, minlength=NUM_BINS) for sums in table])
    filled = joined[:, joined[0] > 0]
    number, *sums = (filled[_SUMS.index(name)] for name in ("count", "deviation", "squared_error", "within_1"))
    return tuple(
        ReliabilityBin(int(n), float(d / n), math.sqrt(s / n), float(within / n))
        for n, d, s, within in zip(number, *sums, strict=True)
    )


def _likelihood_gain(means: dict[str, float]) -> float:
    """Normal likelihoods at their best: 1/2 ln of the mean squared error, which factors take away, plus mean ln d."""
    if means["squared_ratio"] == 0:
        return 0.0  # no error at all: every deviation is as good
    return 0.5 * math.log(means["squared_error"] / means["squared_ratio"]) - means["log_deviation"]


def _correlation(means: dict[str, float]) -> float:
    spread_d = means["variance"] - means["deviation"] ** 2
    spread_e = means["squared_error"] - means["absolute_error"] ** 2
    shared = means["product"] - means["deviation"] * means["absolute_error"]
    # Rounding of the sums: what is constant has a spread of about a billionth.
    if spread_d <= 1e-9 * means["variance"] or spread_e <= 1e-9 * means["squared_error"]:
        return 0.0
    return shared / math.sqrt(spread_d * spread_e)
