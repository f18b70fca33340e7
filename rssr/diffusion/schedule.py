"""Noise schedules: betas and their cumulative products.

`alphas_cumprod` (the papers' alpha-bar) is a descending table over timesteps 0 .. num_train_timesteps - 1, as in
diffusers: entry t is the share of signal power left after t + 1 noising steps.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)  # tensors have no single truth value
class NoiseSchedule:
    """A fixed table of signal shares.

    Attributes:
        alphas_cumprod: [num_train_timesteps], strictly descending within (0, 1), float64, on the CPU.
        bounds: Smallest and largest signal share of the table.
    """

    alphas_cumprod: Tensor
    bounds: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        table = self.alphas_cumprod
        if table.ndim != 1 or not bool((table[1:] < table[:-1]).all()):
            raise ValueError("alphas_cumprod must be a one-dimensional, strictly descending table")
        # Read once: a network may run where no value can be read back, as when its memory is estimated.
        object.__setattr__(self, "bounds", (float(table[-1]), float(table[0])))

    @property
    def num_train_timesteps(self) -> int:
        """Entries of the table."""
        return len(self.alphas_cumprod)


def scaled_linear_schedule(
    beta_start: float = 0.00085, beta_end: float = 0.012, num_train_timesteps: int = 1000
) -> NoiseSchedule:
    """Betas spaced linearly in their square root; the defaults are Stable Diffusion's."""
    # Named, because networks are counted under a default device that holds no values.
    cpu = torch.device("cpu")
    roots = torch.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps, dtype=torch.float64, device=cpu)
    return NoiseSchedule(torch.cumprod(1 - roots**2, dim=0))


def signal_share_at(timestep: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Signal share of continuous timesteps, linear between the table's entries; constant beyond its ends.

    Args:
        timestep: Any shape, floating point.
        schedule: Table to read.
    """
    table = schedule.alphas_cumprod.to(timestep)
    last = schedule.num_train_timesteps - 1
    inside = timestep.clamp(0, last)
    lower = inside.floor().long().clamp(max=last - 1)
    return torch.lerp(table[lower], table[lower + 1], inside - lower)


def add_noise(latent: Tensor, noise: Tensor, alpha_cumprod: Tensor) -> Tensor:
    """Noisy latent: sqrt(a) z + sqrt(1 - a) noise (SlimDiffSR Eq. 6).

    Args:
        latent: [B, C, h, w].
        noise: Like `latent`, unit normal.
        alpha_cumprod: Signal share a in (0, 1), broadcastable to `latent`.
    """
    return alpha_cumprod.sqrt() * latent + (1 - alpha_cumprod).sqrt() * noise


def denoise_in_one_step(noisy_latent: Tensor, noise_pred: Tensor, alpha_cumprod: Tensor) -> Tensor:
    """Clean latent implied by a predicted noise: (z - sqrt(1 - a) noise_pred) / sqrt(a).

    Args:
        noisy_latent: [B, C, h, w]; SlimDiffSR's teacher puts the LR latent here.
        noise_pred: Like `noisy_latent`.
        alpha_cumprod: Signal share, a scalar or a map [B, 1, h, w].
    """
    return (noisy_latent - (1 - alpha_cumprod).sqrt() * noise_pred) / alpha_cumprod.sqrt()
