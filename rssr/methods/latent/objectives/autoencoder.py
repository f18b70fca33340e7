"""Phase `autoencoder`: HR images to latents and back, given the LR image (stage 1 of LDCSR and of LCMSR).

The image loss is a sum over elements, so the KL and adversarial terms weigh less for larger crops; the adversarial
one is balanced by gradient norms at the decoder's last convolution. Both are as in the authors' code.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rssr.losses.latent import image_nll, kl_divergence
from rssr.losses.lpips import LPIPS
from rssr.losses.patch_discriminator import PatchDiscriminator, adaptive_weight, adversarial_loss, hinge_loss
from rssr.methods.latent.config import AutoencoderConfig
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.validation import psnr
from rssr.models.latent.architecture import LatentArchitecture
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.resampling import upsample_bicubic
from rssr.weights.auxiliary import create_lpips, load_lpips
from rssr.weights.layout import fill_network

WEIGHTS = "autoencoder.safetensors"


class AutoencoderObjective(Objective):
    """Image loss, KL divergence, and from a step on the balanced adversarial loss."""

    def __init__(
        self,
        autoencoder: ResidualAutoencoder,
        lpips: LPIPS | None,
        discriminator: PatchDiscriminator | None,
        config: AutoencoderConfig,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.config = config
        # In lists: LPIPS is frozen, and the discriminator belongs to its own objective.
        self._lpips = [] if lpips is None else [lpips]
        self._discriminator = [] if discriminator is None else [discriminator]

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        mean, log_variance = self.autoencoder.encode(batch.lr, batch.hr)
        latent = self.autoencoder.sample(mean, log_variance, torch.randn_like(mean))
        sr = self.autoencoder.decode(latent, batch.lr, _size_of(batch))
        return self.loss_of(sr, batch.hr, kl_divergence(mean, log_variance), step)

    def loss_of(self, sr: Tensor, hr: Tensor, divergence: Tensor, step: int) -> Loss:
        """The loss of a reconstruction.

        Args:
            sr: [B, C, H, W], about [-1, 1], with the graph of the autoencoder.
            hr: Same shape.
            divergence: KL divergence of the latents.
            step: Optimizer step; decides whether the adversarial loss counts.
        """
        config = self.config
        terms = {"l1": (sr - hr).abs().mean().detach(), "kl": divergence.detach()}
        perceptual = None
        if self._lpips:
            perceptual = config.lpips_weight * self._lpips[0](sr, hr)
            terms["lpips"] = perceptual.mean().detach()
        image_loss = image_nll(sr, hr, perceptual, config.pixel_log_variance)
        total = image_loss + config.kl_weight * divergence
        if self._discriminator and step >= config.gan_start_step:
            adversarial = adversarial_loss(self._discriminator[0], sr)
            balance = adaptive_weight(image_loss, adversarial, self.autoencoder.decoder.last_conv.weight)
            total = total + config.gan_weight * balance * adversarial
            terms |= {"gan": adversarial.detach(), "gan_balance": balance}
        return Loss(total, terms, {"sr": sr.detach()})


class PatchDiscriminatorObjective(Objective):
    """Hinge loss of the discriminator, from the step on at which the autoencoder hears of it.

    The authors' optimizer runs before that step too, with gradients of zero, which moves nothing.
    """

    def __init__(self, discriminator: PatchDiscriminator, start_step: int) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.start_step = start_step

    def active_steps(self, num_steps: int) -> range:
        """From the start step to the end."""
        return range(min(self.start_step, num_steps), num_steps)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        loss = hinge_loss(self.discriminator, batch.hr, carry["sr"])
        return Loss(loss, {"discriminator": loss.detach()})


class AutoencoderPhase(Phase):
    """Train the residual autoencoder."""

    name = "autoencoder"

    def __init__(
        self, config: AutoencoderConfig, architecture: LatentArchitecture, auxiliary: str | None, inputs: PhaseInputs
    ) -> None:
        self.config: AutoencoderConfig = config
        self.autoencoder = ResidualAutoencoder(architecture).to(inputs.device)
        if config.initial_log_variance is not None:
            _set_log_variance(self.autoencoder, config.initial_log_variance)
        if config.starts_at_difference:
            _oppose_lr(self.autoencoder)
        self._lpips: LPIPS | None = None
        if config.lpips_weight > 0:
            self._lpips = (load_lpips(auxiliary) if inputs.reads_weights else create_lpips()).to(inputs.device)
        discriminator: PatchDiscriminator | None = None
        if config.gan_weight > 0:
            discriminator = PatchDiscriminator(
                architecture.bands, config.discriminator_channels, config.discriminator_layers
            ).to(inputs.device)
        self._objectives: dict[str, Objective] = {
            "autoencoder": AutoencoderObjective(self.autoencoder, self._lpips, discriminator, config)
        }
        if discriminator is not None:
            self._objectives["discriminator"] = PatchDiscriminatorObjective(discriminator, config.gan_start_step)

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return self._objectives

    def networks(self) -> Mapping[str, nn.Module]:
        """See `Phase.networks`."""
        return {**self._objectives, **({} if self._lpips is None else {"lpips": self._lpips})}

    def validate(self, batch: Batch) -> dict[str, float]:
        """Held-out PSNR of the reconstruction, which has seen HR, beside bicubic, which has not."""
        mean, log_variance = self.autoencoder.encode(batch.lr, batch.hr)
        return {
            "psnr_db": psnr(self.autoencoder.decode(mean, batch.lr, _size_of(batch)), batch.hr),
            "bicubic_psnr_db": psnr(upsample_bicubic(batch.lr, _size_of(batch)), batch.hr),
            "kl": float(kl_divergence(mean, log_variance)),
        }

    def preview(self, batch: Batch) -> Tensor:
        """The reconstruction from the latent mean."""
        mean, _ = self.autoencoder.encode(batch.lr, batch.hr)
        image: Tensor = self.autoencoder.decode(mean, batch.lr, _size_of(batch))
        return image

    def export(self, folder: Path) -> None:
        """The autoencoder's weights."""
        state = self.autoencoder.state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, folder / WEIGHTS)


def load_autoencoder(architecture: LatentArchitecture, inputs: PhaseInputs) -> ResidualAutoencoder:
    """The autoencoder that the phase exported, frozen; without its weights where none are read."""
    autoencoder = ResidualAutoencoder(architecture)
    if inputs.reads_weights:
        path = inputs.folder("autoencoder") / WEIGHTS
        fill_network(autoencoder, load_file(path), str(path))
    return autoencoder.to(inputs.device).requires_grad_(False).eval()


@torch.no_grad()
def _set_log_variance(autoencoder: ResidualAutoencoder, value: float) -> None:
    """Make it `value` for every latent of every image, from where it is learnt on."""
    variances = slice(autoencoder.values.latent_channels, None)
    autoencoder.quant_conv.weight[variances] = 0
    autoencoder.quant_conv.get_parameter("bias")[variances] = value


@torch.no_grad()
def _oppose_lr(autoencoder: ResidualAutoencoder) -> None:
    """Let the encoder's first convolution see HR minus enlarged LR, which come to it the other way round."""
    enlarged, hr = autoencoder.encoder.conv_in.weight.chunk(2, dim=1)
    enlarged.copy_(-hr)


def _size_of(batch: Batch) -> tuple[int, int]:
    return batch.hr.shape[-2], batch.hr.shape[-1]
