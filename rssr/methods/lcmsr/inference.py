"""Running LCMSR: one jump from noise to the latent, or a few, at any size and as the published code does."""

import torch
from torch import Tensor

from rssr.diffusion.consistency import ConsistencyWalk, sample_consistency
from rssr.diffusion.sampling import Draw, Predict
from rssr.diffusion.schedule import scaled_linear_tables
from rssr.errors import ModelError
from rssr.models.latent.network import LatentSR
from rssr.models.latent.published import PublishedImages, published_images
from rssr.models.latent.resolver import LatentResolver, Path
from rssr.models.resolver import Draws


class LCMSRResolver(LatentResolver):
    """A `SuperResolver` that jumps to the latent.

    Args:
        network: LCMSR's; in eval mode.
        num_steps: Jumps, one as published; between them noise is added again.
        path: `sampled`, or `condition`: the condition code is decoded, without noise.
        draws: Seed and number of samples whose mean is returned.

    Raises:
        ModelError: The schedule has too few timesteps.
    """

    def __init__(
        self, network: LatentSR, num_steps: int = 1, path: Path = "sampled", draws: Draws | None = None
    ) -> None:
        super().__init__(network, path, draws)
        values = network.values
        if not 1 <= num_steps < values.num_timesteps:
            raise ModelError(
                f"{num_steps} steps were asked for, but this network's schedule has {values.num_timesteps} timesteps.",
                f"Give 1 to {values.num_timesteps - 1}.",
            )
        self._walk = ConsistencyWalk(values.prediction, num_steps, values.final_renoise)
        self._tables = scaled_linear_tables(values.beta_start, values.beta_end, values.num_timesteps)

    def sample(self, predict: Predict, draw: Draw) -> Tensor:
        """See `LatentResolver`."""
        return sample_consistency(predict, draw(0), draw, self._tables, self._walk)


@torch.no_grad()
def official_inference(
    lr: Tensor, network: LatentSR, output_size: tuple[int, int], draw: Draw, num_steps: int = 1
) -> PublishedImages:
    """Super-resolve as the published test does: nothing is padded, so the latent covers whole strides only.

    Args:
        lr: LR images [B, bands, h, w] in [0, 1].
        network: With the denoiser's averaged weights, as published.
        output_size: (H, W).
        draw: Noise [B, C, H / 8, W / 8] (sizes rounded down) of the start (0), and after each jump (1, 2, ...); after
            the last it is asked for where the architecture has `final_renoise`, as the published networks do.
        num_steps: Jumps.

    Returns:
        Images in [0, 1].
    """
    return published_images(lr, network, output_size, draw, LCMSRResolver(network, num_steps).sample)
