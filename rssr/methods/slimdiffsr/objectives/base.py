"""Phase `base`: small stand-ins for Stable Diffusion and TAESD, trained from scratch.

Where no pretrained directory is given, the later phases still need latents that mean something. An AutoencoderKL is
trained first; then TAESD learns its latents and a UNet to predict noise in them. They are written with
`save_pretrained` and loaded through the same door as a user's own directory.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.diffusion.schedule import add_noise, scaled_linear_schedule
from rssr.errors import DataError
from rssr.losses.reconstruction import l1_loss
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.slimdiffsr.config import BaseConfig
from rssr.methods.validation import psnr
from rssr.weights.base import BaseOutline, Component
from rssr.weights.stand_ins import (
    PROMPT_TOKENS,
    build_autoencoder,
    build_text_encoder,
    build_tiny_autoencoder,
    build_unet,
    save_stand_ins,
)

_STD_MOMENTUM = 0.99
_DEVIATION = "latent_deviation"


class AutoencoderObjective(Objective):
    """AutoencoderKL: pixel losses plus a slight pull of the latent towards a unit normal."""

    def __init__(self, autoencoder: Component, config: BaseConfig) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.config = config

    def active_steps(self, num_steps: int) -> range:
        """The first part of the phase."""
        return range(min(self.config.autoencoder_steps, num_steps))

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        posterior = self.autoencoder.encode(batch.hr).latent_dist
        image = self.autoencoder.decode(posterior.sample()).sample
        pixel = l1_loss(image, batch.hr) + F.mse_loss(image, batch.hr)
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        total = pixel + self.config.kl_weight * divergence
        return Loss(total, {"autoencoder": pixel.detach(), "kl": divergence.detach()})


class TinyAutoencoderObjective(Objective):
    """TAESD: images from the start; then also the scaled latents of the finished autoencoder, both ways."""

    def __init__(self, tiny: Component, latents: "Latents", config: BaseConfig) -> None:
        super().__init__()
        self.tiny = tiny
        self.config = config
        self._latents = [latents]  # in a list: owned by the denoiser's objective

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        own = self.tiny.encoder(batch.hr)
        image = self.tiny.decoder(own)
        pixel = l1_loss(image, batch.hr) + F.mse_loss(image, batch.hr)
        terms = {"tiny_pixel": pixel.detach()}
        if step < self.config.autoencoder_steps - 1:
            return Loss(pixel, terms)
        latent, terms[_DEVIATION] = self._latents[0].encode(batch.hr)
        if step < self.config.autoencoder_steps:
            return Loss(pixel, terms)  # the latents' deviation is known where they are first needed
        match = F.mse_loss(own, latent)
        crossed = l1_loss(self.tiny.decoder(latent), batch.hr)
        terms["tiny_latent"] = match.detach()
        return Loss(pixel + crossed + self.config.tiny_latent_weight * match, terms, {"latent": latent})

    def finish_step(self, terms: Mapping[str, float]) -> None:
        """See `Objective.finish_step`."""
        if _DEVIATION in terms:
            self._latents[0].take(terms[_DEVIATION])


class DenoiserObjective(Objective):
    """UNet: predict the noise in noisy latents, with the empty prompt."""

    def __init__(self, unet: Component, latents: "Latents", prompt_embedding: Tensor, config: BaseConfig) -> None:
        super().__init__()
        self.unet = unet
        self.latents = latents
        self.config = config
        self.schedule = scaled_linear_schedule()
        self.register_buffer("prompt_embedding", prompt_embedding, persistent=False)

    def active_steps(self, num_steps: int) -> range:
        """The second part of the phase."""
        return range(min(self.config.autoencoder_steps, num_steps), num_steps)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """See `Objective.forward`."""
        latent = carry["latent"]
        timestep = torch.randint(self.schedule.num_train_timesteps, (len(latent),), device=latent.device)
        share = self.schedule.alphas_cumprod.to(latent)[timestep].reshape(-1, 1, 1, 1)
        noise = torch.randn_like(latent)
        prompt = self.get_buffer("prompt_embedding").expand(len(latent), -1, -1)
        noise_pred = self.unet(add_noise(latent, noise, share), timestep, prompt).sample
        loss = F.mse_loss(noise_pred, noise)
        return Loss(loss, {"denoiser": loss.detach()})


class Latents(nn.Module):
    """Latents of the autoencoder brought to unit deviation by a running estimate of it."""

    deviation: Tensor

    def __init__(self, autoencoder: Component) -> None:
        super().__init__()
        self._autoencoder = [autoencoder]  # in a list: owned by its own objective
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled latent mean of [B, C, H, W] in [-1, 1], and the deviation of the unscaled one."""
        latent: Tensor = self._autoencoder[0].encode(image).latent_dist.mode()
        return latent / self.deviation, latent.float().std()  # autocast yields half precision

    @torch.no_grad()
    def take(self, deviation: float) -> None:
        """Update the estimate by that of a step's latents."""
        count: Tensor = self.get_buffer("count")
        momentum = torch.minimum(count / (count + 1), count.new_tensor(_STD_MOMENTUM))
        self.deviation.lerp_(self.deviation.new_tensor(deviation), 1 - momentum)
        count.add_(1)


