"""Made-up published checkpoints of LDCSR and LCMSR: the recorded reduced networks, in the authors' containers."""

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rssr.diffusion.schedule import scaled_linear_tables
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.layout import (
    FIRST_STAGE_PREFIX,
    SCHEDULE_BUFFERS,
    UNUSED_DECODER_TENSOR,
    autoencoder_names,
    network_names,
)
from rssr.models.latent.network import LatentSR
from tests.rssr.conftest import VECTORS

REDUCED = ("--norm-num-groups", "8", "--head-channels", "12")
"""What no shape of the recorded networks tells."""

LOSS = {
    "loss.logvar": (),
    "loss.perceptual_loss.scaling_layer.shift": (1, 3, 1, 1),
    "loss.perceptual_loss.net.slice1.0.weight": (64, 3, 3, 3),
    "loss.discriminator.main.0.weight": (64, 3, 4, 4),
}

_MODULE = "a_training_environment"


def second_stage(schedule: str = "T4") -> dict[str, Tensor]:
    """The recorded second stage under its published names, with a recorded schedule."""
    state = load_file(VECTORS / "ldcsr_s2_small.weights.safetensors")
    tables = load_file(VECTORS / "ldcsr_schedule.safetensors")
    beginning = f"out/{schedule}."
    return {**state, **{k.removeprefix(beginning): v for k, v in tables.items() if k.startswith(beginning)}}


def fixed_second_stage() -> dict[str, Tensor]:
    """LCMSR's with a decoder for one scale."""
    beginning, decoder = "w/x4.", "first_stage_model.decoder."
    recorded = load_file(VECTORS / "lcmsr_fixed_scale_decoder.safetensors")
    rest = {name: value for name, value in second_stage("T1000").items() if not name.startswith(decoder)}
    return {**rest, **{decoder + k.removeprefix(beginning): v for k, v in recorded.items() if k.startswith(beginning)}}


def first_stage(second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first stage that a second stage was trained on, with its training loss."""
    beginning = "first_stage_model."
    networks = {k.removeprefix(beginning): v for k, v in second.items() if k.startswith(beginning)}
    return {**networks, **{name: torch.zeros(shape) for name, shape in LOSS.items()}}


def without(state: Mapping[str, Tensor], beginning: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(beginning)}


def save_lightning(path: Path, state: Mapping[str, Tensor]) -> Path:
    """Write a checkpoint as Lightning does, with an object of a class that is gone afterwards."""
    module = types.ModuleType(_MODULE)
    callback = type("ModelCheckpoint", (), {"__module__": _MODULE})
    module.ModelCheckpoint = callback  # type: ignore[attr-defined]  # modules take any attribute
    sys.modules[_MODULE] = module
    content: dict[str, Any] = {
        "epoch": 7,
        "global_step": 900,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": dict(state),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-5}]}],
        "lr_schedulers": [],
        "callbacks": {callback: {"object": callback()}},
    }
    try:
        torch.save(content, path)
    finally:
        del sys.modules[_MODULE]
    return path


def published(network: LatentSR, autoencoder: ResidualAutoencoder) -> dict[str, Tensor]:
    """A network and its first stage as a second stage under the published names; the raw U-Net is twice the average."""
    state, values, found = network.state_dict(), network.values, dict[str, Tensor]()
    for averaged in (True, False):
        for ours, name in network_names(state, averaged=averaged).items():
            found[name] = state[ours] * (1 if averaged or not ours.startswith("denoiser.") else 2)
    first = autoencoder.state_dict() | {name: state[name] for name in autoencoder.state_dict() if name in state}
    found |= {FIRST_STAGE_PREFIX + name: first[ours] for ours, name in autoencoder_names(first).items()}
    if values.decoder == "continuous":
        found[f"{FIRST_STAGE_PREFIX}decoder.{UNUSED_DECODER_TENSOR}"] = torch.ones(1)
    tables = scaled_linear_tables(values.beta_start, values.beta_end, values.num_timesteps)
    found |= {name: getattr(tables, name) for name in SCHEDULE_BUFFERS}
    return {**found, "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}
