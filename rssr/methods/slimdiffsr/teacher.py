"""The one-step teacher: a Stable Diffusion UNet with a map of timesteps (SlimDiffSR, section 3.2.2).

The UNet and the autoencoder are diffusers' own modules with LoRA adapters (peft).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rssr.diffusion.inversion import bound_signal_share, invert_schedule
from rssr.diffusion.schedule import NoiseSchedule, denoise_in_one_step, scaled_linear_schedule, signal_share_at
from rssr.errors import ModelError
from rssr.methods.slimdiffsr.config import TeacherNetworkConfig
from rssr.methods.slimdiffsr.latents import decode_latent, encode_image
from rssr.methods.slimdiffsr.networks import NoiseLevelPredictor, UncertaintyEstimator
from rssr.methods.slimdiffsr.teacher_unet import predict_noise
from rssr.weights.base import PROMPT_TOKENS, Component, create_autoencoder, create_unet


@dataclass
class TeacherOutput:
    """What one teacher pass yields.

    Attributes:
        sr: [B, 3, H, W], about [-1, 1].
        signal_share: alpha-bar target, [B, 1, h, w].
        timestep: t*, [B, 1, h, w], in [0, num_train_timesteps - 1].
        features: Outputs of the UNet's levels, by the names of `predict_noise`.
    """

    sr: Tensor
    signal_share: Tensor
    timestep: Tensor
    features: dict[str, Tensor]


@dataclass
class TeacherStep:
    """One pass up to the predicted noise.

    Attributes:
        lr_latent: [B, 4, h, w].
        noise_pred: Like `lr_latent`.
        signal_share: alpha-bar target, [B, 1, h, w].
        timestep: t*, [B, 1, h, w].
        features: As in `TeacherOutput`.
    """

    lr_latent: Tensor
    noise_pred: Tensor
    signal_share: Tensor
    timestep: Tensor
    features: dict[str, Tensor]


@dataclass
class TeacherParts:
    """Networks a teacher is made of; all but the predictor come frozen and gain adapters."""

    unet: Component
    autoencoder: Component
    estimator: nn.Module
    predictor: nn.Module
    schedule: NoiseSchedule
    prompt_embedding: Tensor


class Teacher(nn.Module):
    """z_LR to SR in one denoising step at a predicted noise level.

    Trained are the adapters and, unless the timestep is fixed, the noise-level predictor.

    Args:
        parts: Networks, which become the teacher's own.
        config: Ranks, and how the timestep is found.
    """

    def __init__(self, parts: TeacherParts, config: TeacherNetworkConfig) -> None:
        super().__init__()
        self.unet = _with_adapters(parts.unet, config.unet_lora_rank)
        self.autoencoder = parts.autoencoder.requires_grad_(False)
        self.autoencoder.decoder = _with_adapters(parts.autoencoder.decoder, config.decoder_lora_rank)
        self.estimator = parts.estimator.requires_grad_(False)
        self.predictor = parts.predictor.requires_grad_(config.timestep != "fixed")
        self.schedule = parts.schedule
        self.config = config
        self.register_buffer("prompt_embedding", parts.prompt_embedding, persistent=False)

    def forward(self, lr_upsampled: Tensor, hr: Tensor | None = None) -> TeacherOutput:
        """Super-resolve.

        Args:
            lr_upsampled: LR image at the target size, [B, 3, H, W], H and W multiples of 8, in [-1, 1].
            hr: HR image during training; without it the estimator's mean stands in for the HR latent.
        """
        step = self.denoise(lr_upsampled, hr)
        latent = denoise_in_one_step(step.lr_latent, step.noise_pred, step.signal_share)
        sr = decode_latent(self.autoencoder, latent)
        return TeacherOutput(sr, step.signal_share, step.timestep, step.features)

    def denoise(self, lr_upsampled: Tensor, hr: Tensor | None = None) -> TeacherStep:
        """As `forward`, without decoding: all that distillation needs, at half the cost."""
        lr_latent = encode_image(self.autoencoder, lr_upsampled)
        mean, log_variance = self.estimate(lr_latent)
        reference = mean if hr is None else encode_image(self.autoencoder, hr)
        share, timestep = self.noise_level(reference, log_variance)
        prompt = self.get_buffer("prompt_embedding").expand(len(lr_latent), -1, -1)
        noise_pred, features = predict_noise(self.unet, lr_latent, timestep, prompt)
        return TeacherStep(lr_latent, noise_pred, share, timestep, features)

    def estimate(self, lr_latent: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the HR latent; no gradient."""
        with torch.no_grad():
            mean, log_variance = self.estimator(lr_latent)
        return mean, log_variance

    def noise_level(self, reference: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        """Signal share and timestep maps [B, 1, h, w] (Eq. 10 and 11), as the configuration asks."""
        batch, _, height, width = reference.shape
        if self.config.timestep == "fixed":
            timestep = reference.new_full((batch, 1, height, width), self.config.fixed_timestep)
            return signal_share_at(timestep, self.schedule), timestep
        variance = log_variance.exp() if self.config.use_uncertainty else torch.zeros_like(log_variance)
        logits = self.predictor(reference, variance)
        if self.config.timestep == "scalar":
            logits = logits.mean(dim=(2, 3), keepdim=True).expand(-1, -1, height, width)
        share = bound_signal_share(logits, self.schedule)
        return share, invert_schedule(share, self.schedule)


def _with_adapters(network: Component, rank: int) -> Component:
    """Freeze a network and give every linear and convolution layer a LoRA adapter (peft)."""
    from peft import LoraConfig, inject_adapter_in_model

    network.requires_grad_(False)
    targets = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    # alpha = rank: an adapter's output enters unscaled, so that the rank does not change the learning rate.
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, lora_dropout=0.0)
    return inject_adapter_in_model(config, network)


