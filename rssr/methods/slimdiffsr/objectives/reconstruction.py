"""The reconstruction loss that teacher and student share, and its discriminator (Eq. 20)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rssr.losses.adversarial import Discriminator, discriminator_loss, generator_loss
from rssr.losses.lpips import LPIPS
from rssr.losses.reconstruction import l1_loss, psnr_loss
from rssr.methods.phase import Batch, Loss, Objective
from rssr.methods.slimdiffsr.config import ReconstructionConfig
from rssr.weights.auxiliary import create_discriminator, create_lpips, load_discriminator, load_lpips

_PIXEL_LOSSES = {"l1": l1_loss, "psnr": psnr_loss}


class ReconstructionLoss(nn.Module):
    """Pixel loss + lpips_weight * LPIPS + gan_weight * adversarial, of images in [-1, 1]."""

    def __init__(self, config: ReconstructionConfig, lpips: LPIPS | None, discriminator: Discriminator | None) -> None:
        super().__init__()
        self.config = config
        self.lpips = lpips
        # In a list, so that the discriminator's weights do not belong to the generator's objective. It does not
        # follow a change of device either, so it comes on its own.
        self._discriminator = [discriminator] if discriminator is not None else []

    @property
    def discriminator(self) -> Discriminator | None:
        """The network that judges SR images, where the adversarial weight is above 0."""
        return self._discriminator[0] if self._discriminator else None

    def forward(self, sr: Tensor, hr: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum and its terms, for [B, 3, H, W]."""
        total = _PIXEL_LOSSES[self.config.pixel_loss](sr, hr)
        terms: dict[str, Tensor] = {self.config.pixel_loss: total.detach()}
        if self.lpips is not None:
            perceptual = self.lpips(sr, hr).mean()
            total = total + self.config.lpips_weight * perceptual
            terms["lpips"] = perceptual.detach()
        if self.discriminator is not None:
            adversarial = generator_loss(self.discriminator, sr)
            total = total + self.config.gan_weight * adversarial
            terms["gan"] = adversarial.detach()
        return total, terms


def build_reconstruction(
    config: ReconstructionConfig, auxiliary: str | None, device: torch.device, reads_weights: bool = True
) -> ReconstructionLoss:
    """The loss with the networks that its weights ask for.

    Args:
        config: Weights of the terms; a weight of 0 needs no network.
        auxiliary: Directory of those networks' weights.
        device: Where they shall live.
        reads_weights: Whether they are filled from there; otherwise no file is read.

    Raises:
        WeightsError: If a file is missing or damaged.
    """
    lpips, discriminator = None, None
    if config.lpips_weight > 0:
        lpips = (load_lpips(auxiliary) if reads_weights else create_lpips()).to(device)
    if config.gan_weight > 0:
        discriminator = (load_discriminator(auxiliary) if reads_weights else create_discriminator()).to(device)
    return ReconstructionLoss(config, lpips, discriminator)


class DiscriminatorObjective(Objective):
    """Hinge loss of the discriminator on the SR images that the generator's objective left in `carry`."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        loss = discriminator_loss(self.discriminator, batch.hr, carry["sr"])
        return Loss(loss, {"discriminator": loss.detach()})


def adversarial_objectives(reconstruction: ReconstructionLoss) -> dict[str, Objective]:
    """The discriminator's objective, where there is a discriminator."""
    if reconstruction.discriminator is None:
        return {}
    return {"discriminator": DiscriminatorObjective(reconstruction.discriminator)}
