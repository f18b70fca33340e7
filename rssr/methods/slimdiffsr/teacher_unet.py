"""The teacher's UNet with a map of timesteps (SlimDiffSR, section 3.2.2), and its levels for distillation.

The UNet is diffusers' own. Only the walk over its blocks is written here, because a timestep that differs from place
to place enters each residual block as a map instead of a vector. For a constant map the result equals diffusers' own
forward.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rssr.errors import ModelError
from rssr.weights.base import Component

_RETAINED_LEVELS = 2  # of the pruned student (section 3.3.2)


def predict_noise(
    unet: Component, noisy_latent: Tensor, timestep: Tensor, prompt: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a UNet2DConditionModel with a timestep per latent position.

    Args:
        unet: diffusers' network.
        noisy_latent: [B, 4, h, w].
        timestep: [B, 1, h, w].
        prompt: [B, tokens, width].

    Returns:
        The predicted noise, and the level outputs that students are compared with: `down0` (after its downsampling),
        `down1` (before it), `mid` (the 1/2-size output of the deep levels), `up0` and `up1`, which the pruned student
        retains; and those that it gives up, `deep_down1` (after its downsampling), `deep_down2`, ..., `deep_mid`,
        `deep_up0`, ...
    """
    time = _TimeMap(unet, timestep)
    hidden = unet.conv_in(noisy_latent)
    skips = [hidden]
    features: dict[str, Tensor] = {}
    for level, block in enumerate(unet.down_blocks):
        hidden = _run_down(block, hidden, time, prompt, skips)
        if level == 1:
            features["down1"] = hidden
        for downsampler in block.downsamplers or ():
            hidden = downsampler(hidden)
            skips.append(hidden)
        features[_down_name(level)] = hidden
    hidden = features["deep_mid"] = _run_mid(unet.mid_block, hidden, time, prompt)
    for level, block in enumerate(unet.up_blocks):
        hidden = _run_up(block, hidden, time, prompt, skips)
        features[_up_name(level, len(unet.up_blocks))] = hidden
    hidden = unet.conv_act(unet.conv_norm_out(hidden))
    return unet.conv_out(hidden), features


def feature_widths(unet: Component) -> dict[str, int]:
    """Channels of every level output of `predict_noise`, by name."""
    widths = tuple(unet.config.block_out_channels)
    depth = len(widths)
    found = {_down_name(level): width for level, width in enumerate(widths)}
    found |= {_up_name(level, depth): width for level, width in enumerate(reversed(widths))}
    return {**found, "down1": widths[1], "deep_mid": widths[-1]}


def taught_levels(num_student_levels: int, num_teacher_levels: int) -> dict[str, str]:
    """Which output of `predict_noise` each level of a student is compared with, by the student's level names.

    A student of two levels is the pruned one, whose middle stands for all deep levels; one of the teacher's own depth
    is compared level by level.

    Raises:
        ModelError: The student has another depth.
    """
    if num_student_levels == _RETAINED_LEVELS:
        return {name: name for name in ("down0", "down1", "mid", "up0", "up1")}
    if num_student_levels != num_teacher_levels:
        raise ModelError(
            f"A student of {num_student_levels} levels cannot be compared with a teacher of {num_teacher_levels}.",
            f"Give it {_RETAINED_LEVELS} or {num_teacher_levels}.",
        )
    down = {f"down{level}": _down_name(level) for level in range(num_student_levels)}
    up = {f"up{level}": _up_name(level, num_teacher_levels) for level in range(num_student_levels)}
    return {**down, "mid": "deep_mid", **up}


def _down_name(level: int) -> str:
    """Name of a down level's output after its change of size, where it has one."""
    return "down0" if level == 0 else f"deep_down{level}"


def _up_name(level: int, depth: int) -> str:
    """Name of an up level's output, deepest first; the last deep one is the middle to the student."""
    num_deep = depth - _RETAINED_LEVELS
    if level < num_deep - 1:
        return f"deep_up{level}"
    return "mid" if level < num_deep else f"up{level - num_deep}"


class _TimeMap:
    """The time embedding as a map, pooled once to each resolution that asks for it."""

    def __init__(self, unet: Component, timestep: Tensor) -> None:
        batch, _, height, width = timestep.shape
        flat = unet.time_proj(timestep.reshape(-1)).to(timestep.dtype)
        embedding = unet.time_embedding(flat).reshape(batch, height, width, -1)
        self._finest = embedding.permute(0, 3, 1, 2)
        self._pooled: dict[tuple[int, int], Tensor] = {}

    def at(self, size: tuple[int, int]) -> Tensor:
        """[B, h, w, D] for a block of this size."""
        if size not in self._pooled:
            self._pooled[size] = F.adaptive_avg_pool2d(self._finest, size).permute(0, 2, 3, 1)
        return self._pooled[size]


def _run_down(block: Component, hidden: Tensor, time: _TimeMap, prompt: Tensor, skips: list[Tensor]) -> Tensor:
    attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
    for resnet, attention in zip(block.resnets, attentions, strict=True):
        hidden = _attend(attention, _resnet(resnet, hidden, time), prompt)
        skips.append(hidden)
    return hidden


def _run_mid(block: Component, hidden: Tensor, time: _TimeMap, prompt: Tensor) -> Tensor:
    hidden = _resnet(block.resnets[0], hidden, time)
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        hidden = _resnet(resnet, _attend(attention, hidden, prompt), time)
    return hidden


def _run_up(block: Component, hidden: Tensor, time: _TimeMap, prompt: Tensor, skips: list[Tensor]) -> Tensor:
    attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
    for resnet, attention in zip(block.resnets, attentions, strict=True):
        hidden = torch.cat([hidden, skips.pop()], dim=1)
        hidden = _attend(attention, _resnet(resnet, hidden, time), prompt)
    for upsampler in block.upsamplers or ():
        # Odd sizes: downsampling rounded up, so the skip and not a plain doubling gives the size.
        hidden = upsampler(hidden, tuple(skips[-1].shape[-2:]))
    return hidden


def _resnet(block: Component, hidden: Tensor, time: _TimeMap) -> Tensor:
    residual = hidden
    hidden = block.conv1(block.nonlinearity(block.norm1(hidden)))
    embedding = time.at((hidden.shape[-2], hidden.shape[-1]))
    shift = block.time_emb_proj(block.nonlinearity(embedding))
    hidden = hidden + shift.permute(0, 3, 1, 2)
    hidden = block.conv2(block.dropout(block.nonlinearity(block.norm2(hidden))))
    if block.conv_shortcut is not None:
        residual = block.conv_shortcut(residual)
    total: Tensor = (residual + hidden) / block.output_scale_factor
    return total


def _attend(attention: Component, hidden: Tensor, prompt: Tensor) -> Tensor:
    if attention is None:
        return hidden
    attended: Tensor = attention(hidden, encoder_hidden_states=prompt, return_dict=False)[0]
    return attended
