"""SlimDiffSR as the training job sees it: its phases, what each needs, and its configuration."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from rssr.errors import ConfigError
from rssr.methods.figures import Figure, HeldOutImage
from rssr.methods.method import Method
from rssr.methods.phase import Phase, PhaseInputs
from rssr.methods.slimdiffsr.config import BaseConfig, DeviationConfig, ReconstructionConfig, SlimDiffSRConfig
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.objectives.base import BasePhase, check_reconstruction, stand_in_outline
from rssr.methods.slimdiffsr.objectives.deviation import DeviationPhase, load_student
from rssr.methods.slimdiffsr.objectives.student import StudentPhase, build_student
from rssr.methods.slimdiffsr.objectives.teacher import TeacherPhase, load_teacher
from rssr.methods.slimdiffsr.objectives.uncertainty import UncertaintyPhase
from rssr.methods.slimdiffsr.pictures import draw_figures
from rssr.methods.slimdiffsr.teacher import merge_adapters
from rssr.methods.slimdiffsr.teacher_inference import TeacherResolver
from rssr.methods.training import TrainingConfig
from rssr.models.loaded import LoadedModel
from rssr.weights.auxiliary import DINO_FILE, LPIPS_FILE, VGG_FILE, auxiliary_digests, find_missing_auxiliary
from rssr.weights.base import BaseLocations, BaseOutline, BaseSource, find_missing, outline_of
from rssr.weights.missing import MissingWeights, weights_error

_BUILDERS: Mapping[str, Callable[[SlimDiffSRConfig, BaseSource, PhaseInputs], Phase]] = MappingProxyType(
    {
        "uncertainty": lambda config, locations, inputs: UncertaintyPhase(config.uncertainty, locations, inputs),
        "teacher": TeacherPhase,
        "student": StudentPhase,
    }
)


class SlimDiffSRMethod(Method):
    """The phases in order, and how each is built."""

    name = "slimdiffsr"
    config_class = SlimDiffSRConfig
    phases = ("base", "uncertainty", "teacher", "student", "deviation")
    product_phases = ("student", "deviation")

    def __init__(self, config: SlimDiffSRConfig) -> None:
        super().__init__(config)
        self.config: SlimDiffSRConfig = config

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
            "deviation": ("student",),
        }[phase]

    def is_needed(self, phase: str) -> bool:
        """Whether a phase runs at all: `base` only where no pretrained directory is given, `deviation` if asked for."""
        if phase == "deviation":
            return self.config.deviation is not None
        return phase != "base" or self.config.base_weights.stable_diffusion is None

    def training_config(self, phase: str) -> TrainingConfig:
        """Optimisation settings of a phase."""
        if phase == "base" and self.config.base is None:
            raise ConfigError(
                "Phase 'base' has no settings.",
                "Give base_weights.stable_diffusion a diffusers directory, or fill in the section 'base'.",
            )
        return super().training_config(phase)

    def digest_config(self, phase: str) -> dict[str, object]:
        """The part of the configuration that decides what a phase yields, besides its input phases.

        The networks of the losses count by their content and only where a loss uses them; the base weights, which
        may be a hub id, count by name.
        """
        values = super().digest_config(phase)
        if phase not in ("base", "deviation"):
            values["base_weights"] = self.config.base_weights.model_dump(mode="json", exclude={"auxiliary"})
        if phase in ("teacher", "student"):
            values["auxiliary"] = self._auxiliary_digests(getattr(self.config, phase).reconstruction)
        return values

    def require_files(self, phases: Sequence[str]) -> None:
        """Refuse settings whose pretrained networks are not there, naming all that are missing at once."""
        weights = self.config.base_weights
        missing: list[MissingWeights] = []
        if weights.stable_diffusion is not None:
            missing += find_missing(self._pretrained(weights.stable_diffusion))
        for phase in phases:
            if phase in ("teacher", "student"):
                loss: ReconstructionConfig = getattr(self.config, phase).reconstruction
                missing += find_missing_auxiliary(weights.auxiliary, loss.lpips_weight, loss.gan_weight)
        if missing:
            raise weights_error(missing)

    def check(self, phase: str, metrics: Mapping[str, float]) -> None:
        """Refuse stand-ins whose autoencoders lose too much."""
        if phase == "base" and self.config.base is not None:
            check_reconstruction(self.config.base, metrics)

    def build_phase(self, phase: str, inputs: PhaseInputs) -> Phase:
        """Build a phase inside the training process."""
        if phase == "base":
            config = self.training_config("base")
            assert isinstance(config, BaseConfig)  # training_config raises where there is none
            return BasePhase(config, self.config.in_bands, inputs)
        if phase == "deviation":
            config = self.training_config("deviation")
            assert isinstance(config, DeviationConfig)  # training_config raises where there is none
            return DeviationPhase(config, self._finished_student(inputs), inputs)
        return _BUILDERS[phase](self.config, self._locations(inputs), inputs)

    def draw_figures(self, inputs: PhaseInputs, images: Sequence[HeldOutImage]) -> list[Figure]:
        """See `Illustrated`."""
        return draw_figures(self.config, self._locations, inputs, images)

    def open_teacher(self, inputs: PhaseInputs) -> LoadedModel:
        """The teacher that the phase exported, as a model that super-resolves from LR images alone."""
        teacher = merge_adapters(load_teacher(self.config, self._locations(inputs), inputs))
        return LoadedModel("slimdiffsr-teacher", TeacherResolver(teacher), teacher, {}, None)

    def _auxiliary_digests(self, reconstruction: ReconstructionConfig) -> dict[str, str]:
        used = {VGG_FILE, LPIPS_FILE} if reconstruction.lpips_weight > 0 else set()
        used |= {DINO_FILE} if reconstruction.gan_weight > 0 else set()
        digests = auxiliary_digests(self.config.base_weights.auxiliary) if used else {}
        return {name: digest for name, digest in digests.items() if name in used}

    def _finished_student(self, inputs: PhaseInputs) -> SlimDiffSR:
        if inputs.reads_weights:
            return load_student(inputs.folder("student"))
        _, student = build_student(self.config.student, self._outline())
        return student

    def _locations(self, inputs: PhaseInputs) -> BaseSource:
        weights = self.config.base_weights
        if not inputs.reads_weights:
            return self._outline()
        if weights.stable_diffusion is None:
            return BaseLocations.in_folder(inputs.folder("base"))
        return self._pretrained(weights.stable_diffusion)

    def _outline(self) -> BaseOutline:
        stable_diffusion = self.config.base_weights.stable_diffusion
        if stable_diffusion is not None:
            return outline_of(self._pretrained(stable_diffusion))
        config = self.training_config("base")
        assert isinstance(config, BaseConfig)  # training_config raises where there is none
        return stand_in_outline(config, self.config.in_bands)

    def _pretrained(self, stable_diffusion: str) -> BaseLocations:
        taesd = self.config.base_weights.taesd
        assert taesd is not None  # the configuration refuses one without the other
        return BaseLocations(stable_diffusion, taesd)