class BasePhase(Phase):
    """Train the stand-ins; see the module's docstring."""

    name = "base"

    def __init__(self, config: BaseConfig, in_bands: int, inputs: PhaseInputs) -> None:
        self.config: BaseConfig = config
        stand_ins = stand_in_outline(config, in_bands)
        self.autoencoder = stand_ins.autoencoder().to(inputs.device)
        self.tiny = stand_ins.tiny_autoencoder().to(inputs.device)
        self.unet = stand_ins.unet().to(inputs.device)
        self.text = build_text_encoder(config.prompt_width)
        latents = Latents(self.autoencoder).to(inputs.device)
        prompt_embedding = self.text.embed_empty_prompt().to(inputs.device)
        self._objectives: dict[str, Objective] = {
            "autoencoder": AutoencoderObjective(self.autoencoder, config),
            "tiny_autoencoder": TinyAutoencoderObjective(self.tiny, latents, config),
            "denoiser": DenoiserObjective(self.unet, latents, prompt_embedding, config),
        }
        self._latents = latents

    def objectives(self) -> Mapping[str, Objective]:
        """See `Phase.objectives`."""
        return self._objectives

    def validate(self, batch: Batch) -> dict[str, float]:
        """Held-out reconstruction of both autoencoders."""
        return {
            "autoencoder_psnr_db": psnr(self.preview(batch), batch.hr),
            "tiny_autoencoder_psnr_db": psnr(self.tiny.decoder(self.tiny.encoder(batch.hr)), batch.hr),
        }

    def preview(self, batch: Batch) -> Tensor:
        """The autoencoder's reconstruction of HR."""
        image: Tensor = self.autoencoder.decode(self.autoencoder.encode(batch.hr).latent_dist.mode()).sample
        return image

    def export(self, folder: Path) -> None:
        """A diffusers directory with TAESD in a subfolder."""
        scaling = 1.0 / float(self._latents.deviation)
        save_stand_ins(folder, self.autoencoder, self.tiny, self.unet, self.text, scaling)


def stand_in_outline(config: BaseConfig, in_bands: int = 3) -> BaseOutline:
    """The stand-ins' sizes, for images of so many bands."""
    return BaseOutline(
        unet=lambda: build_unet(config.unet_channels, config.norm_num_groups, config.prompt_width),
        autoencoder=lambda: build_autoencoder(config.autoencoder_channels, config.autoencoder_norm_groups, in_bands),
        tiny_autoencoder=lambda: build_tiny_autoencoder(config.tiny_channels, config.tiny_blocks, in_bands),
        prompt_shape=(PROMPT_TOKENS, config.prompt_width),
    )


def check_reconstruction(config: BaseConfig, metrics: Mapping[str, float]) -> None:
    """Refuse autoencoders that lose too much.

    Raises:
        DataError: Naming the figure reached and the keys to raise.
    """
    for name in ("autoencoder_psnr_db", "tiny_autoencoder_psnr_db"):
        if metrics[name] < config.min_reconstruction_db:
            raise DataError(
                f"Phase base: held-out {name} is {metrics[name]:.2f} dB, below base.min_reconstruction_db "
                f"({config.min_reconstruction_db:g} dB).",
                "Raise base.num_steps and base.autoencoder_steps, give base_weights.stable_diffusion, or, where the "
                "images are rich in detail, lower the bound: the same command then goes on from here.",
            )
