"""LDCSR and LCMSR as the training job sees them: what each phase needs and how it is built."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from rssr.methods.latent.config import LatentDeviationConfig, LatentMethodConfig, RefinementConfig
from rssr.methods.latent.image_paths import latent_paths
from rssr.methods.latent.objectives.autoencoder import AutoencoderPhase, load_autoencoder
from rssr.methods.latent.objectives.deviation import LatentDeviationPhase
from rssr.methods.latent.objectives.refinement import RefinementPhase, load_network
from rssr.methods.method import Method
from rssr.methods.paths import ImagePath
from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.models.latent.architecture import LatentArchitecture
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.latent.resolver import LatentResolver
from rssr.weights.auxiliary import LPIPS_FILE, VGG_FILE, auxiliary_digests, find_missing_auxiliary
from rssr.weights.missing import weights_error


class LatentMethod(Method):
    """Autoencoder first, then U-Net and condition encoder; then, where asked for, the decoder again, and deviations.

    Args:
        config: All phases.
        architecture: The networks that it describes.
    """

    code_phase: ClassVar[str]
    """The phase that trains U-Net and condition encoder."""
    resolver: ClassVar[type[LatentResolver]]
    """How the trained model runs."""

    def __init__(self, config: LatentMethodConfig, architecture: LatentArchitecture) -> None:
        super().__init__(config)
        self.config: LatentMethodConfig = config
        self.architecture = architecture

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases in order."""
        return "autoencoder", self.code_phase, "refinement", "deviation"

    @property
    def product_phases(self) -> tuple[str, ...]:
        """Phases that export a model users run."""
        return self.code_phase, "refinement", "deviation"

    @property
    @abstractmethod
    def model_name(self) -> str:
        """Name under which the trained model is known."""

    @abstractmethod
    def build_code_phase(self, network: LatentSR, autoencoder: ResidualAutoencoder, inputs: PhaseInputs) -> Phase:
        """The phase that trains U-Net and condition encoder."""

    @abstractmethod
    def sample_code(self, network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
        """How the method samples; see `rssr.methods.latent.paths.SampleCode`."""

    def needed_phases(self, phase: str) -> tuple[str, ...]:
        """Earlier phases whose outputs a phase loads."""
        if phase == "deviation":
            return (self._network_phase,)
        return super().needed_phases(phase)

    def digest_config(self, phase: str) -> dict[str, object]:
        """The part of the configuration that decides what a phase yields; LPIPS counts by its files' content."""
        values = super().digest_config(phase)
        if phase == "autoencoder" and self.config.autoencoder.lpips_weight > 0:
            digests = auxiliary_digests(self.config.base_weights.auxiliary)
            values["auxiliary"] = {name: digests[name] for name in (VGG_FILE, LPIPS_FILE) if name in digests}
        return values

    def require_files(self, phases: Sequence[str]) -> None:
        """Refuse settings whose pretrained networks are not there, naming all that are missing at once."""
        if "autoencoder" not in phases:
            return
        weights, lpips_weight = self.config.base_weights, self.config.autoencoder.lpips_weight
        missing = find_missing_auxiliary(weights.auxiliary, lpips_weight, gan_weight=0.0)  # our discriminator is fresh
        if missing:
            raise weights_error(missing)

    def build_phase(self, phase: str, inputs: PhaseInputs) -> Phase:
        """Build a phase inside the training process."""
        config = self.training_config(phase)  # says what is missing
        if phase == "autoencoder":
            auxiliary = self.config.base_weights.auxiliary
            return AutoencoderPhase(self.config.autoencoder, self.architecture, auxiliary, inputs)
        if isinstance(config, LatentDeviationConfig):
            network = load_network(self._network_phase, self.architecture, inputs)
            return LatentDeviationPhase(config, self.model_name, network, self.sample_code, self.resolver(network))
        autoencoder = load_autoencoder(self.architecture, inputs)
        if isinstance(config, RefinementConfig):
            network = load_network(self.code_phase, self.architecture, inputs)
            return RefinementPhase(config, self.model_name, network, autoencoder, self.sample_code)
        return self.build_code_phase(LatentSR(self.architecture), autoencoder, inputs)

    def image_paths(self, inputs: PhaseInputs, product: str) -> list[ImagePath]:
        """See `OffersPaths`: what the condition code gives, and what the code could give at most."""
        phases = {"": product}
        if product != self.code_phase and self.config.refinement is not None:
            phases[" before refinement"] = self.code_phase
        has_autoencoder = "autoencoder" in inputs.folders
        autoencoder = load_autoencoder(self.architecture, inputs) if has_autoencoder else None
        return [
            path
            for suffix, phase in phases.items()
            if phase in inputs.folders
            for path in latent_paths(
                self.resolver(load_network(phase, self.architecture, inputs), path="condition"), autoencoder, suffix
            )
        ]

    @property
    def _network_phase(self) -> str:
        """The phase whose network deviations are fitted to."""
        return self.code_phase if self.config.refinement is None else "refinement"
