"""Running LDCSR: four ancestral steps from noise, at any size and as the published code does."""

import torch
from torch import Tensor

from rssr.diffusion.sampling import Draw, Predict, sample_ancestral, spaced_timesteps
from rssr.diffusion.schedule import respaced_tables, scaled_linear_tables
from rssr.errors import ModelError
from rssr.models.latent.network import LatentSR
from rssr.models.latent.published import PublishedImages, published_images
from rssr.models.latent.resolver import LatentResolver, Path
from rssr.models.resolver import Draws


class LDCSRResolver(LatentResolver):
    """A `SuperResolver` that walks through all timesteps of the network's schedule, or fewer.

    Args:
        network: LDCSR's; in eval mode.
        num_steps: Ancestral steps; None takes every timestep of the schedule (published: 4; the paper's variants of
            2, 8 and 16 steps are networks of so many timesteps).
        path: `sampled`, or `condition`: the condition code is decoded, without noise.
        draws: Seed and number of samples whose mean is returned.

    Raises:
        ModelError: The schedule has fewer timesteps.
    """

    def __init__(
        self, network: LatentSR, num_steps: int | None = None, path: Path = "sampled", draws: Draws | None = None
    ) -> None:
        super().__init__(network, path, draws)
        values = network.values
        num_steps = values.num_timesteps if num_steps is None else num_steps
        if not 1 <= num_steps <= values.num_timesteps:
            raise ModelError(
                f"{num_steps} steps were asked for, but this network's schedule has {values.num_timesteps} timesteps.",
                f"Give 1 to {values.num_timesteps}, or train a network with more (num_timesteps).",
            )
        self._timesteps = spaced_timesteps(values.num_timesteps, num_steps)
        tables = scaled_linear_tables(values.beta_start, values.beta_end, values.num_timesteps)
        every = num_steps == values.num_timesteps
        self._tables = tables if every else respaced_tables(tables, self._timesteps)

    def sample(self, predict: Predict, draw: Draw) -> Tensor:
        """See `LatentResolver`."""

        def predict_visited(noisy_latent: Tensor, number: int) -> Tensor:
            return predict(noisy_latent, self._timesteps[number])

        return sample_ancestral(predict_visited, draw(0), draw, self._tables, self.network.values.prediction)


@torch.no_grad()
def official_inference(lr: Tensor, network: LatentSR, output_size: tuple[int, int], draw: Draw) -> PublishedImages:
    """Super-resolve as the published test does: nothing is padded, so the latent covers whole strides only.

    Args:
        lr: LR images [B, bands, h, w] in [0, 1].
        network: With the denoiser's averaged weights, as published.
        output_size: (H, W).
        draw: Noise [B, C, H / 8, W / 8] (sizes rounded down) of the start (0), and of steps 1 to 3.

    Returns:
        Images in [0, 1].
    """
    return published_images(lr, network, output_size, draw, LDCSRResolver(network).sample)
