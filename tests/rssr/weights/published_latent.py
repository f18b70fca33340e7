"""Made-up published checkpoints of LDCSR and LCMSR: the recorded reduced networks, in the authors' containers."""

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

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
