import pytest
import torch

from rssr.diffusion.sampling import (
    ancestral_states,
    ancestral_step,
    clean_latent,
    noisy_latent_at,
    sample_ancestral,
    sample_ddim,
    spaced_timesteps,
)
from rssr.diffusion.schedule import scaled_linear_tables

TABLES = scaled_linear_tables(0.1, 0.99, 4)


def test_noise_and_sample_predictions_mean_the_same_latent(generator: torch.Generator) -> None:
    clean, noise = torch.randn(2, 3, 4, 5, 6, generator=generator)
    timestep = torch.tensor([0, 2, 3])
    noisy = noisy_latent_at(clean, noise, timestep, TABLES)
    torch.testing.assert_close(clean_latent(noise, noisy, timestep, TABLES, "noise"), clean, atol=1e-4, rtol=1e-4)
    assert clean_latent(clean, noisy, timestep, TABLES, "sample") is clean


def test_step_back_with_the_true_latent_has_the_marginal_of_the_step_before(generator: torch.Generator) -> None:
    clean = torch.full((1, 1, 400, 500), 0.7)
    noises = torch.randn(2, 1, 1, 400, 500, generator=generator)
    for timestep in (3, 2, 1):
        noisy = noisy_latent_at(clean, noises[0], timestep, TABLES)
        before = ancestral_step(noisy, clean, timestep, noises[1], TABLES)
        share = TABLES.alphas_cumprod[timestep - 1]
        assert before.mean().item() == pytest.approx(0.7 * share.sqrt().item(), abs=0.01)
        assert before.var().item() == pytest.approx(1 - share.item(), abs=0.01)


def test_walk_with_the_true_latent_ends_there_and_needs_no_noise_for_the_last_step(generator: torch.Generator) -> None:
    clean, start = torch.randn(2, 1, 4, 3, 3, generator=generator)
    asked = []

    def draw(number: int) -> torch.Tensor:
        asked.append(number)
        return torch.randn(1, 4, 3, 3, generator=generator)

    end = sample_ancestral(lambda latent, timestep: clean, start, draw, TABLES, "sample")
    torch.testing.assert_close(end, clean)
    assert asked == [1, 2, 3]


def test_gradients_flow_through_every_step(generator: torch.Generator) -> None:
    weights = torch.ones(4, requires_grad=True)
    start = torch.randn(1, 1, 2, 2, generator=generator)
    states = ancestral_states(
        lambda latent, timestep: weights[timestep] * latent,
        start,
        lambda number: torch.zeros_like(start),
        TABLES,
        "noise",
    )
    timesteps, latents = zip(*states, strict=True)
    latents[-1].sum().backward()
    assert timesteps == (3, 2, 1, 0)
    assert weights.grad is not None
    assert (weights.grad != 0).all()


def test_spaced_timesteps_end_with_the_last() -> None:
    assert spaced_timesteps(1000, 4) == [249, 499, 749, 999]
    assert spaced_timesteps(4, 4) == [0, 1, 2, 3]
    assert spaced_timesteps(7, 1) == [6]
    with pytest.raises(ValueError, match="5 steps"):
        spaced_timesteps(4, 5)


@pytest.mark.parametrize("prediction", ["noise", "sample"])
@pytest.mark.parametrize("num_steps", [1, 3, 50])
def test_ddim_with_a_perfect_network_finds_the_clean_latent(
    prediction: str, num_steps: int, generator: torch.Generator
) -> None:
    tables = scaled_linear_tables(0.0015, 0.0155, 1000)
    clean, noise = torch.randn(2, 1, 4, 3, 3, generator=generator)
    visited = []

    def predict(latent: torch.Tensor, timestep: int) -> torch.Tensor:
        visited.append(timestep)
        torch.testing.assert_close(latent, noisy_latent_at(clean, noise, timestep, tables), atol=1e-3, rtol=1e-3)
        return noise if prediction == "noise" else clean

    start = noisy_latent_at(clean, noise, 999, tables)
    torch.testing.assert_close(sample_ddim(predict, start, tables, num_steps, prediction), clean, atol=1e-3, rtol=1e-3)
    assert len(visited) == num_steps
    assert visited[0] == 999
