"""Distances between the features of two sets of images: FID and KID, in float64."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rssr.errors import DataError

FEW_IMAGES = 2048
"""With fewer images than features the covariances that FID compares are of deficient rank."""

Features = NDArray[np.float32] | NDArray[np.float64]  # [N, D]
_Matrix = NDArray[np.float64]


class KernelDistance(NamedTuple):
    """Kernel Inception distance.

    Attributes:
        mean: Over subsets; an unbiased estimate, which may lie below 0.
        low: Lower end of the interval that holds 95 % of the subsets; NaN where all subsets are the whole sets.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


def frechet_distance(first: Features, second: Features) -> float:
    """Fréchet distance of two normal distributions fitted to features (Heusel et al. 2017, Eq. 6); FID of Inception's.

    The distance of means is exact. The trace of the root of the covariances' product is the sum of singular values of
    one matrix: with C1 = A'A and C2 = B'B, where A and B are the centred features over the root of N - 1, it is that of
    AB'. So no root of a matrix is taken, which fails where there are fewer images than features.

    Args:
        first: [N, D].
        second: [M, D].

    Returns:
        At least 0. Of few images it is far too large, and sets of different sizes cannot be compared by it.

    Raises:
        DataError: A set has fewer than two images, or something that is not finite.
    """
    first_centred, first_mean = _centred(first)
    second_centred, second_mean = _centred(second)
    overlap = np.linalg.svd(first_centred @ second_centred.T, compute_uv=False).sum()
    spread = np.square(first_centred).sum() + np.square(second_centred).sum()
    return max(0.0, float(np.square(first_mean - second_mean).sum() + spread - 2 * overlap))


def kernel_distance(
    first: Features, second: Features, subset_size: int = 1000, num_subsets: int = 100, seed: int = 0
) -> KernelDistance:
    """Squared maximum mean discrepancy under the kernel (x·y / D + 1)³; KID of Inception's features.

    Binkowski et al. 2018: the mean of unbiased estimates over random subsets. Its expectation does not depend on the
    number of images; its interval is that of subsets, so a wider one than all images together would have.

    Args:
        first: [N, D].
        second: [M, D].
        subset_size: Images of each set in a subset, drawn without replacement. More than the smaller set has: half of
            that one instead.
        num_subsets: How many subsets.
        seed: Of their choice.

    Raises:
        DataError: A set has fewer than four images, or something that is not finite.
        ValueError: `subset_size` is below 2, or `num_subsets` below 1.
    """
    if subset_size < 2 or num_subsets < 1:
        raise ValueError("a subset has at least two images, and there is at least one subset")
    first, second = (_checked(features, smallest=4) for features in (first, second))
    smaller, larger = sorted((len(first), len(second)))
    size = subset_size if subset_size <= smaller else smaller // 2
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(num_subsets):
        subsets = (features[rng.choice(len(features), size, replace=False)] for features in (first, second))
        values.append(_squared_discrepancy(*subsets))
    mean = math.fsum(values) / num_subsets
    if size == larger or num_subsets == 1:
        return KernelDistance(mean, math.nan, math.nan)
    low, high = np.quantile(values, (0.025, 0.975))
    return KernelDistance(mean, float(low), float(high))


def few_images_warning(num_images: int) -> str:
    """Why a distance of this many images should not be trusted; empty where it may be.

    Args:
        num_images: Of the smaller set.
    """
    if num_images >= FEW_IMAGES:
        return ""
    return (
        f"{num_images:,} images are fewer than Inception's {FEW_IMAGES:,} features: FID is far too large, and only "
        "comparable between methods on these very images. KID with its interval is the fairer figure."
    )


def _checked(features: Features, smallest: int) -> _Matrix:
    if features.ndim != 2 or len(features) < smallest:
        raise DataError(f"Features are {features.shape}: distances of sets need at least {smallest} images of each.")
    if not np.isfinite(features).all():
        raise DataError("Features of a set of images are not all finite.", "Look for pictures of one colour.")
    return features.astype(np.float64)


def _centred(features: Features) -> tuple[_Matrix, _Matrix]:
    """A matrix [min(N, D), D] whose product with itself is the covariance, and the mean."""
    values = _checked(features, smallest=2)
    mean = values.mean(axis=0)
    centred = (values - mean) / math.sqrt(len(values) - 1)
    if len(centred) > centred.shape[1]:
        centred = np.linalg.qr(centred, "r")
    return centred, mean


def _squared_discrepancy(first: _Matrix, second: _Matrix) -> float:
    """The unbiased estimate for two sets of one size."""
    size = len(first)
    within = sum((kernel.sum() - np.trace(kernel)) / (size * (size - 1)) for kernel in map(_kernel, (first, second)))
    return float(within - 2 * _kernel(first, second).mean())


def _kernel(first: _Matrix, second: _Matrix | None = None) -> _Matrix:
    kernel: _Matrix = (first @ (first if second is None else second).T / first.shape[1] + 1) ** 3
    return kernel
