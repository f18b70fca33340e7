"""Configuration that LDCSR and LCMSR share. Published values are defaults; their source is the authors' code."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from rssr.configuration import Config
from rssr.errors import ModelError
from rssr.methods.training import TrainingConfig
from rssr.models.latent.architecture import LatentArchitecture

ScaleEmbedding = Literal["integer", "continuous"]
Prediction = Literal["noise", "sample"]
Code = Literal["posterior", "condition", "sampled"]

_SMALLEST_LOGITS = 3  # side that the discriminator's last two convolutions need

# Keys of a section and their names in an architecture, which holds those of all sections.
_ARCHITECTURE_KEYS = {
    "channels": "denoiser_channels",
    "channel_multipliers": "denoiser_multipliers",
    "num_res_blocks": "denoiser_num_res_blocks",
}


class AuxiliaryWeightsConfig(Config):
    """Pretrained networks that a loss needs."""

    auxiliary: str | None = None
    """Directory with LPIPS's networks (vgg16.safetensors, lpips_vgg.safetensors); needed where
    autoencoder.lpips_weight is above 0."""


class LatentTrainingConfig(TrainingConfig):
    """How the phases of both methods are optimised, where the authors' code differs from other methods'."""

    patch_size: int = Field(default=256, ge=40)
    """Side of the square HR crop, pixels; at least 40, so that latents can be padded (published: 256)."""
    rotations: bool = True
    """Whether training crops are also mirrored top to bottom and turned by quarters (published: yes)."""
    max_gradient_norm: float = Field(default=0.0, ge=0)
    """Gradients of one optimizer are scaled down to this norm; 0 leaves them alone (published)."""


class AutoencoderNetworkConfig(Config):
    """What the residual autoencoder is made of; the condition encoder shares its shape."""

    latent_channels: int = Field(default=4, ge=1)
    """Channels of the latent (published: 4)."""
    channels: int = Field(default=64, ge=1)
    """Width of the encoders' first level (published: 64)."""
    channel_multipliers: tuple[int, ...] = Field(default=(1, 2, 2, 4), min_length=1)
    """Widths of the encoders' levels as multiples of `channels`, full size first (published: 1, 2, 2, 4)."""
    num_res_blocks: int = Field(default=2, ge=1)
    """Residual blocks of a level (published: 2)."""
    num_distillation_blocks: int = Field(default=12, ge=1)
    """Distillation blocks of each of the decoder's steps, which are as many as levels (published: 12)."""
    condition_channels: int = Field(default=0, ge=0)
    """Width of the condition encoder's first level; 0 takes `channels` (published)."""
    decoder_channels: int = Field(default=0, ge=0)
    """Width of the decoder; 0 takes `channels` (published)."""
    upsampler_channels: int = Field(default=256, ge=1)
    """Width of the 1x1 convolutions at HR size that end a decoder for any scale (published: 256)."""
    norm_num_groups: int = Field(default=32, ge=1)
    """Groups of all GroupNorms, the denoiser's too (published: 32)."""
    decoder: Literal["continuous", "fixed"] = "continuous"
    """Decoder for any scale, or for one fixed scale (LCMSR's second published form)."""
    fixed_scale: int = Field(default=4, ge=2)
    """Scale of a fixed decoder, a power of 2 (published: 4)."""


class AutoencoderConfig(LatentTrainingConfig, AutoencoderNetworkConfig):
    """Phase `autoencoder`: HR image to latent and back, given the LR image."""

    lr_patch_size: int | None = Field(default=48, ge=8)
    """Side of the square LR training crop, pixels (published: 48); HR crops measure int(lr_patch_size * scale), and
    patch_size is the side of held-out ones alone. Null trains on HR crops of patch_size."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Update rule (published: adam)."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Decay rates of Adam's two moments (published: 0.5 and 0.9)."""
    lpips_weight: float = Field(ge=0)
    """Weight of LPIPS against the mean absolute error (published: 1); 0 leaves it out, above 0 needs VGG-16 in
    base_weights.auxiliary."""
    pixel_log_variance: float = 0.0
    """Log variance that divides the image loss, and is added to it; the authors never train it (published: 0)."""
    initial_log_variance: float | None = None
    """Log variance of all latents before the first step; null leaves it as drawn, about 0 (published). What HR adds is
    faint, and a decoder learns to pass over a code that is noise as loud as that; far below, say -12, it is heard from
    the start."""
    starts_at_difference: bool = False
    """Whether the encoder's first convolution starts with opposite weights for enlarged LR and for HR, so that it sees
    what HR adds and nothing else; false leaves it as drawn (published)."""
    kl_weight: float = Field(default=1e-6, ge=0)
    """Weight of the KL divergence of the latents from a unit normal, both summed over an image (published: 1e-6)."""
    gan_weight: float = Field(ge=0)
    """Weight of the adversarial loss after balancing by gradient norms (published: 0.5); 0 leaves it out."""
    gan_start_step: int = Field(default=50_001, ge=0)
    """First step with the adversarial loss, 0 being the first of all; the discriminator begins to learn there too
    (published: 50001)."""
    discriminator_channels: int = Field(default=64, ge=1)
    """Width of the patch discriminator's first convolution (published: 64)."""
    discriminator_layers: int = Field(default=3, ge=1)
    """Convolutions of stride 2 of the patch discriminator (published: 3)."""

    @model_validator(mode="after")
    def _require_crops_that_can_be_judged(self) -> Self:
        smallest = _SMALLEST_LOGITS * 2**self.discriminator_layers
        key, side = "patch_size", self.patch_size
        if self.lr_patch_size is not None:
            key, side = "lr_patch_size", self.lr_patch_size  # HR crops are no larger at scale 1
        if self.gan_weight > 0 and side < smallest:
            raise ValueError(
                f"{key} is {side}, but the discriminator needs HR crops of at least {smallest} pixels; raise it, or "
                "set gan_weight to 0"
            )
        return self


