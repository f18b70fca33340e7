"""SlimDiffSR's configuration: one class a phase. Section, table and equation numbers are the paper's."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rssr.configuration import Config
from rssr.methods.training import TrainingConfig


class BaseWeightsConfig(Config):
    """Pretrained networks to start from."""

    stable_diffusion: str | None = None
    """Diffusers directory or hub id of Stable Diffusion 2.1 (authors' code: stabilityai/sd-turbo); null trains
    small stand-ins in the phase `base`."""
    taesd: str | None = None
    """Directory or hub id of the tiny autoencoder (madebyollin/taesd); needed where stable_diffusion is given."""
    auxiliary: str | None = None
    """Directory with the networks of the perceptual and adversarial losses (vgg16.safetensors,
    lpips_vgg.safetensors, dino_vits16.safetensors); needed where a weight of those losses is above 0."""

    @model_validator(mode="after")
    def _require_both(self) -> Self:
        if self.stable_diffusion is not None and self.taesd is None:
            raise ValueError(
                "base_weights.stable_diffusion is given but base_weights.taesd is not; give it the directory or hub id "
                "of TAESD (madebyollin/taesd)"
            )
        return self


class LatentTrainingConfig(TrainingConfig):
    """A phase that trains on latents at 1/8 of the image's size."""

    patch_size: int = Field(ge=16, multiple_of=8)
    """Side of the square HR training crop, pixels; a multiple of 8 (section 4.2: 512)."""


class BaseConfig(LatentTrainingConfig):
    """Phase `base`: small stand-ins for the pretrained networks."""

    autoencoder_steps: int = Field(ge=1)
    """First steps, which train the AutoencoderKL, and TAESD on images alone; the rest train TAESD and the UNet on
    its latents."""
    autoencoder_channels: tuple[int, int, int, int] = (8, 16, 32, 64)
    """Widths of the AutoencoderKL's four levels."""
    autoencoder_norm_groups: int = 2
    """Groups of the AutoencoderKL's GroupNorms (Stable Diffusion: 32); with few channels a group, normalising
    removes the colours that the image needs."""
    tiny_channels: int = 16
    """Width of TAESD (published: 64)."""
    tiny_blocks: int = 1
    """Residual blocks in each of TAESD's strided levels (published: 3)."""
    unet_channels: tuple[int, int, int, int] = (32, 64, 96, 96)
    """Widths of the UNet's four levels (Stable Diffusion 2.1: 320, 640, 1280, 1280)."""
    norm_num_groups: int = 8
    """Groups of the UNet's GroupNorms, and of the student's (Stable Diffusion: 32)."""
    prompt_width: int = 32
    """Width of the text embedding (Stable Diffusion 2.1: 1024)."""
    tiny_latent_weight: float = 0.1
    """Weight of TAESD's squared distance to the autoencoder's latents beside its pixel losses."""
    kl_weight: float = 1e-6
    """Weight of the KL term per latent element, as in Stable Diffusion's autoencoder."""
    min_reconstruction_db: float = 24.0
    """Both autoencoders must reach this PSNR on held-out patches before `uncertainty` starts, dB."""

    def digest_values(self) -> dict[str, Any]:
        """As of any phase, but for the bound that is checked afterwards."""
        return {name: value for name, value in super().digest_values().items() if name != "min_reconstruction_db"}

    @model_validator(mode="after")
    def _leave_steps_for_the_rest(self) -> Self:
        if self.autoencoder_steps >= self.num_steps:
            raise ValueError("autoencoder_steps must be below num_steps, since TAESD and the UNet train after them")
        return self


class UncertaintyConfig(LatentTrainingConfig):
    """Phase `uncertainty`: latent mean and variance from the LR latent (section 3.2.1, Eq. 5)."""

    channels: int = 64
    """Width of the estimator; our choice, the paper gives none."""
    num_blocks: int = 16
    """Residual blocks of the estimator; our choice, the paper gives none."""


class ReconstructionConfig(Config):
    """What the reconstruction loss is made of (Eq. 20)."""

    pixel_loss: Literal["l1", "psnr"] = "l1"
    """Distance of pixels: mean absolute error (Eq. 20), or the logarithm of each image's mean squared error, ours."""
    lpips_weight: float = Field(ge=0)
    """Weight of LPIPS (section 4.2: 2.5); 0 leaves it out, above 0 needs VGG-16 in base_weights.auxiliary."""
    gan_weight: float = Field(ge=0)
    """Weight of the adversarial loss (section 4.2: 0.25); 0 leaves it out, above 0 needs DINO's weights."""


class TeacherNetworkConfig(Config):
    """What the teacher is made of."""

    unet_lora_rank: int = Field(ge=1)
    """Rank of the adapters in the UNet (section 4.2: 32)."""
    decoder_lora_rank: int = Field(ge=1)
    """Rank of the adapters in the VAE decoder (section 4.2: 16)."""
    timestep: Literal["map", "scalar", "fixed"] = "map"
    """Timestep per latent position, one per image (its mean), or one for all (Fig. 13 and 14)."""
    fixed_timestep: float = Field(default=500.0, ge=0, le=999)
    """Timestep where timestep=fixed, 0 (no noise) to 999."""
    use_uncertainty: bool = True
    """Whether the predictor sees the variance of the uncertainty estimator (Fig. 13)."""
    predictor_channels: int = 64
    """Width of the noise-level predictor; our choice."""
    predictor_blocks: int = 4
    """Residual blocks of the noise-level predictor; our choice."""


class TeacherConfig(LatentTrainingConfig, TeacherNetworkConfig):
    """Phase `teacher`: adaptive one-step diffusion (sections 3.2.2 and 3.5.1, Eq. 6 to 11, 20 to 22)."""

    reconstruction: ReconstructionConfig
    """Reconstruction loss."""
    tv_weight: float = Field(default=1e-3, ge=0)
    """Weight of the total variation of the signal share (Eq. 22); our choice, the paper gives none."""


class StudentNetworkConfig(Config):
    """What the student is made of; other choices than the published ones are the ablations of Tables 5 and 6."""

    autoencoder: Literal["fused", "taesd", "vae"] = "fused"
    """TAESD joined to the U-Net by one convolution a side (section 3.3.1), TAESD with its own latent, or Stable
    Diffusion's autoencoder (Table 5)."""
    pruning: Literal["semantic", "uniform"] = "semantic"
    """Whether the U-Net's two deepest levels give way to one residual block (section 3.3.2), or all levels are kept at
    three quarters of their width (Table 6, w/o SAP)."""
    first_conv: Literal["fsc", "standard"] = "fsc"
    """First convolution of each residual block: frequency-separable, or 3x3 as in Stable Diffusion (Table 6)."""
    second_conv: Literal["dsc", "standard"] = "dsc"
    """Second convolution of each residual block: direction-separable, or 3x3 as in Stable Diffusion (Table 6)."""
    attention: Literal["qgam", "standard"] = "qgam"
    """Attention: through a few learned queries, or Stable Diffusion's self-attention (Table 6)."""
    num_queries: int = Field(default=32, ge=1)
    """Learned queries of QGAM (authors' code)."""
    query_channels: int = Field(default=64, ge=1)
    """Inner width of QGAM (authors' code)."""
    skip: Literal["none", "colors", "image"] = "none"
    """What the student takes from the enlarged LR image: nothing (published), broad colours, which its norms lose, or
    all of it, so that it starts there and learns the difference; ours."""


class StudentConfig(TrainingConfig, StudentNetworkConfig):
    """Phase `student`: distillation into the pruned network (sections 3.3, 3.4, 3.5.2, Eq. 12 to 19, 23)."""

    patch_size: int = Field(ge=16, multiple_of=16)
    """Side of the square HR training crop, pixels; a multiple of 16, the network's stride (section 4.2: 512)."""
    reconstruction: ReconstructionConfig
    """Reconstruction loss, as the teacher's."""
    distillation_weight: float = Field(default=1.0, ge=0)
    """Weight of Eq. 19 in Eq. 23; 0 trains without the teacher (Table 7)."""
    distill_every_n_steps: int = Field(default=1, ge=1)
    """Steps from one distillation to the next, which then weighs as much as all between; ours, published: every one."""
    mmd_weight: float = Field(default=0.1, ge=0)
    """Lambda of Eq. 19; 0 leaves the point-wise distance alone (Table 7)."""
    mmd_samples: int = Field(default=1024, ge=2)
    """Spatial positions a level that enter the kernel matrix; our bound."""


class DeviationConfig(TrainingConfig):
    """Phase `deviation`: how far the student's SR image may be off, fitted on held-out images; not in the paper."""

    fits_held_out: ClassVar[bool] = True

    patch_size: int = Field(ge=16, multiple_of=16)
    """Side of the square HR crop, pixels; a multiple of 16, the network's stride."""
    channels: int = Field(default=64, ge=1)
    """Width of the head's three convolutions; our choice."""


class SlimDiffSRConfig(Config):
    """All phases of SlimDiffSR."""

    base_weights: BaseWeightsConfig = BaseWeightsConfig()
    """Pretrained networks."""
    base: BaseConfig | None = None
    """Stand-ins; needed where base_weights.stable_diffusion is null."""
    uncertainty: UncertaintyConfig
    """Uncertainty estimator."""
    teacher: TeacherConfig
    """One-step teacher."""
    student: StudentConfig
    """Distilled student."""
    deviation: DeviationConfig | None = None
    """Uncertainty of the student's images; null leaves the phase `deviation` out."""
    in_bands: int = Field(default=3, ge=1)
    """Bands of the images: 3 for red, green, blue; as many as data.scenes.bands where scenes are trained on."""

    @model_validator(mode="after")
    def _check_bands(self) -> Self:
        if self.in_bands == 3:
            return self
        if self.base_weights.stable_diffusion is not None:
            raise ValueError(
                f"in_bands is {self.in_bands}, but Stable Diffusion's autoencoder knows red, green, blue alone; leave "
                "base_weights.stable_diffusion null, which trains stand-ins for these bands"
            )
        for phase in ("teacher", "student"):
            loss = getattr(self, phase).reconstruction
            if loss.lpips_weight > 0 or loss.gan_weight > 0:
                raise ValueError(
                    f"in_bands is {self.in_bands}, but the networks of LPIPS and of the adversarial loss know red, "
                    f"green and blue; set {phase}.reconstruction.lpips_weight and gan_weight to 0"
                )
        return self
