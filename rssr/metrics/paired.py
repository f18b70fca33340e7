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
    """

    mean: float
    low: float
    high: float
    num_images: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> PairedDifference | None:
    """Compare two models image by image.

    Images differ far more from one another than models do on one image, so that the difference of two means says
    little, and the mean of the differences much. The interval is Student's, which also holds for few images as long
    as the differences are roughly normal; images are taken as independent.

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
    return PairedDifference(mean, mean - half_width, mean + half_width, count)
