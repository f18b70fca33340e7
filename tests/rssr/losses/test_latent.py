import math
from collections.abc import Callable

import pytest
import torch

from rssr.losses.latent import code_distance, consistency_loss, image_nll, kl_divergence, unit_scaling
from tests.rssr.conftest import VectorFile


def test_image_loss_of_recorded_images(vector_file: Callable[[str], VectorFile]) -> None:
    recorded = vector_file("ldcsr_stage1_losses")
    sr, hr = recorded.tensors["out/reconstruction"], 2 * recorded.tensors["in/hr"] - 1
    loss = image_nll(sr, hr, log_variance=recorded.facts["config"]["logvar"])
    recorded.assert_close("out/step0.nll_loss", loss)


def test_divergence_agrees_with_that_of_normal_distributions(generator: torch.Generator) -> None:
    mean, log_variance = torch.randn(3, 4, 5, 2, generator=generator), torch.randn(3, 4, 5, 2, generator=generator)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    reference = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(mean, log_variance), reference.sum() / 3)
    assert kl_divergence(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)) == 0


def test_the_image_loss_grows_with_the_crop_and_not_with_the_batch() -> None:
    sr, hr = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5)
    assert image_nll(sr, hr).item() == pytest.approx(0.5 * 3 * 64)
    assert image_nll(sr[:1], hr[:1]) == image_nll(sr, hr)


def test_an_image_s_perceptual_distance_counts_at_each_of_its_elements() -> None:
    sr = torch.zeros(2, 3, 4, 4)
    loss = image_nll(sr, sr, perceptual=torch.tensor([0.2, 0.6]))
    assert loss.item() == pytest.approx((0.2 + 0.6) / 2 * 48)


def test_the_log_variance_divides_and_is_added() -> None:
    sr, hr = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert image_nll(sr, hr, log_variance=0.3).item() == pytest.approx(12 * (math.exp(-0.3) + 0.3), rel=1e-5)


def test_the_best_code_is_the_mean_of_the_latents_that_are_possible(generator: torch.Generator) -> None:
    possible = torch.randn(50, 4, 2, 2, generator=generator)
    code = torch.zeros(1, 4, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(code_distance(code.expand(50, -1, -1, -1), possible), code)
    best = (code - gradient * code.numel() / 2).detach().requires_grad_()  # one Newton step of a quadratic
    torch.testing.assert_close(best.detach(), possible.mean(dim=0, keepdim=True))
    (gradient,) = torch.autograd.grad(code_distance(best.expand(50, -1, -1, -1), possible), best)
    assert gradient.abs().max() < 1e-6


def test_consistency_pulls_the_later_prediction_to_the_earlier_one_only() -> None:
    student, target = torch.ones(1, 4, 2, 2, requires_grad=True), torch.zeros(1, 4, 2, 2, requires_grad=True)
    loss = consistency_loss(student, target)
    loss.backward()
    assert loss == 1
    assert student.grad is not None
    assert target.grad is None


def test_scaled_latents_have_unit_deviation(generator: torch.Generator) -> None:
    latent = 3 + 0.2 * torch.randn(2, 4, 6, 6, generator=generator)
    assert (latent * unit_scaling(latent)).std().item() == pytest.approx(1, abs=1e-6)
