"""Noise schedules: betas and their cumulative products.

`alphas_cumprod` (the papers' alpha-bar) is a descending table over timesteps 0 .. num_train_timesteps - 1, as in
diffusers: entry t is the share of signal power left after t + 1 noising steps.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

_SMALLEST_VARIANCE = 1e-20  # the first step's is 0, whose logarithm is infinite


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


@dataclass(frozen=True, eq=False)  # tensors have no single truth value
class DiffusionTables:
    """What reverse steps read, by timestep: computed in float64, kept as float32 on the CPU (DDPM, Eqs. 4 to 7).

    Attributes:
        betas: Noise variance of each step.
        alphas_cumprod: Signal share after it.
        alphas_cumprod_prev: Signal share before it; 1 for the first.
        sqrt_alphas_cumprod: Its root.
        sqrt_one_minus_alphas_cumprod: Root of the noise share.
        log_one_minus_alphas_cumprod: Logarithm of the noise share.
        sqrt_recip_alphas_cumprod: What a noisy latent is multiplied with to give the clean one.
        sqrt_recipm1_alphas_cumprod: What the noise is multiplied with before it is taken off.
        posterior_variance: Of the step before, given clean and noisy latent.
        posterior_log_variance_clipped: Its logarithm, at least ln 1e-20.
        posterior_mean_coef1: Share of the clean latent in the mean of the step before.
        posterior_mean_coef2: Share of the noisy latent.
    """

    betas: Tensor
    alphas_cumprod: Tensor
    alphas_cumprod_prev: Tensor
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor
    log_one_minus_alphas_cumprod: Tensor
    sqrt_recip_alphas_cumprod: Tensor
    sqrt_recipm1_alphas_cumprod: Tensor
    posterior_variance: Tensor
    posterior_log_variance_clipped: Tensor
    posterior_mean_coef1: Tensor
    posterior_mean_coef2: Tensor

    @property
    def num_timesteps(self) -> int:
        """Entries of every table."""
        return len(self.betas)


def diffusion_tables(betas: Tensor) -> DiffusionTables:
    """All tables of a schedule.

    Args:
        betas: Noise variances [T], float64, within (0, 1).
    """
    alphas = 1 - betas
    shares = torch.cumprod(alphas, dim=0)
    before = torch.cat([shares.new_ones(1), shares[:-1]])
    variance = betas * (1 - before) / (1 - shares)
    tables = {
        "betas": betas,
        "alphas_cumprod": shares,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": shares.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - shares).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - shares).log(),
        "sqrt_recip_alphas_cumprod": (1 / shares).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / shares - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp_min(_SMALLEST_VARIANCE).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - shares),
        "posterior_mean_coef2": (1 - before) * alphas.sqrt() / (1 - shares),
    }
    return DiffusionTables(**{name: table.float() for name, table in tables.items()})


def scaled_linear_tables(beta_start: float, beta_end: float, num_timesteps: int) -> DiffusionTables:
    """Tables of betas spaced linearly in their square root (LDCSR: 0.1 to 0.99 in 4; LCMSR: 0.0015 to 0.0155)."""
    cpu = torch.device("cpu")  # named, because networks are counted under a default device that holds no values
    return diffusion_tables(
        torch.linspace(beta_start**0.5, beta_end**0.5, num_timesteps, dtype=torch.float64, device=cpu) ** 2
    )


def respaced_tables(tables: DiffusionTables, timesteps: list[int]) -> DiffusionTables:
    """Tables of the schedule that visits some timesteps only, with the same signal share at each.

    Args:
        tables: Of all timesteps.
        timesteps: Ascending.
    """
    shares = tables.alphas_cumprod.double()[timesteps]
    before = torch.cat([shares.new_ones(1), shares[:-1]])
    return diffusion_tables(1 - shares / before)


def entry_at(table: Tensor, timestep: Tensor | int, like: Tensor) -> Tensor:
    """A table's entries, one for all images or one an image, broadcastable to `like` [B, C, h, w].

    Args:
        table: [T].
        timestep: A number, or int64 [B].
        like: Gives the type, and the device of what is one an image. One for all stays where the table is: as a
            scalar it takes part on every device, and nothing is copied to an accelerator at every step.
    """
    if isinstance(timestep, int):
        return table[timestep].to(like.dtype)
    return table.to(like)[timestep.to(like.device)].view(-1, *[1] * (like.ndim - 1))


def one_an_image(value: Tensor | float, like: Tensor) -> Tensor:
    """A number for each image of a batch, where the batch is.

    Args:
        value: One for all, or a tensor [] or [B].
        like: The batch [B, ...].

    Returns:
        [B]; of int64 for a whole number, of float32 for a fraction, of a tensor's own type.
    """
    if isinstance(value, Tensor):
        return value.to(like.device).expand(like.shape[0])
    return torch.full((like.shape[0],), value, device=like.device)  # filled there: no copy to wait for
