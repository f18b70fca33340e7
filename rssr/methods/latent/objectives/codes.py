"""What the second phases of LDCSR and LCMSR share: U-Net and condition encoder on latents of the frozen autoencoder.

A method adds how the U-Net is trained and how it samples; the knowledge distillation into the condition encoder, the
scaling of the latents, the moving average of the U-Net and the exported model are the same.
"""

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rssr.losses.latent import code_distance, unit_scaling
from rssr.methods.latent.config import LatentPhaseConfig
from rssr.methods.latent.paths import draw_latent, output_size_of, validate_paths, with_denoiser
from rssr.methods.phase import Average, Batch, Loss, Objective, Phase
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.latent.unet import LatentUNet
from rssr.weights.folder import save_model_folder

RAW_WEIGHTS = "raw_denoiser.safetensors"
"""Beside the exported model, whose U-Net is the moving average: the U-Net as it was trained last."""


class CodeObjective(Objective):
    """The U-Net's own loss plus knowledge distillation into the condition encoder; both are trained, nothing else."""

    def __init__(self, network: LatentSR, autoencoder: ResidualAutoencoder, condition_weight: float) -> None:
        super().__init__()
        self.network = network
        self.condition_weight = condition_weight
        # In a list: frozen, and not part of what a checkpoint holds.
        self._autoencoder = [autoencoder.requires_grad_(False).eval()]
        self._is_scaled = False
        for frozen in (network.decoder, network.post_quant_conv):
            frozen.requires_grad_(False)

    def train(self, mode: bool = True) -> "CodeObjective":
        """U-Net and condition encoder follow the mode; the first stage stays in evaluation mode."""
        super().train(mode)
        self.network.decoder.eval()
        self.network.post_quant_conv.eval()
        return self

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        if step == 0 and not self._is_scaled:
            self.set_scaling(batch)
        latent = draw_latent(self._autoencoder[0], batch) * self.network.latent_scaling
        condition = self.network.encode_condition(batch.lr, output_size_of(batch))
        loss, terms = self.denoiser_loss(latent, condition, batch)
        distance = code_distance(condition, latent)
        return Loss(loss + self.condition_weight * distance, {**terms, "condition_mse": distance.detach()})

    @abstractmethod
    def denoiser_loss(self, latent: Tensor, condition: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The U-Net's loss, and what to log of it.

        Args:
            latent: Of the HR images, at unit deviation, [B, C, h, w]; without gradient.
            condition: Code of the LR images, same shape, with its graph.
            batch: The images, for scale and height.
        """

    @torch.no_grad()
    def set_scaling(self, batch: Batch) -> None:
        """Fix the factor to unit deviation by one batch; all processes take that of the first.

        The authors' code gives the encoder HR in place of LR at this moment, which is a slip: later latents are made
        of both.
        """
        self.network.latent_scaling.copy_(unit_scaling(draw_latent(self._autoencoder[0], batch)))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(self.network.latent_scaling, src=0)
        self._is_scaled = True


class CodePhase(Phase):
    """Train U-Net and condition encoder; results are those of the U-Net's moving average.

    Args:
        config: Optimisation settings.
        model_name: Name under which the exported model is known.
        network: To be trained; gets the autoencoder's decoder.
        autoencoder: The finished first stage.
        device: Where to train.
    """

    def __init__(
        self,
        config: LatentPhaseConfig,
        model_name: str,
        network: LatentSR,
        autoencoder: ResidualAutoencoder,
        device: torch.device,
    ) -> None:
        self.config: LatentPhaseConfig = config
        self.model_name = model_name
        self.network = network
        self.autoencoder = autoencoder
        network.adopt_decoder(autoencoder)
        network.to(device)
        self.averaged: LatentUNet = copy.deepcopy(network.denoiser).requires_grad_(False).eval()
        self._objective = self.build_objective()

    @abstractmethod
    def build_objective(self) -> CodeObjective:
        """The method's own loss, of `self.network`."""

    @abstractmethod
    def sample_code(self, network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
        """The method's own sampler; see `rssr.methods.latent.paths.SampleCode`."""

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return {self.name: self._objective}

    def averages(self) -> Sequence[Average]:
        """The U-Net's; the condition encoder has none."""
        return [Average(self.network.denoiser, self.averaged, self.config.average_decay)]

    def networks(self) -> Mapping[str, nn.Module]:
        """See `Phase.networks`."""
        return {**self.objectives(), "autoencoder": self.autoencoder}

    def validate(self, batch: Batch) -> dict[str, float]:
        """See `validate_paths`."""
        with with_denoiser(self.network, self.averaged) as network:
            return validate_paths(network, self.autoencoder, self.sample_code, batch)

    def preview(self, batch: Batch) -> Tensor:
        """The SR image of the sampled path."""
        size = output_size_of(batch)
        with with_denoiser(self.network, self.averaged) as network:
            code = self.sample_code(network, network.encode_condition(batch.lr, size), batch)
            return network.decode(code, batch.lr, size)

    def export(self, folder: Path) -> None:
        """A model folder with the averaged U-Net, the raw one beside it; the job that ran the phase adds the card."""
        with with_denoiser(self.network, self.averaged) as network:
            save_model_folder(folder, self.model_name, network.architecture, network, None)
        raw = {name: value.detach().cpu().contiguous() for name, value in self.network.denoiser.state_dict().items()}
        save_file(raw, folder / RAW_WEIGHTS)
