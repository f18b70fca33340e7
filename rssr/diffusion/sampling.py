"""Walks from noise to a clean latent: ancestral steps and DDIM, with every noise passed in.

Sources: DDPM (Ho et al. 2020), Eqs. 6, 7 and 11; DDIM (Song et al. 2021), Eq. 12; the published LDCSR runs the
first over four steps with an unclipped estimate (conformance notes, section 5, "Sampling").
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from rssr.diffusion.schedule import DiffusionTables, entry_at

Prediction = Literal["noise", "sample"]
Predict = Callable[[Tensor, int], Tensor]
"""From a noisy latent and a timestep to a network's output."""
Draw = Callable[[int], Tensor]
"""From the number of a step, counted from 1, to unit normal noise like the latent; 0 is the start."""


def clean_latent(
    output: Tensor, noisy_latent: Tensor, timestep: Tensor | int, tables: DiffusionTables, prediction: str
) -> Tensor:
    """The clean latent that a network's output implies, not clipped.

    Args:
        output: Noise or clean latent [B, C, h, w].
        noisy_latent: Like `output`.
        timestep: One for all, or [B].
        tables: Of the schedule.
        prediction: What the output means: `noise` or `sample`.
    """
    if prediction == "sample":
        return output
    signal = entry_at(tables.sqrt_recip_alphas_cumprod, timestep, output)
    noise = entry_at(tables.sqrt_recipm1_alphas_cumprod, timestep, output)
    return signal * noisy_latent - noise * output


def noisy_latent_at(clean: Tensor, noise: Tensor, timestep: Tensor | int, tables: DiffusionTables) -> Tensor:
    """The latent at a timestep: root of the signal share times clean, plus root of the noise share times noise."""
    signal = entry_at(tables.sqrt_alphas_cumprod, timestep, clean)
    return signal * clean + entry_at(tables.sqrt_one_minus_alphas_cumprod, timestep, clean) * noise


def ancestral_step(
    noisy_latent: Tensor, clean: Tensor, timestep: int, noise: Tensor | None, tables: DiffusionTables
) -> Tensor:
    """One step back: a draw from the posterior given the estimated clean latent.

    Args:
        noisy_latent: [B, C, h, w] at `timestep`.
        clean: The estimate.
        timestep: Where the step begins; at 0 the result is the mean, without noise.
        noise: Unit normal; None at timestep 0.
        tables: Of the schedule.
    """
    mean = entry_at(tables.posterior_mean_coef1, timestep, clean) * clean
    mean = mean + entry_at(tables.posterior_mean_coef2, timestep, clean) * noisy_latent
    if timestep == 0 or noise is None:
        return mean
    return mean + (0.5 * entry_at(tables.posterior_log_variance_clipped, timestep, clean)).exp() * noise


def ancestral_states(
    predict: Predict, start: Tensor, draw: Draw, tables: DiffusionTables, prediction: str
) -> Iterator[tuple[int, Tensor]]:
    """Every timestep from the last to 0 with the latent after its step; gradients flow through all of them.

    Args:
        predict: The network.
        start: Latent at the last timestep.
        draw: Noise of step 1, 2, ...; not asked for the step at timestep 0.
        tables: Of the schedule.
        prediction: What the network's output means.
    """
    latent = start
    for number, timestep in enumerate(reversed(range(tables.num_timesteps)), start=1):
        clean = clean_latent(predict(latent, timestep), latent, timestep, tables, prediction)
        latent = ancestral_step(latent, clean, timestep, draw(number) if timestep > 0 else None, tables)
        yield timestep, latent


def sample_ancestral(predict: Predict, start: Tensor, draw: Draw, tables: DiffusionTables, prediction: str) -> Tensor:
    """The latent at the end of `ancestral_states`."""
    latent = start
    for _, state in ancestral_states(predict, start, draw, tables, prediction):
        latent = state
    return latent


def spaced_timesteps(num_timesteps: int, num_steps: int) -> list[int]:
    """Ascending timesteps, as evenly spaced as whole numbers can be, that end with the last.

    Args:
        num_timesteps: Of the schedule.
        num_steps: 1 to `num_timesteps`.
    """
    if not 1 <= num_steps <= num_timesteps:
        raise ValueError(f"{num_steps} steps cannot be taken from {num_timesteps}")
    return [(index + 1) * num_timesteps // num_steps - 1 for index in range(num_steps)]


def sample_ddim(predict: Predict, start: Tensor, tables: DiffusionTables, num_steps: int, prediction: str) -> Tensor:
    """Deterministic walk over evenly spaced timesteps (DDIM with eta 0) down to the clean latent.

    Args:
        predict: The network; it is told the schedule's own timesteps.
        start: Latent at the last timestep.
        tables: Of the schedule.
        num_steps: Calls of the network, at most as many as the schedule has timesteps.
        prediction: What the network's output means.
    """
    latent, visited = start, spaced_timesteps(tables.num_timesteps, num_steps)
    for timestep, following in zip(reversed(visited), [*reversed(visited[:-1]), None], strict=True):
        clean = clean_latent(predict(latent, timestep), latent, timestep, tables, prediction)
        if following is None:
            return clean
        share = entry_at(tables.alphas_cumprod, timestep, clean)
        noise = (latent - share.sqrt() * clean) / torch.sqrt(1 - share)
        latent = noisy_latent_at(clean, noise, following, tables)
    return latent
