"""Phase `consistency`: a function that takes any point of a trajectory to its clean latent (LCMSR, stage 2).

Two points of one trajectory, the same latent with the same noise at timesteps some way apart, shall lead to the same
end. The earlier one is judged by the U-Net's moving average, without gradient; at timestep 0 the function is the
identity, which anchors all others.
"""

from typing import cast

import torch
from torch import Tensor

from rssr.diffusion.consistency import ConsistencyWalk, consistency_function, sample_consistency
from rssr.diffusion.sampling import noisy_latent_at
from rssr.losses.latent import code_distance, consistency_loss
from rssr.methods.latent.objectives.codes import CodeObjective, CodePhase
from rssr.methods.latent.paths import predictor, tables_of, with_denoiser
from rssr.methods.lcmsr.config import ConsistencyConfig
from rssr.methods.phase import Batch
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.latent.unet import LatentUNet


class ConsistencyObjective(CodeObjective):
    """Squared distance between the ends that two points of a trajectory lead to."""

    def __init__(
        self, network: LatentSR, averaged: LatentUNet, autoencoder: ResidualAutoencoder, config: ConsistencyConfig
    ) -> None:
        super().__init__(network, autoencoder, config.condition_weight)
        self.timestep_gap = config.timestep_gap
        self._averaged = [averaged]  # in a list: the loop keeps it, and no checkpoint of this objective does

    def denoiser_loss(self, latent: Tensor, condition: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """See `CodeObjective.denoiser_loss`."""
        later = torch.randint(self.network.values.num_timesteps, (len(latent),), device=latent.device)
        noise = torch.randn_like(latent)
        end, target = self.ends(latent, condition, batch, later, noise)
        loss = consistency_loss(end, target)
        return loss, {"consistency_mse": loss.detach(), "end_mse": code_distance(end.detach(), latent)}

    def ends(
        self, latent: Tensor, condition: Tensor, batch: Batch, later: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Where the U-Net leads from the later timesteps, and its average from the earlier ones.

        Args:
            latent: Clean and scaled, [B, C, h, w].
            condition: Code of the LR images, same shape.
            batch: The images, for scale and height.
            later: Timesteps, int64 [B]; the earlier ones lie `timestep_gap` before, at 0 at least.
            noise: Unit normal, like the latent; the same at both.

        Returns:
            Two clean latents [B, C, h, w]; the second without gradient.
        """
        earlier = (later - self.timestep_gap).clamp_min(0)
        end = self._lead(latent, condition, batch, later, noise)
        with torch.no_grad(), with_denoiser(self.network, self._averaged[0]):
            target = self._lead(latent, condition, batch, earlier, noise)
        return end, target

    def _lead(self, latent: Tensor, condition: Tensor, batch: Batch, timestep: Tensor, noise: Tensor) -> Tensor:
        values = self.network.values
        tables = tables_of(values)
        noisy = noisy_latent_at(latent, noise, timestep, tables)
        output = predictor(self.network, condition, batch)(noisy, timestep)
        return consistency_function(output, noisy, timestep, tables, values.prediction)


class ConsistencyPhase(CodePhase):
    """Train consistency function and condition encoder."""

    name = "consistency"

    def build_objective(self) -> ConsistencyObjective:
        """See `CodePhase.build_objective`."""
        config = cast(ConsistencyConfig, self.config)
        return ConsistencyObjective(self.network, self.averaged, self.autoencoder, config)

    def sample_code(self, network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
        """One step from pure noise."""
        return sample_code(network, condition, batch)


def sample_code(network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
    """A scaled latent [B, C, h, w] by one step from pure noise; see `rssr.methods.latent.paths`."""
    values = network.values
    walk = ConsistencyWalk(values.prediction, num_steps=1, final_renoise=values.final_renoise)

    def draw(number: int) -> Tensor:
        return torch.randn_like(condition, dtype=torch.float32)

    return sample_consistency(predictor(network, condition, batch), draw(0), draw, tables_of(values), walk)