def adapter_state(teacher: Teacher) -> Mapping[str, Tensor]:
    """What the teacher phase trained: adapters and predictor, by parameter name."""
    return {name: p.detach() for name, p in teacher.named_parameters() if p.requires_grad}


def merge_adapters(teacher: Teacher) -> Teacher:
    """Add every adapter's product to the weights beside it, in place; returns the teacher.

    The same function at less cost, for a teacher that is not trained any more.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in teacher.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    return teacher


def create_teacher(
    unet: Mapping[str, object] | None = None,
    autoencoder: Mapping[str, object] | None = None,
    estimator: Mapping[str, int] | None = None,
    **settings: object,
) -> Teacher:
    """A teacher with random weights and an empty prompt embedding, e.g. to count its parameters.

    Args:
        unet: Values of diffusers' UNet2DConditionModel that differ from Stable Diffusion 2.1's.
        autoencoder: Values of diffusers' AutoencoderKL that differ from Stable Diffusion 2.1's.
        estimator: `channels` and `num_blocks` of the uncertainty estimator.
        **settings: Values of `TeacherNetworkConfig`; the paper's ranks (section 4.2) by default.

    Raises:
        ModelError: On unknown or contradicting values.
    """
    try:
        config = TeacherNetworkConfig.model_validate({"unet_lora_rank": 32, "decoder_lora_rank": 16, **settings})
        vae = create_autoencoder(**(autoencoder or {}))
        network = create_unet(**(unet or {}))
    except ValueError as error:  # pydantic's and diffusers' own
        raise ModelError(f"A teacher cannot be built from these values: {error}.") from None
    channels = int(vae.config.latent_channels)
    parts = TeacherParts(
        unet=network,
        autoencoder=vae,
        estimator=UncertaintyEstimator(channels, **(estimator or {})),
        predictor=NoiseLevelPredictor(channels, config.predictor_channels, config.predictor_blocks),
        schedule=scaled_linear_schedule(),
        prompt_embedding=torch.zeros(1, PROMPT_TOKENS, network.config.cross_attention_dim),
    )
    return Teacher(parts, config)
