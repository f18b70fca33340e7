"""Phase `denoiser`: the U-Net, trained through all of its steps at once (LDCSR, stage 2).

The latent of the HR image is drowned in the last timestep's noise; all steps back are run with gradient, and the
result is compared with the latent itself. The usual loss of single steps is not used.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rssr.diffusion.sampling import Draw, noisy_latent_at, sample_ancestral
from rssr.losses.latent import code_distance
from rssr.methods.latent.objectives.codes import CodeObjective, CodePhase
from rssr.methods.latent.paths import predictor, tables_of
from rssr.methods.phase import Batch
from rssr.models.latent.network import LatentSR


class DenoiserObjective(CodeObjective):
    """Squared distance of the rollout's end to the latent."""

    def denoiser_loss(self, latent: Tensor, condition: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """See `CodeObjective.denoiser_loss`."""
        loss = code_distance(self.roll_out(latent, condition, batch, _fresh_noise(latent)), latent)
        return loss, {"rollout_mse": loss.detach()}

    def roll_out(self, latent: Tensor, condition: Tensor, batch: Batch, draw: Draw) -> Tensor:
        """The end of all steps back from the noisy latent, [B, C, h, w], with gradient through each of them.

        Args:
            latent: Clean and scaled, [B, C, h, w].
            condition: Code of the LR images, same shape.
            batch: The images, for scale and height.
            draw: Noise of the start (0) and of each step (1, 2, ...).
        """
        values = self.network.values
        tables = tables_of(values)
        start = noisy_latent_at(latent, draw(0), values.num_timesteps - 1, tables)
        return sample_ancestral(predictor(self.network, condition, batch), start, draw, tables, values.prediction)


class DenoiserPhase(CodePhase):
    """Train U-Net and condition encoder."""

    name = "denoiser"

    def build_objective(self) -> DenoiserObjective:
        """See `CodePhase.build_objective`."""
        return DenoiserObjective(self.network, self.autoencoder, self.config.condition_weight)

    def sample_code(self, network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
        """All steps from pure noise."""
        return sample_code(network, condition, batch)


def sample_code(network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
    """A scaled latent [B, C, h, w] by all steps from pure noise; see `rssr.methods.latent.paths`."""
    draw = _fresh_noise(condition)
    predict = predictor(network, condition, batch)
    return sample_ancestral(predict, draw(0), draw, tables_of(network.values), network.values.prediction)


def _fresh_noise(like: Tensor) -> Callable[[int], Tensor]:
    """Unit normal noise, another one at each call, by PyTorch's generator."""
    return lambda number: torch.randn_like(like, dtype=torch.float32)
