"""What a method gives the training job: its phases in order, what each needs, and its configuration."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rssr.errors import ConfigError

# Not imported at run time: the networks below this package must build without pydantic.
if TYPE_CHECKING:
    from rssr.configuration import Config
    from rssr.methods.phase import Phase, PhaseInputs
    from rssr.methods.training import TrainingConfig


class Method(ABC):
    """A method as the training job sees it.

    A method whose configuration has one section of settings a phase, by the phase's name, need only name its phases
    and build them.

    Args:
        config: Of the type `config_class`.
    """

    config_class: ClassVar[type["Config"]]

    def __init__(self, config: "Config") -> None:
        self.config = config

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """The method of a `dump`."""
        return cls(cls.config_class.model_validate(values))

    def dump(self) -> dict[str, Any]:
        """The configuration as plain values, for `build_method` in another process."""
        return self.config.model_dump(mode="json")

    @property
    @abstractmethod
    def name(self) -> str:
        """Method name."""

    @property
    @abstractmethod
    def phases(self) -> tuple[str, ...]:
        """Phases in order."""

    @property
    def product_phases(self) -> tuple[str, ...]:
        """Phases that export a model users run, the most complete one last; none unless the method says so."""
        return ()

    def is_needed(self, phase: str) -> bool:
        """Whether a phase runs at all under this configuration: where it has settings."""
        return getattr(self.config, phase) is not None

    def needed_phases(self, phase: str) -> tuple[str, ...]:
        """Earlier phases whose outputs a phase loads: all, unless the method says otherwise."""
        return self.phases[: self.phases.index(phase)]

    def training_config(self, phase: str) -> "TrainingConfig":
        """Optimisation settings of a phase.

        Raises:
            ConfigError: It has none.
        """
        config: TrainingConfig | None = getattr(self.config, phase)
        if config is None:
            raise ConfigError(
                f"Phase '{phase}' has no settings.", f"Fill in the section '{phase}', as the quickstart's preset does."
            )
        return config

    def digest_config(self, phase: str) -> dict[str, object]:
        """The part of the configuration that decides what a phase yields, besides its input phases."""
        values: dict[str, object] = {"phase": self.training_config(phase).digest_values()}
        in_bands = getattr(self.config, "in_bands", 3)
        return values if in_bands == 3 else {**values, "in_bands": in_bands}

    @abstractmethod
    def build_phase(self, phase: str, inputs: "PhaseInputs") -> "Phase":
        """Build a phase inside the training process."""

    def require_files(self, phases: Sequence[str]) -> None:
        """Raise a `UserError` when weights that these phases load are missing, before anything is computed."""
        return

    def check(self, phase: str, metrics: Mapping[str, float]) -> None:
        """Raise a `UserError` when a finished phase's validation says that later phases cannot build on it."""
        return
