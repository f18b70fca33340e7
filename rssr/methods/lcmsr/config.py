"""LCMSR's configuration. Published values are defaults; their source is the authors' code."""

from typing import Self

from pydantic import Field, model_validator

from rssr.methods.latent.config import LatentMethodConfig, LatentPhaseConfig, Prediction, build_architecture
from rssr.models.latent.architecture import LatentArchitecture


class ConsistencyConfig(LatentPhaseConfig):
    """Phase `consistency`: a function that takes any point of a trajectory to its clean latent."""

    num_timesteps: int = Field(default=1000, ge=2)
    """Timesteps of the diffusion (published: 1000)."""
    beta_start: float = Field(default=0.0015, gt=0, lt=1)
    """First noise variance; roots are spaced linearly between first and last (published: 0.0015)."""
    beta_end: float = Field(default=0.0155, gt=0, lt=1)
    """Last noise variance (published: 0.0155)."""
    prediction: Prediction = "noise"
    """Whether the U-Net predicts noise (published for any scale), or the clean sample (published for scale 4)."""
    timestep_gap: int = Field(default=250, ge=1)
    """Timesteps between the two points of a trajectory that are compared (published: 250)."""
    final_renoise: bool = False
    """Whether sampling ends with noise of timestep 0, as in the authors' code."""


class LCMSRConfig(LatentMethodConfig):
    """All phases of LCMSR."""

    consistency: ConsistencyConfig
    """Consistency function and condition encoder."""

    @property
    def architecture(self) -> LatentArchitecture:
        """The networks of all phases."""
        names = ("num_timesteps", "beta_start", "beta_end", "prediction", "final_renoise")
        others = {name: getattr(self.consistency, name) for name in names}
        return build_architecture(self.autoencoder, self.consistency, bands=self.in_bands, **others)

    @model_validator(mode="after")
    def _check_architecture(self) -> Self:
        _ = self.architecture
        return self
