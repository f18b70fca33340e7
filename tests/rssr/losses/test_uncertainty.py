import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor

from rssr.losses.uncertainty import PRIOR_FACTOR, gaussian_nll, uncertainty_loss


def loss_at(log_variance: float, difference: float) -> float:
    target = torch.zeros(1, dtype=torch.float64)
    return float(uncertainty_loss(target + difference, target + log_variance, target))


def test_value_is_equation_5() -> None:
    mean = torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1)
    log_variance = torch.tensor([0.0, math.log(2.0)]).reshape(1, 2, 1, 1)
    expected = 0.5 * ((1.0 + 0.0) + (4.0 / 2 + 3 * math.log(2.0))) / 2
    assert float(uncertainty_loss(mean, log_variance, torch.zeros_like(mean))) == pytest.approx(expected)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3))
def test_best_variance_is_a_third_of_the_squared_error(difference: float) -> None:
    found = minimize_scalar(lambda s: loss_at(s, difference), bracket=(-5, 5)).x
    assert math.exp(found) == pytest.approx(difference**2 / 3, rel=1e-3)


def test_training_finds_the_target_and_a_third_of_the_remaining_error(generator: torch.Generator) -> None:
    """One mean and variance for many targets: the mean goes to theirs, the variance to a third of their spread."""
    targets = 0.7 + 0.5 * torch.randn(4000, generator=generator)
    mean, log_variance = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([mean, log_variance], max_iter=100, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = uncertainty_loss(mean.expand(4000), log_variance.expand(4000), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    assert float(mean.detach()) == pytest.approx(float(targets.mean()), abs=1e-3)
    calibrated = PRIOR_FACTOR * log_variance.detach().exp()
    assert float(calibrated) == pytest.approx(float(targets.var(correction=0)), rel=1e-3)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3))
def test_the_plain_likelihoods_best_variance_is_the_squared_error_itself(difference: float) -> None:
    squared_error = torch.tensor(difference**2, dtype=torch.float64)
    found = minimize_scalar(lambda s: float(gaussian_nll(squared_error * 0 + s, squared_error)), bracket=(-5, 5)).x
    assert math.exp(found) == pytest.approx(difference**2, rel=1e-3)


def test_the_plain_likelihood_is_the_normal_distributions_without_its_constant() -> None:
    deviation, error = torch.tensor([0.5, 2.0]), torch.tensor([0.3, -1.0])
    expected = -torch.distributions.Normal(0.0, deviation).log_prob(error).mean() - 0.5 * math.log(2 * math.pi)
    assert float(gaussian_nll(2 * deviation.log(), error**2)) == pytest.approx(float(expected))
