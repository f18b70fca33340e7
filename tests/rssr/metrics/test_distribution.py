import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from rssr.errors import DataError
from rssr.metrics.distribution import FEW_IMAGES, few_images_warning, frechet_distance, kernel_distance

D = 16


class _Given(nn.Module):
    """Takes features in place of images."""

    num_features = D

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def features(seed: int, count: int, num_features: int = D, shift: float = 0.0) -> NDArray[np.float32]:
    """Correlated, not normal, not centred."""
    rng = np.random.default_rng(seed)
    mixture = np.random.default_rng(7).normal(size=(num_features, num_features))
    return (np.abs(rng.normal(size=(count, num_features)) @ mixture) + shift).astype(np.float32)


def by_roots(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The formula as it is written, with SciPy's root of a matrix."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    covariances = [np.cov(values, rowvar=False) for values in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1])
    means = first.mean(axis=0) - second.mean(axis=0)
    return float(means @ means + np.trace(covariances[0] + covariances[1] - 2 * root.real))


@pytest.mark.parametrize("counts", [(200, 200), (300, 41), (17, 90)])
def test_frechet_distance_agrees_with_roots_of_matrices_and_with_torchmetrics(counts: tuple[int, int]) -> None:
    first, second = features(0, counts[0]), features(1, counts[1], shift=0.5)
    found = frechet_distance(first, second)
    assert found == pytest.approx(by_roots(first, second), rel=1e-7)
    theirs = FrechetInceptionDistance(feature=_Given())
    theirs.set_dtype(torch.float64)
    theirs.update(torch.from_numpy(first).double(), real=True)
    theirs.update(torch.from_numpy(second).double(), real=False)
    assert found == pytest.approx(float(theirs.compute()), rel=1e-5)


def test_frechet_distance_is_exact_where_covariances_are_singular() -> None:
    """Fewer images than features: in the span of all images, which has fewer dimensions, nothing is singular."""
    first, second = features(0, 9, 64), features(1, 12, 64)
    joint = np.concatenate([first, second]).astype(np.float64)
    basis = np.linalg.svd(joint, full_matrices=False)[2]
    nudged = [np.cov(values.astype(np.float64) @ basis.T, rowvar=False) for values in (first, second)]
    eigenvalues, vectors = np.linalg.eigh(nudged[0])
    half = vectors * np.sqrt(eigenvalues.clip(0)) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(half @ nudged[1] @ half).clip(0)).sum()
    means = (first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)) @ basis.T
    expected = means @ means + np.trace(nudged[0]) + np.trace(nudged[1]) - 2 * overlap
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-5)


def test_known_distances_of_normal_distributions() -> None:
    """Along one axis it is the difference of means squared and that of deviations squared."""
    values = np.array([[-1.0, 0.0], [1.0, 0.0]])
    deviation = math.sqrt(2)
    assert frechet_distance(values, values + np.array([3, 4])) == pytest.approx(25)
    assert frechet_distance(values, 2.5 * values) == pytest.approx((1.5 * deviation) ** 2)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_a_set_is_at_no_distance_from_itself_and_order_does_not_matter(count: int) -> None:
    first, second = features(0, count), features(1, count)
    assert 0 <= frechet_distance(first, first) < 1e-9
    assert frechet_distance(first, second[::-1]) == pytest.approx(frechet_distance(second, first))


def test_kernel_distance_agrees_with_torchmetrics() -> None:
    first, second = features(0, 50), features(1, 50, shift=0.3)
    theirs = KernelInceptionDistance(feature=_Given(), subsets=1, subset_size=50)
    theirs.set_dtype(torch.float64)
    theirs.update(torch.from_numpy(first).double(), real=True)
    theirs.update(torch.from_numpy(second).double(), real=False)
    found = kernel_distance(first, second, subset_size=50, num_subsets=3)
    assert found.mean == pytest.approx(float(theirs.compute()[0]), rel=1e-9)
    assert math.isnan(found.low)  # all subsets are the whole sets
    assert math.isnan(found.high)


def test_kernel_distance_of_one_distribution_scatters_around_zero() -> None:
    found = kernel_distance(features(0, 400), features(1, 400), subset_size=100, num_subsets=50)
    assert found.low < 0 < found.high
    shifted = kernel_distance(features(0, 400), features(1, 400, shift=1.0), subset_size=100, num_subsets=50)
    assert 0 < shifted.low < shifted.mean < shifted.high


def test_the_interval_narrows_with_larger_subsets_and_repeats_with_the_seed() -> None:
    first, second = features(0, 400), features(1, 400, shift=0.3)
    small, large = (kernel_distance(first, second, size, num_subsets=40) for size in (20, 200))
    assert large.high - large.low < small.high - small.low
    assert kernel_distance(first, second, 20, 40, seed=0) == small
    assert kernel_distance(first, second, 20, 40, seed=1) != small


def test_subsets_of_small_sets_are_half_of_the_smaller_one() -> None:
    first, second = features(0, 30), features(1, 44)
    assert kernel_distance(first, second, 1000, 10) == kernel_distance(first, second, 15, 10)


def test_few_images_are_warned_of() -> None:
    assert few_images_warning(FEW_IMAGES) == ""
    assert "500 images" in few_images_warning(500)


@pytest.mark.parametrize("wrong", [features(0, 1), features(0, 5)[0], np.full((5, D), np.nan, np.float32)])
def test_sets_that_have_no_distance_are_refused(wrong: NDArray[np.float32]) -> None:
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(DataError, match="Features"):
            distance(features(1, 8), wrong)


@pytest.mark.parametrize(("size", "subsets"), [(1, 5), (5, 0)])
def test_subsets_that_cannot_be_are_refused(size: int, subsets: int) -> None:
    with pytest.raises(ValueError, match="subset"):
        kernel_distance(features(0, 8), features(1, 8), size, subsets)
