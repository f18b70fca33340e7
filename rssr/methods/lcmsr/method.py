"""LCMSR as the training job sees it."""

from torch import Tensor

from rssr.methods.latent.phases import LatentMethod
from rssr.methods.lcmsr.config import LCMSRConfig
from rssr.methods.lcmsr.inference import LCMSRResolver
from rssr.methods.lcmsr.objectives.consistency import ConsistencyPhase, sample_code
from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR

_PUBLISHED_FIXED_SCALE = 4


class LCMSRMethod(LatentMethod):
    """Phases `autoencoder`, `consistency`, and where asked for `refinement` and `deviation`."""

    name = "lcmsr"
    config_class = LCMSRConfig
    code_phase = "consistency"
    resolver = LCMSRResolver

    def __init__(self, config: LCMSRConfig) -> None:
        super().__init__(config, config.architecture)
        self.config: LCMSRConfig = config

    @property
    def model_name(self) -> str:
        """The published form that comes nearest: for any scale, or for scale 4 alone."""
        values = self.architecture
        is_x4 = values.decoder == "fixed" and values.fixed_scale == _PUBLISHED_FIXED_SCALE
        return "lcmsr-x4" if is_x4 else "lcmsr"

    def build_code_phase(self, network: LatentSR, autoencoder: ResidualAutoencoder, inputs: PhaseInputs) -> Phase:
        """See `LatentMethod.build_code_phase`."""
        return ConsistencyPhase(self.config.consistency, self.model_name, network, autoencoder, inputs.device)

    def sample_code(self, network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
        """One step from pure noise."""
        return sample_code(network, condition, batch)