class DenoiserNetworkConfig(Config):
    """What the U-Net on latents is made of, and what it is told."""

    channels: int = Field(default=64, ge=1)
    """Width of the U-Net's first level (published: 64)."""
    channel_multipliers: tuple[int, ...] = Field(default=(1, 2, 2, 4), min_length=1)
    """Widths of its levels as multiples of `channels`, full size first (published: 1, 2, 2, 4)."""
    num_res_blocks: int = Field(default=2, ge=1)
    """Residual blocks of a level on the way down; one more on the way up (published: 2)."""
    attention_resolutions: tuple[int, ...] = (8,)
    """Downsampling factors at which there is attention (published: 8)."""
    head_channels: int = Field(default=32, ge=1)
    """Width of an attention head (published: 32)."""
    scale_embedding: ScaleEmbedding = "continuous"
    """Whether the U-Net is told the scale as it is, or cut to a whole number as in the authors' code."""


class LatentPhaseConfig(LatentTrainingConfig, DenoiserNetworkConfig):
    """A phase that trains U-Net and condition encoder on latents of the frozen autoencoder."""

    condition_weight: float = Field(default=1.0, ge=0)
    """Weight of the knowledge distillation, the squared distance of the condition code to the latent (published: 1)."""
    average_decay: float = Field(default=0.9999, ge=0, lt=1)
    """Upper bound of the decay of the U-Net's moving average, min(this, (1 + n) / (10 + n)) after n steps
    (published: 0.9999)."""


class RefinementConfig(LatentTrainingConfig):
    """Phase `refinement`: the decoder, trained further on codes as it gets them without HR; not in the papers."""

    codes: tuple[Code, ...] = Field(default=("condition", "sampled"), min_length=1)
    """Codes that the decoder learns from, a step each in turn: of the HR image (posterior), from the LR image alone
    (condition), or sampled by the averaged U-Net (sampled)."""


class LatentDeviationConfig(LatentTrainingConfig):
    """Phase `deviation`: how far images may be off, fitted on held-out images; not in the papers.

    Two numbers are fitted: what the deviation between samples is multiplied with, and what is added to it.
    """

    fits_held_out: ClassVar[bool] = True

    optimizer: Literal["adam", "adamw"] = "adam"
    """Update rule; adamw would pull the two numbers towards 1."""


def build_architecture(
    autoencoder: AutoencoderNetworkConfig, denoiser: DenoiserNetworkConfig, **others: object
) -> LatentArchitecture:
    """The networks that the sections of a configuration describe.

    Args:
        autoencoder: Section `autoencoder`.
        denoiser: Section of the phase that trains the U-Net.
        **others: What the method adds: the noise schedule, what the U-Net predicts.

    Raises:
        ValueError: Values contradict one another.
    """
    own = AutoencoderNetworkConfig.model_fields
    values = {name: getattr(autoencoder, name) for name in own}
    values["num_distillation_blocks"] = len(autoencoder.channel_multipliers) * (autoencoder.num_distillation_blocks,)
    for name in DenoiserNetworkConfig.model_fields:
        values[_ARCHITECTURE_KEYS.get(name, name)] = getattr(denoiser, name)
    try:
        return LatentArchitecture(**values, **others)  # type: ignore[arg-type]  # checked by the configuration
    except ModelError as error:
        raise ValueError(str(error)) from None


class LatentMethodConfig(Config):
    """Sections that both methods have."""

    base_weights: AuxiliaryWeightsConfig = AuxiliaryWeightsConfig()
    """Pretrained networks of the losses."""
    autoencoder: AutoencoderConfig
    """Residual autoencoder."""
    refinement: RefinementConfig | None = None
    """Fine-tuning of the decoder on predicted codes; null, as published, leaves the phase `refinement` out."""
    deviation: LatentDeviationConfig | None = None
    """Uncertainty of the images; null leaves the phase `deviation` out, and error bars are how much samples differ."""
    in_bands: int = Field(default=3, ge=1)
    """Bands of the images: 3 for red, green, blue; as many as data.scenes.bands where scenes are trained on."""

    @model_validator(mode="after")
    def _check_losses(self) -> Self:
        if self.in_bands != 3 and self.autoencoder.lpips_weight > 0:
            raise ValueError(
                f"in_bands is {self.in_bands}, but LPIPS knows red, green and blue; set autoencoder.lpips_weight to 0"
            )
        return self
