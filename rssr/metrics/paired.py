"""Differences between two models measured on the same images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """The mean over images of one model's value minus another's, and its 95 % confidence interval.

    Attributes:
        mean: Of the differences.
        low: Lower end of the interval.
        high: Upper end.
        num_images: How many pairs there are.
        share_above: Share of the images on which the first model's value is the higher one; equal values count half.
    """

    mean: float
    low: float
    high: float
    num_images: int
    share_above: float = math.nan

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    def is_clearly_better(self, higher_is_better: bool) -> bool:
        """Whether the interval leaves zero out, and the first model is on the better side of it."""
        return self.low > 0 if higher_is_better else self.high < 0

    def share_won(self, higher_is_better: bool) -> float:
        """Share of the images on which the first model is the better one; ties count half.

        Args:
            higher_is_better: Of the metric.
        """
        return self.share_above if higher_is_better else 1 - self.share_above


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> PairedDifference | None:
    """Compare two models image by image.

    Images differ far more from one another than models do on one image, so that the difference of two means says
    little, and the mean of the differences much. Images are taken as independent.

    The interval is Student's and not a bootstrap's: metrics lean to one side, but their differences on one image much
    less so, and there it holds the truth as often or oftener. Simulated, 95 % intervals of Student's and of
    `bootstrap_interval` held it in 95 and 88 % of the trials for 6 normal differences, 94 and 92 % for 50
    double-exponential, 90 and 90 % for 50 strongly skewed ones (log-normal of sigma 1), and alike from 200 on. It also
    hangs on no seed, as a decision about promotion must not.

    Args:
        values: One finite value an image.
        reference: The other model's, for the same images in the same order.

    Returns:
        The difference; None with fewer than two images, where nothing is known of its spread.

    Raises:
        ValueError: If there are not as many of one as of the other.
    """
    differences = [value - other for value, other in zip(values, reference, strict=True)]
    count = len(differences)
    if count < 2:
        return None
    mean = fmean(differences)
    quantile = float(stdtrit(count - 1, 0.5 + _CONFIDENCE / 2))  # of Student's t; scipy.stats takes long to import
    half_width = quantile * stdev(differences) / math.sqrt(count)
    above = fmean((difference > 0) + (difference == 0) / 2 for difference in differences)
    return PairedDifference(mean, mean - half_width, mean + half_width, count, above)
