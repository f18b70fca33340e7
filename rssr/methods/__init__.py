"""The published methods, one folder a paper, and what two of them share. Methods never import one another."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

# Not imported at run time: the networks below this package must build without pydantic.
if TYPE_CHECKING:
    from rssr.methods.phase import Phase, PhaseInputs
    from rssr.methods.training import TrainingConfig

# Method name -> where its class and its configuration are. One line adds a method.
_METHODS = {
    "slimdiffsr": "rssr.methods.slimdiffsr.method:SlimDiffSRMethod",
    "ldcsr": "rssr.methods.ldcsr.method:LDCSRMethod",
    "lcmsr": "rssr.methods.lcmsr.method:LCMSRMethod",
}


class Method(Protocol):
    """A method as the training job sees it."""

    @property
    def name(self) -> str:
        """Method name."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases in order."""

    @property
    def product_phases(self) -> tuple[str, ...]:
        """Phases that export a model users run, the most complete one last."""

    def is_needed(self, phase: str) -> bool:
        """Whether a phase runs at all under this configuration."""

    def needed_phases(self, phase: str) -> tuple[str, ...]:
        """Earlier phases whose outputs a phase loads."""

    def training_config(self, phase: str) -> "TrainingConfig":
        """Optimisation settings of a phase."""

    def digest_config(self, phase: str) -> dict[str, object]:
        """The part of the configuration that decides what a phase yields, besides its input phases."""

    def build_phase(self, phase: str, inputs: "PhaseInputs") -> "Phase":
        """Build a phase inside the training process."""

    def require_files(self, phases: Sequence[str]) -> None:
        """Raise a `UserError` when weights that these phases load are missing, before anything is computed."""

    def check(self, phase: str, metrics: Mapping[str, float]) -> None:
        """Raise a `UserError` when a finished phase's validation says that later phases cannot build on it."""

    def dump(self) -> dict[str, Any]:
        """The configuration as plain values, for `build_method` in another process."""


def build_method(name: str, values: Mapping[str, Any]) -> Method:
    """A method from the plain values of its `dump`."""
    module, _, attribute = _METHODS[name].partition(":")
    method: Method = getattr(import_module(module), attribute).from_values(values)
    return method
