"""LDCSR as the training job sees it."""

from torch import Tensor

from rssr.methods.latent.phases import LatentMethod
from rssr.methods.ldcsr.config import LDCSRConfig
from rssr.methods.ldcsr.inference import LDCSRResolver
from rssr.methods.ldcsr.objectives.denoiser import DenoiserPhase, sample_code
from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR


class LDCSRMethod(LatentMethod):
    """Phases `autoencoder`, `denoiser`, and where asked for `refinement` and `deviation`."""

    name = "ldcsr"
    config_class = LDCSRConfig
    code_phase = "denoiser"
    resolver = LDCSRResolver
    model_name = "ldcsr"

    def __init__(self, config: LDCSRConfig) -> None:
        super().__init__(config, config.architecture)
        self.config: LDCSRConfig = config

    def build_code_phase(self, network: LatentSR, autoencoder: ResidualAutoencoder, inputs: PhaseInputs) -> Phase:
        """See `LatentMethod.build_code_phase`."""
        return DenoiserPhase(self.config.denoiser, self.model_name, network, autoencoder, inputs.device)

    def sample_code(self, network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
        """All steps from pure noise."""
        return sample_code(network, condition, batch)
