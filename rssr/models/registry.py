"""All models by name. One entry adds a model; its code is imported when it is first asked for."""

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rssr.errors import ModelError
from rssr.models.bicubic import BicubicResolver
from rssr.models.resolver import SuperResolver

if TYPE_CHECKING:  # the table is read without PyTorch, which takes long to load
    from torch import nn

    from rssr.models.counting import ParameterCount
    from rssr.models.macs import MacCount

_SLIMDIFFSR = "rssr.methods.slimdiffsr"
_NUM_BANDS = 3


@dataclass(frozen=True)
class ModelEntry:
    """How to build one model. Code is named `module:attribute`.

    Attributes:
        summary: One line for lists.
        method: Folder of the method, e.g. `slimdiffsr`; empty for the baseline.
        builder: Callable that takes architecture values and returns the network.
        resolver: Callable that takes the network and returns a `SuperResolver`; empty where the network yields no
            image.
        architecture: Values that differ from the builder's defaults.
        scale_range: Smallest and largest scale of the published model.
        parts: Callable that takes the name and the network and returns what a paper counts differently.
        paper_millions: Parameter figure as printed in the paper, in millions.
        takes_images: Whether the network's input is an image at the target size.
        cost_sides: Sides of the LR and the SR image at which its paper tells what the resolver costs, pixels; None
            where the network's input is an image at the target size.
        unavailable: Remedy where the model cannot be built from plain values.
    """

    summary: str
    method: str
    builder: str
    resolver: str = ""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    scale_range: tuple[float, float] | None = None
    parts: str = ""
    paper_millions: float | None = None
    takes_images: bool = True
    cost_sides: tuple[int, int] | None = None
    unavailable: str = "Reinstall rssr."


def _student(summary: str, paper_millions: float, **architecture: object) -> ModelEntry:
    return ModelEntry(
        summary=summary,
        method="slimdiffsr",
        builder=f"{_SLIMDIFFSR}.networks:SlimDiffSR",
        resolver=f"{_SLIMDIFFSR}.inference:SlimDiffSRResolver",
        architecture=architecture,
        scale_range=(1.0, 8.0),
        parts=f"{_SLIMDIFFSR}.accounting:published_parts",
        paper_millions=paper_millions,
    )


def _latent(method: str, summary: str, scales: tuple[float, float], **architecture: object) -> ModelEntry:
    resolver = {"ldcsr": "LDCSRResolver", "lcmsr": "LCMSRResolver"}[method]
    return ModelEntry(
        summary=summary,
        method=method,
        builder="rssr.models.latent.network:LatentSR",
        resolver=f"rssr.methods.{method}.inference:{resolver}",
        architecture=architecture,
        scale_range=scales,
        parts="rssr.models.latent.accounting:published_parts",
        cost_sides=(64, 256),
    )


_LCMSR_SCHEDULE = {"num_timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0155}

MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {
        "bicubic": ModelEntry(
            summary="Bicubic interpolation, the baseline",
            method="",
            builder="rssr.resampling:BicubicNetwork",
            takes_images=False,
        ),
        "slimdiffsr": _student("One-step pruned diffusion student", 58.05),
        "slimdiffsr-teacher": ModelEntry(
            summary="One-step Stable Diffusion teacher with a map of timesteps",
            method="slimdiffsr",
            builder=f"{_SLIMDIFFSR}.teacher:create_teacher",
            unavailable="The teacher is Stable Diffusion with adapters: install diffusers, peft and pydantic.",
        ),
        "slimdiffsr-uncertainty": ModelEntry(
            summary="Mean and variance of the HR latent, given the LR latent",
            method="slimdiffsr",
            builder=f"{_SLIMDIFFSR}.networks:UncertaintyEstimator",
            takes_images=False,
        ),
        "ldcsr": _latent("ldcsr", "Latent diffusion in four steps, any scale", (1.0, 8.0)),
        "lcmsr": _latent("lcmsr", "Latent consistency in one step, any scale", (1.0, 8.0), **_LCMSR_SCHEDULE),
        "lcmsr-x4": _latent(
            "lcmsr",
            "Latent consistency in one step, x4",
            (4.0, 4.0),
            **_LCMSR_SCHEDULE,
            decoder="fixed",
            fixed_scale=4,
            prediction="sample",
        ),
        "slimdiffsr-vae": _student("Stable Diffusion's autoencoder (Table 5)", 138.9, autoencoder="vae"),
        "slimdiffsr-taesd": _student("TAESD without fused convolutions (Table 5)", 57.68, autoencoder="taesd"),
        "slimdiffsr-wo-sap": _student(
            "Full depth at 3/4 width (Table 6)",
            168.3,
            block_channels=[240, 480, 960, 960],
            mid_channels=960,
            mid_block="attention",
            num_plain_levels=1,
            norm_num_groups=24,  # 240 is no multiple of 32; 24 keeps Stable Diffusion's 10 channels a group
        ),
        "slimdiffsr-wo-dsc": _student("Second convolutions 3x3 (Table 6)", 93.18, second_conv="standard"),
        "slimdiffsr-wo-fsc": _student("First convolutions 3x3 (Table 6)", 99.46, first_conv="standard"),
        "slimdiffsr-wo-qgam": _student("Standard self-attention (Table 6)", 81.11, attention="standard"),
    }
)


