"""LDCSR's configuration. Published values are defaults; their source is the authors' code."""

from typing import Self

from pydantic import Field, model_validator

from rssr.methods.latent.config import LatentMethodConfig, LatentPhaseConfig, build_architecture
from rssr.models.latent.architecture import LatentArchitecture


class DenoiserConfig(LatentPhaseConfig):
    """Phase `denoiser`: latent diffusion in a few steps, trained through all of them."""

    num_timesteps: int = Field(default=4, ge=2)
    """Steps of the diffusion, all of which every training step runs (published: 4)."""
    beta_start: float = Field(default=0.1, gt=0, lt=1)
    """First noise variance; roots are spaced linearly between first and last (published: 0.1)."""
    beta_end: float = Field(default=0.99, gt=0, lt=1)
    """Last noise variance (published: 0.99)."""


class LDCSRConfig(LatentMethodConfig):
    """All phases of LDCSR."""

    denoiser: DenoiserConfig
    """U-Net and condition encoder."""

    @property
    def architecture(self) -> LatentArchitecture:
        """The networks of all phases."""
        schedule = {name: getattr(self.denoiser, name) for name in ("num_timesteps", "beta_start", "beta_end")}
        return build_architecture(self.autoencoder, self.denoiser, bands=self.in_bands, **schedule)

    @model_validator(mode="after")
    def _check_architecture(self) -> Self:
        _ = self.architecture
        return self
