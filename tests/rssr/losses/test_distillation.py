import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rssr.losses.distillation import median_distance, mmd_squared, sample_positions


def oracle(first: Tensor, second: Tensor) -> float:
    """Eq. 16 written out pair by pair."""
    pooled = [row.double() for row in (*first, *second)]
    distances = sorted(float((a - b).norm()) for a, b in itertools.combinations(pooled, 2))
    sigma = distances[(len(distances) - 1) // 2]

    def kernel(a: Tensor, b: Tensor) -> float:
        return math.exp(-float((a.double() - b.double()).square().sum()) / (2 * sigma**2))

    def within(samples: Tensor) -> float:
        values = [kernel(a, b) for a, b in itertools.permutations(samples, 2)]
        return sum(values) / len(values)

    across = [kernel(a, b) for a in first for b in second]
    return within(first) + within(second) - 2 * sum(across) / len(across)


@settings(deadline=None)
@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 99))
def test_value_is_equation_16_pair_by_pair(n: int, m: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(n, 3, generator=generator), 1 + torch.randn(m, 3, generator=generator)
    assert float(mmd_squared(first, second)) == pytest.approx(oracle(first, second), abs=1e-5)


def test_estimates_of_all_splits_of_one_set_average_to_zero(generator: torch.Generator) -> None:
    """Unbiasedness without chance: equally likely draws of one distribution are the splits of what was drawn."""
    pooled = torch.randn(7, 3, generator=generator)
    estimates = []
    for chosen in itertools.combinations(range(7), 3):
        others = [index for index in range(7) if index not in chosen]
        estimates.append(float(mmd_squared(pooled[list(chosen)], pooled[others])))
    assert sum(estimates) / len(estimates) == pytest.approx(0, abs=1e-6)
    assert max(estimates) > 0.05


def test_mean_of_many_estimates_is_zero_within_its_error() -> None:
    """200 pairs of draws from one distribution: the mean lies within 3 standard errors of 0."""
    draws = torch.randn(200, 2, 32, 6, generator=torch.Generator().manual_seed(1))
    estimates = torch.stack([mmd_squared(first, second) for first, second in draws])
    standard_error = float(estimates.std()) / math.sqrt(len(estimates))
    assert abs(float(estimates.mean())) < 3 * standard_error
    assert standard_error < 1e-3  # a biased estimate would be off by 2 / 32
    assert bool((estimates < 0).any())  # and is not clipped


def test_estimate_grows_with_a_shift_and_with_a_change_of_scale(generator: torch.Generator) -> None:
    first, second = torch.randn(2, 300, 5, generator=generator)
    shifted = [float(mmd_squared(first, second + shift)) for shift in (0, 0.3, 0.6, 1.2, 2.4)]
    scaled = [float(mmd_squared(first, second * scale)) for scale in (1, 1.5, 2, 3)]
    assert shifted == sorted(shifted)
    assert scaled == sorted(scaled)
    assert shifted[-1] > 0.3
    assert scaled[-1] > 0.05


def test_distributions_with_equal_means_are_told_apart(generator: torch.Generator) -> None:
    gaussian = torch.randn(400, 1, generator=generator)
    signs = torch.randn(400, 1, generator=generator).sign() + 0.1 * torch.randn(400, 1, generator=generator)
    assert float(mmd_squared(gaussian, signs)) > 0.02


@pytest.mark.parametrize("offset", [0.0, 30.0, 3000.0])
def test_a_common_offset_changes_nothing(offset: float, generator: torch.Generator) -> None:
    first, second = torch.randn(40, 8, generator=generator), 0.5 + torch.randn(50, 8, generator=generator)
    moved = mmd_squared(first + offset, second + offset)
    assert float(moved) == pytest.approx(float(mmd_squared(first, second)), abs=2e-3)


def test_sides_are_interchangeable_and_order_is_irrelevant(generator: torch.Generator) -> None:
    first, second = torch.randn(20, 4, generator=generator), 2 * torch.randn(30, 4, generator=generator)
    value = float(mmd_squared(first, second))
    assert float(mmd_squared(second, first)) == pytest.approx(value, abs=1e-5)
    assert float(mmd_squared(first.flip(0), second)) == pytest.approx(value, abs=1e-5)


def test_autocast_does_not_coarsen_the_distances(generator: torch.Generator) -> None:
    first, second = torch.randn(2, 64, 32, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mmd_squared(first, second)
    assert torch.equal(inside, mmd_squared(first, second))


def test_gradient_is_finite_even_between_equal_samples(generator: torch.Generator) -> None:
    taught = torch.randn(16, 4, generator=generator)
    for start in (taught.clone(), torch.zeros(16, 4), torch.randn(16, 4, generator=generator)):
        student = start.requires_grad_()
        mmd_squared(student, taught).backward()  # type: ignore[no-untyped-call]
        assert student.grad is not None
        assert student.grad.isfinite().all()


def test_descent_brings_the_distributions_together(generator: torch.Generator) -> None:
    taught = torch.randn(128, 2, generator=generator)
    student = (torch.randn(128, 2, generator=generator) + 3).requires_grad_()
    optimizer = torch.optim.Adam([student], 0.1)
    for _ in range(80):
        optimizer.zero_grad()
        mmd_squared(student, taught).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(mmd_squared(student.detach(), taught)) < 0.02
    assert float(student.detach().median(0).values.norm()) < 0.8


def test_constant_features_have_a_finite_bandwidth() -> None:
    assert float(median_distance(torch.zeros(6, 6))) > 0
    assert float(mmd_squared(torch.ones(4, 3), torch.ones(5, 3))) == 0


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 2)])
def test_too_few_samples_are_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match="at least two samples"):
        mmd_squared(torch.zeros(n, 3), torch.zeros(m, 3))


def numbered(batch: int, height: int, width: int) -> Tensor:
    """A map whose two channels hold the position's number and its negative."""
    numbers = torch.arange(batch * height * width, dtype=torch.float32).reshape(batch, 1, height, width)
    return torch.cat([numbers, -numbers], dim=1)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 40))
def test_samples_are_distinct_positions_with_all_their_channels(
    batch: int, height: int, width: int, bound: int
) -> None:
    samples = sample_positions(numbered(batch, height, width), bound)
    assert samples.shape == (min(bound, batch * height * width), 2)
    assert len(set(samples[:, 0].tolist())) == len(samples)
    assert torch.equal(samples[:, 1], -samples[:, 0])


def test_choice_follows_the_generator() -> None:
    features = numbered(2, 16, 16)

    def draw(seed: int) -> Tensor:
        return sample_positions(features, 20, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_few_positions_of_a_large_map_do_not_copy_it() -> None:
    """A terabyte of one repeated zero: only the chosen positions may be held."""
    features = torch.zeros(1).expand(16, 2**20, 128, 128)
    assert sample_positions(features, 8).shape == (8, 2**20)


def test_gradients_reach_the_chosen_positions_alone() -> None:
    features = numbered(1, 8, 8).requires_grad_()
    sample_positions(features, 10).sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert int((features.grad != 0).sum()) == 20
