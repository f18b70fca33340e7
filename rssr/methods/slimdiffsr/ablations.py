"""The paper's ablations (section 4.5): the name of each, and what it changes in the configuration."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from rssr.methods.slimdiffsr.config import SlimDiffSRConfig

ConfigT = TypeVar("ConfigT", bound=SlimDiffSRConfig)

AblationName = Literal[
    "published",
    "vae",
    "taesd",
    "wo-sap",
    "wo-dsc",
    "wo-fsc",
    "wo-qgam",
    "wo-distillation",
    "wo-mmd",
    "fixed-timestep",
    "wo-uncertainty",
]
PUBLISHED: AblationName = "published"


@dataclass(frozen=True)
class Ablation:
    """One variant.

    Attributes:
        title: Its row in the paper's table.
        changes: Values by dotted key of `SlimDiffSRConfig`, as distances from the published form.
        model: Name in `rssr.models.registry`, for the paper's parameter figure.
        concerns_teacher: Whether the variant is one of the teacher, whose own images are then of interest.
    """

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    model: str = "slimdiffsr"
    concerns_teacher: bool = False


@dataclass(frozen=True)
class AblationTable:
    """One of the paper's tables of ablations; its last row is the published form.

    Attributes:
        name: As in the paper.
        subject: What is varied.
        variants: Rows, in the paper's order.
    """

    name: str
    subject: str
    variants: tuple[AblationName, ...]


ABLATIONS: Mapping[AblationName, Ablation] = MappingProxyType(
    {
        "published": Ablation("Ours"),
        "vae": Ablation("VAE", {"student.autoencoder": "vae"}, "slimdiffsr-vae"),
        "taesd": Ablation("TAESD", {"student.autoencoder": "taesd"}, "slimdiffsr-taesd"),
        "wo-sap": Ablation("W/O SAP", {"student.pruning": "uniform"}, "slimdiffsr-wo-sap"),
        "wo-dsc": Ablation("W/O DSC", {"student.second_conv": "standard"}, "slimdiffsr-wo-dsc"),
        "wo-fsc": Ablation("W/O FSC", {"student.first_conv": "standard"}, "slimdiffsr-wo-fsc"),
        "wo-qgam": Ablation("W/O QGAM", {"student.attention": "standard"}, "slimdiffsr-wo-qgam"),
        "wo-distillation": Ablation("No-Dis", {"student.distillation_weight": 0.0}),
        "wo-mmd": Ablation("No-MMD", {"student.mmd_weight": 0.0}),
        "fixed-timestep": Ablation("Fixed timestep", {"teacher.timestep": "fixed"}, concerns_teacher=True),
        "wo-uncertainty": Ablation("W/O uncertainty", {"teacher.use_uncertainty": False}, concerns_teacher=True),
    }
)

TABLES = (
    AblationTable("Table 5", "the student's autoencoder", ("vae", "taesd")),
    AblationTable("Table 6", "module removal and replacement", ("wo-sap", "wo-dsc", "wo-fsc", "wo-qgam")),
    AblationTable("Table 7", "knowledge distillation", ("wo-distillation", "wo-mmd")),
    AblationTable("Fig. 13 and 14", "the teacher's timestep", ("fixed-timestep", "wo-uncertainty")),
)


def find_ablation(text: str) -> AblationName:
    """A variant by its name.

    Raises:
        ValueError: There is no such variant; names the nearest, or all.
    """
    for name in ABLATIONS:
        if name == text:
            return name
    close = difflib.get_close_matches(text, ABLATIONS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(ABLATIONS)}"
    raise ValueError(f"there is no variant '{text}'; {hint}")


def ablate(config: ConfigT, name: AblationName) -> ConfigT:
    """The configuration of one variant; twice the same change is the same as once.

    Args:
        config: That of the published form, or a job's with more keys.
        name: The variant; `published` changes nothing.
    """
    values = config.model_dump()
    for key, value in ABLATIONS[name].changes.items():
        section, _, field_name = key.partition(".")
        values[section][field_name] = value
    return type(config).model_validate(values)
