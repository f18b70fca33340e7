"""SlimDiffSR as the training job sees it: its phases, what each needs, and its configuration."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rssr.errors import ConfigError
from rssr.methods.phase import Phase, PhaseInputs
from rssr.methods.slimdiffsr.config import BaseConfig, ReconstructionConfig, SlimDiffSRConfig
from rssr.methods.slimdiffsr.objectives.base import BasePhase, check_reconstruction
from rssr.methods.slimdiffsr.objectives.student import StudentPhase
from rssr.methods.slimdiffsr.objectives.teacher import TeacherPhase
from rssr.methods.slimdiffsr.objectives.uncertainty import UncertaintyPhase
from rssr.methods.training import TrainingConfig
from rssr.weights.auxiliary import DINO_FILE, LPIPS_FILE, VGG_FILE, auxiliary_digests, require_auxiliary
from rssr.weights.base import BaseLocations, require_directories

_BUILDERS: Mapping[str, Callable[[SlimDiffSRConfig, BaseLocations, PhaseInputs], Phase]] = MappingProxyType(
    {
        "uncertainty": lambda config, locations, inputs: UncertaintyPhase(config.uncertainty, locations, inputs),
        "teacher": TeacherPhase,
        "student": StudentPhase,
    }
)


class SlimDiffSRMethod:
    """The phases in order, and how each is built."""

    name = "slimdiffsr"
    phases = ("base", "uncertainty", "teacher", "student")
    product_phase = "student"

    def __init__(self, config: SlimDiffSRConfig) -> None:
        self.config = config

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "SlimDiffSRMethod":
        """The method of a `dump`."""
        return cls(SlimDiffSRConfig.model_validate(values))

    def dump(self) -> dict[str, Any]:
        """The configuration as plain values."""
        return self.config.model_dump(mode="json")

    def needed_phases(self, phase: str) -> tuple[str, ...]:
        """Earlier phases whose outputs a phase loads."""
        pretrained = self.config.base_weights.stable_diffusion is not None
        base = () if pretrained else ("base",)
        if phase == "student" and self.config.student.distillation_weight == 0:
            return base
        return {
            "base": (),
            "uncertainty": base,
            "teacher": (*base, "uncertainty"),
            "student": (*base, "uncertainty", "teacher"),
        }[phase]

    def is_needed(self, phase: str) -> bool:
        """Whether a phase runs at all: `base` does only where no pretrained directory is given."""
        return phase != "base" or self.config.base_weights.stable_diffusion is None

    def training_config(self, phase: str) -> TrainingConfig:
        """Optimisation settings of a phase."""
        config: TrainingConfig | None = getattr(self.config, phase)
        if config is None:
            raise ConfigError(
                f"Phase '{phase}' has no settings.",
                "Give base_weights.stable_diffusion a diffusers directory, or fill in the section 'base'.",
            )
        return config

    def digest_config(self, phase: str) -> dict[str, object]:
        """The part of the configuration that decides what a phase yields, besides its input phases.

        The networks of the losses count by their content and only where a loss uses them; the base weights, which
        may be a hub id, count by name.
        """
        values: dict[str, object] = {"phase": self.training_config(phase).digest_values()}
        if phase != "base":
            values["base_weights"] = self.config.base_weights.model_dump(mode="json", exclude={"auxiliary"})
        if phase in ("teacher", "student"):
            values["auxiliary"] = self._auxiliary_digests(getattr(self.config, phase).reconstruction)
        return values

    def require_files(self, phases: Sequence[str]) -> None:
        """Refuse settings whose pretrained networks are not there."""
        weights = self.config.base_weights
        if weights.stable_diffusion is not None:
            require_directories(self._pretrained(weights.stable_diffusion))
        for phase in phases:
            if phase in ("teacher", "student"):
                loss: ReconstructionConfig = getattr(self.config, phase).reconstruction
                require_auxiliary(weights.auxiliary, loss.lpips_weight, loss.gan_weight)

    def check(self, phase: str, metrics: Mapping[str, float]) -> None:
        """Refuse stand-ins whose autoencoders lose too much."""
        if phase == "base" and self.config.base is not None:
            check_reconstruction(self.config.base, metrics)

    def build_phase(self, phase: str, inputs: PhaseInputs) -> Phase:
        """Build a phase inside the training process."""
        if phase == "base":
            config = self.training_config("base")
            assert isinstance(config, BaseConfig)  # training_config raises where there is none
            return BasePhase(config, inputs)
        return _BUILDERS[phase](self.config, self._locations(inputs), inputs)

    def _auxiliary_digests(self, reconstruction: ReconstructionConfig) -> dict[str, str]:
        used = {VGG_FILE, LPIPS_FILE} if reconstruction.lpips_weight > 0 else set()
        used |= {DINO_FILE} if reconstruction.gan_weight > 0 else set()
        digests = auxiliary_digests(self.config.base_weights.auxiliary) if used else {}
        return {name: digest for name, digest in digests.items() if name in used}

    def _locations(self, inputs: PhaseInputs) -> BaseLocations:
        weights = self.config.base_weights
        if weights.stable_diffusion is None:
            return BaseLocations.in_folder(inputs.folder("base"))
        return self._pretrained(weights.stable_diffusion)

    def _pretrained(self, stable_diffusion: str) -> BaseLocations:
        taesd = self.config.base_weights.taesd
        if taesd is None:
            raise ConfigError(
                "base_weights.stable_diffusion is given but base_weights.taesd is not.",
                "Give base_weights.taesd the directory or hub id of TAESD (madebyollin/taesd).",
            )
        return BaseLocations(stable_diffusion, taesd)