def list_models() -> list[str]:
    """Names of all models, the baseline first."""
    return list(MODELS)


def model_entry(name: str) -> ModelEntry:
    """The table's entry.

    Raises:
        ModelError: Where there is no such model; names the nearest.
    """
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known are: {', '.join(MODELS)}."
        raise ModelError(f"There is no model '{name}'.", hint)
    return MODELS[name]


def create_model(name: str, **architecture: object) -> "nn.Module":
    """Build a network with random weights.

    Args:
        name: One of `list_models()`.
        **architecture: Values that replace the published ones, e.g. `block_channels=(32, 64)`.

    Raises:
        ModelError: On an unknown name or value, or where the model needs more than plain values.
    """
    entry = model_entry(name)
    builder = _imported(name, entry.builder)
    try:
        network: nn.Module = builder(**{**entry.architecture, **architecture})
    except TypeError as error:  # a builder's plain signature refuses unknown names this way
        raise ModelError(f"Model '{name}' cannot be built: {error}.", "Check the architecture values.") from None
    return network


def build_resolver(name: str, network: "nn.Module | None") -> SuperResolver:
    """Wrap a network of this model so that any size works; `bicubic` needs none.

    Raises:
        ModelError: Where the model yields no image.
    """
    entry = model_entry(name)
    if name == "bicubic":
        return BicubicResolver()
    if not entry.resolver:
        raise ModelError(f"Model '{name}' yields no image.", "Choose a super-resolver, e.g. slimdiffsr or bicubic.")
    resolver: SuperResolver = _imported(name, entry.resolver)(network)
    return resolver


def count_parameters(name: str, **architecture: object) -> "ParameterCount":
    """Count a model's parameters without allocating them; published figures hold for the published widths alone."""
    import torch

    from rssr.models.counting import ParameterCount, count_live

    entry = model_entry(name)
    with torch.device("meta"):
        network = create_model(name, **architecture)
    live = count_live(network)
    if not entry.parts or architecture:
        return ParameterCount(live, None, {})
    parts: Mapping[str, int] = _imported(name, entry.parts)(name, network)
    return ParameterCount(live, live + sum(parts.values()), parts)


def count_image_macs(name: str, side: int) -> "MacCount | None":
    """Multiply-accumulates of one image, without computing it.

    Args:
        name: One of `list_models()`, at its published widths.
        side: Height and width of the SR image, pixels; a model with `cost_sides` is counted at those instead.

    Returns:
        The count; None where the model's network takes no image of that size.
    """
    import torch

    from rssr.models.macs import count_macs

    entry = model_entry(name)
    if not entry.takes_images:
        return None
    with torch.device("meta"):
        network = create_model(name)
        lr_side, sr_side = entry.cost_sides or (side, side)
        image = torch.empty(1, _NUM_BANDS, lr_side, lr_side)
    if entry.cost_sides is not None:
        resolver = build_resolver(name, network)
        return count_macs(network, lambda: resolver(image, (sr_side, sr_side)))
    return count_macs(network, lambda: network(image))


def _imported(name: str, target: str) -> Callable[..., Any]:
    module_name, _, attribute = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"Model '{name}' cannot be built here ({error}).", model_entry(name).unavailable) from error
    return found
