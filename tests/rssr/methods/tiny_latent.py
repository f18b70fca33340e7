"""LDCSR and LCMSR as narrow as they can be, and networks with recorded weights."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rssr.methods.latent.phases import LatentMethod
from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.layout import autoencoder_names, network_names
from rssr.models.latent.network import LatentSR
from tests.rssr.conftest import VECTORS

TINY_ARCHITECTURE = {
    "channels": 8,
    "channel_multipliers": (1, 1, 1, 1),
    "num_res_blocks": 1,
    "norm_num_groups": 4,
    "num_distillation_blocks": (1, 1),
    "upsampler_channels": 8,
    "denoiser_channels": 8,
    "denoiser_multipliers": (1, 1),
    "denoiser_num_res_blocks": 1,
    "attention_resolutions": (8,),
    "head_channels": 8,
}
"""Of the smallest network that has every part."""

RECORDED = {
    "channels": 24,
    "channel_multipliers": (1, 1, 2, 2),
    "num_res_blocks": 1,
    "norm_num_groups": 8,
    "num_distillation_blocks": (2, 1, 1, 1),
    "denoiser_channels": 24,
    "denoiser_multipliers": (1, 2, 1, 2),
    "denoiser_num_res_blocks": 1,
    "attention_resolutions": (8,),
    "head_channels": 12,
}


def tiny_sections(code_phase: str) -> dict[str, dict[str, Any]]:
    """Sections of a configuration."""
    usual = {"num_steps": 20, "batch_size": 2, "patch_size": 48, "learning_rate": 1e-3}
    autoencoder = {
        **usual,
        "lr_patch_size": 24,
        "channels": 8,
        "channel_multipliers": (1, 1, 1, 2),
        "num_res_blocks": 1,
        "num_distillation_blocks": 1,
        "norm_num_groups": 4,
        "upsampler_channels": 8,
        "lpips_weight": 0,
        "gan_weight": 0,
        "discriminator_channels": 4,
    }
    denoiser = {
        **usual,
        "channels": 8,
        "channel_multipliers": (1, 2),
        "num_res_blocks": 1,
        "attention_resolutions": (2,),
        "head_channels": 8,
    }
    return {"autoencoder": autoencoder, code_phase: denoiser, "refinement": dict(usual), "deviation": dict(usual)}


def changed(sections: Mapping[str, Mapping[str, Any]], **changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Sections with some values replaced; None leaves a section out."""
    values: dict[str, Any] = copy.deepcopy(dict(sections))
    for section, change in changes.items():
        values[section] = None if change is None else {**values.get(section, {}), **change}
    return values


def striped_batch(scale: float = 4.0, side: int = 48) -> Batch:
    """Two pairs of smooth images with stripes that LR hardly shows."""
    line = torch.linspace(0, 6, side)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    waves = [torch.sin(rows * a + columns * b) for a, b in ((1, 0), (0, 1), (1, 1), (2, -1), (0.5, 2), (3, 1))]
    hr = 0.5 * torch.stack(waves).reshape(2, 3, side, side) + 0.3 * torch.sin(rows * 15) * torch.sin(columns * 17)
    lr = torch.nn.functional.interpolate(hr, size=int(side / scale), mode="bicubic", antialias=True)
    return Batch(lr, hr, scale)


def train(phase: Phase, batch: Batch, num_steps: int, learning_rate: float = 3e-3) -> dict[str, list[dict[str, float]]]:
    """Terms of each objective at every step of optimising a phase on one batch with equal draws."""
    objectives = phase.objectives()
    optimizers = {
        name: torch.optim.Adam(objective.trained_parameters().values(), learning_rate)
        for name, objective in objectives.items()
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in objectives}
    for step in range(num_steps):
        torch.manual_seed(0)
        carry: dict[str, Tensor] = {}
        active = [name for name, each in objectives.items() if step in each.active_steps(num_steps)]
        for name in active:
            optimizers[name].zero_grad()
            loss = objectives[name](batch, step, carry)
            loss.total.backward()
            carry.update(loss.carry)
            terms = {term: float(value) for term, value in loss.terms.items()}
            found[name].append({"total": float(loss.total.detach()), **terms})
        for name in active:
            optimizers[name].step()
    return found


def recorded_state() -> dict[str, Tensor]:
    """The recorded second stage under its published names."""
    return load_file(VECTORS / "ldcsr_s2_small.weights.safetensors")


def recorded_network(averaged: bool = False, **architecture: object) -> LatentSR:
    """The recorded network: raw or averaged U-Net."""
    network = LatentSR(**{**RECORDED, **architecture})
    state = recorded_state()
    names = network_names(network.state_dict(), averaged=averaged)
    network.load_state_dict({name: state[official] for name, official in names.items()})
    return network


def recorded_autoencoder() -> ResidualAutoencoder:
    """Its first stage."""
    autoencoder = ResidualAutoencoder(**RECORDED)
    state = recorded_state()
    names = autoencoder_names(autoencoder.state_dict())
    autoencoder.load_state_dict({name: state[f"first_stage_model.{official}"] for name, official in names.items()})
    return autoencoder


def gradients_by_published_name(network: torch.nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Gradients of trained parameters; `names` are published names by ours."""
    return {names[name]: p.grad for name, p in network.named_parameters() if p.grad is not None}


def export_first_stage(method: LatentMethod, folder: Path) -> Path:
    """Train the phase `autoencoder` a few steps; returns the folder with what it exported."""
    torch.manual_seed(0)
    phase = method.build_phase("autoencoder", PhaseInputs({}, torch.device("cpu")))
    train(phase, striped_batch(), 5)
    phase.export(folder)
    return folder
