"""LDCSR's and LCMSR's architecture, read from the names, shapes and schedule of a published second stage."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rssr.errors import WeightsError
from rssr.models.latent.layout import CONDITION_PREFIX, DENOISER_PREFIX, FIRST_STAGE_PREFIX

_SCHEDULE_TOLERANCE = 1e-5  # relative; tables are stored as float32
_DECODER = f"{FIRST_STAGE_PREFIX}decoder."
_ENCODER = f"{FIRST_STAGE_PREFIX}encoder."

State = Mapping[str, Tensor]


def read_latent_shapes(state: State) -> dict[str, Any]:
    """Values of `LatentArchitecture` that names and shapes tell; nothing is checked against the rest of them.

    Args:
        state: A second stage under its published names, with its first stage.

    Raises:
        WeightsError: If a tensor that tells a value is missing or has no such side.
    """
    channels, multipliers, num_res_blocks = _encoder(state, _ENCODER)
    condition = _encoder(state, CONDITION_PREFIX)
    decoder, decoder_blocks = _side(state, f"{_DECODER}head.weight"), _num_blocks(state, f"{_DECODER}up.0.")
    return {
        "bands": _side(state, f"{CONDITION_PREFIX}conv_in.weight", 1),
        "latent_channels": _side(state, f"{FIRST_STAGE_PREFIX}post_quant_conv.weight"),
        "channels": channels,
        "channel_multipliers": multipliers,
        "num_res_blocks": num_res_blocks,
        "condition_channels": 0 if condition[0] == channels else condition[0],
        "condition_multipliers": [] if condition[1] == multipliers else condition[1],
        "condition_num_res_blocks": 0 if condition[2] == num_res_blocks else condition[2],
        "decoder_channels": 0 if decoder == channels else decoder,
        "decoder_num_res_blocks": 0 if decoder_blocks == num_res_blocks else decoder_blocks,
        "num_distillation_blocks": _distillation_counts(state),
        **_decoder_kind(state),
        **_denoiser(state),
    }


def _encoder(state: State, beginning: str) -> tuple[int, list[int], int]:
    """Width of the first convolution, those of the levels as its multiples, and residual blocks of a level."""
    channels = _side(state, f"{beginning}conv_in.weight")
    levels = _numbers(state, rf"{re.escape(beginning)}down\.(\d+)\.")
    widths = [_side(state, f"{beginning}down.{level}.block.0.norm2.weight") for level in levels]
    return channels, [max(1, width // channels) for width in widths], _num_blocks(state, f"{beginning}down.0.")


def _num_blocks(state: State, level: str) -> int:
    return len(_numbers(state, rf"{re.escape(level)}block\.(\d+)\."))


def read_schedule(state: State) -> dict[str, Any]:
    """Length and ends of the noise schedule, whose roots are spaced linearly.

    Raises:
        WeightsError: If it is a schedule of another kind.
    """
    betas = _stored(state, "betas").double()
    remedy = "Only schedules whose betas are spaced linearly in their square root can be imported."
    if betas.ndim != 1 or not betas.numel() or not bool(((betas > 0) & (betas < 1)).all()):
        raise WeightsError(f"The schedule 'betas' is none: {betas.numel()} values, not all within (0, 1).", remedy)
    start, end = _as_written(float(betas[0])), _as_written(float(betas[-1]))
    roots = torch.linspace(start**0.5, end**0.5, betas.numel(), dtype=torch.float64)
    shares = _stored(state, "alphas_cumprod").double()
    fits = torch.allclose(roots**2, betas, rtol=_SCHEDULE_TOLERANCE, atol=0.0)
    if not fits or shares.shape != betas.shape:
        raise WeightsError(f"The schedule from {start} to {end} is of another kind.", remedy)
    if not torch.allclose(torch.cumprod(1 - betas, dim=0), shares, rtol=100 * _SCHEDULE_TOLERANCE, atol=1e-6):
        raise WeightsError("The schedule contradicts itself: 'alphas_cumprod' does not follow from 'betas'.", remedy)
    return {"num_timesteps": betas.numel(), "beta_start": start, "beta_end": end}


def _as_written(value: float) -> float:
    """The short number that a float32 came from."""
    return float(f"{value:.6g}")


def _decoder_kind(state: State) -> dict[str, Any]:
    last = f"{_DECODER}upsampler.fuse.0.weight"
    if last in state:
        return {"decoder": "continuous", "upsampler_channels": _side(state, last)}
    names = (f"{_DECODER}upsampler.{number}.weight" for number in _numbers(state, r".*\.upsampler\.(\d+)\.weight$"))
    convolutions = [name for name in names if name in state and state[name].ndim == 4]
    if len(convolutions) < 2:
        raise WeightsError("The weights hold no decoder's upsampler.", "Fetch them again.")
    return {"decoder": "fixed", "fixed_scale": 1 << (len(convolutions) - 1)}


def _distillation_counts(state: State) -> list[int]:
    chains = _numbers(state, rf"{re.escape(_DECODER)}FRUList\.(\d+)\.")
    return [len(_numbers(state, rf"{re.escape(_DECODER)}FRUList\.{chain}\.IMDB\.(\d+)\.")) for chain in chains]


def _denoiser(state: State) -> dict[str, Any]:
    """Walk down the U-Net: a list of steps, in which a convolution that halves the size ends each level."""
    width = _side(state, f"{DENOISER_PREFIX}input_blocks.0.0.weight")
    widths: list[list[int]] = [[]]
    attention: set[int] = set()
    for number in _numbers(state, rf"{re.escape(DENOISER_PREFIX)}input_blocks\.(\d+)\.")[1:]:
        step = f"{DENOISER_PREFIX}input_blocks.{number}"
        if f"{step}.0.op.weight" in state:
            widths.append([])
            continue
        widths[-1].append(_side(state, f"{step}.0.out_layers.0.weight"))
        if f"{step}.1.qkv.weight" in state:
            attention.add(1 << (len(widths) - 1))
    if not all(widths):
        raise WeightsError("The denoiser has a level without residual blocks.", "Fetch the weights again.")
    return {
        "denoiser_channels": width,
        "denoiser_multipliers": [max(1, level[-1] // width) for level in widths],
        "denoiser_num_res_blocks": len(widths[0]),
        "attention_resolutions": sorted(attention),
    }


def _numbers(state: State, pattern: str) -> list[int]:
    compiled = re.compile(pattern)
    found = (compiled.match(name) for name in state)
    return sorted({int(match.group(1)) for match in found if match})


def _stored(state: State, name: str) -> Tensor:
    if name not in state:
        raise WeightsError(f"The weights are incomplete: {name} is missing.", "Fetch them again.")
    return state[name]


def _side(state: State, name: str, axis: int = 0) -> int:
    shape = _stored(state, name).shape
    if len(shape) <= axis or shape[axis] < 1:
        raise WeightsError(f"{name} has the shape {list(shape)}, which tells no width.", "Fetch the weights again.")
    return int(shape[axis])
