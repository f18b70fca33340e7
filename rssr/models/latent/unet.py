"""The denoiser of LDCSR and LCMSR: a small U-Net over latents that is told timestep, scale and output height.

Source: measured facts about the published networks (conformance notes, section 5, "Denoiser").
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.embedded import EmbeddedResidualBlock, MapAttention, NumberEmbedding
from rssr.layers.resampling import Downsample, Upsample, pad_to_multiple

_EMBEDDING_EXPANSION = 4


@dataclass(frozen=True)
class LatentUNetShape:
    """Depth and widths of the denoiser.

    Attributes:
        latent_channels: Channels of latent and condition.
        channels: Width of the first convolution, even.
        multipliers: Widths of the levels, times `channels`.
        num_res_blocks: Residual blocks of a down level; up levels have one more.
        attention_resolutions: Downsampling factors with attention.
        head_channels: Width of one head.
        norm_num_groups: Groups of every GroupNorm.
    """

    latent_channels: int = 4
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2, 4)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (8,)
    head_channels: int = 32
    norm_num_groups: int = 32

    @property
    def embedding_channels(self) -> int:
        """Length of the embedding of timestep, scale and height."""
        return _EMBEDDING_EXPANSION * self.channels

    def residual(self, in_channels: int, out_channels: int) -> EmbeddedResidualBlock:
        """A residual block of this network."""
        return EmbeddedResidualBlock(in_channels, out_channels, self.embedding_channels, self.norm_num_groups)

    def attention(self, channels: int, level: int | None = None) -> MapAttention | None:
        """Attention where there is one at this level; the middle, which has no level, always has."""
        if level is not None and 1 << level not in self.attention_resolutions:
            return None
        return MapAttention(channels, self.head_channels, self.norm_num_groups)


class LatentUNet(nn.Module):
    """Predicts noise, or the clean latent, from a noisy latent and the condition.

    Args:
        shape: Depth and widths.
    """

    def __init__(self, shape: LatentUNetShape) -> None:
        super().__init__()
        self.stride = 1 << (len(shape.multipliers) - 1)
        width, length = shape.channels, shape.embedding_channels
        self.time_embedding = NumberEmbedding(width, length)
        self.scale_embedding = NumberEmbedding(width, length)
        self.height_embedding = NumberEmbedding(width, length)
        self.conv_in = nn.Conv2d(2 * shape.latent_channels, width, 3, padding=1)
        self.down, skips = _down_steps(shape)
        deepest = skips[-1]
        self.mid_block1 = shape.residual(deepest, deepest)
        self.mid_attention = cast(MapAttention, shape.attention(deepest))
        self.mid_block2 = shape.residual(deepest, deepest)
        self.up = _up_steps(shape, skips)
        last = width * shape.multipliers[0]
        self.norm_out = nn.GroupNorm(shape.norm_num_groups, last, eps=1e-5)
        self.conv_out = nn.Conv2d(last, shape.latent_channels, 3, padding=1)

    def forward(
        self, noisy_latent: Tensor, condition: Tensor, timestep: Tensor, scale: Tensor, output_height: Tensor
    ) -> Tensor:
        """Predict.

        Args:
            noisy_latent: [B, C, h, w], any size of at least 1x1.
            condition: Like `noisy_latent`.
            timestep: [B].
            scale: [B], as it shall be embedded.
            output_height: [B], pixels of the HR image.

        Returns:
            Like `noisy_latent`.
        """
        height, width = noisy_latent.shape[2:]
        embedding = self.embed(timestep, scale, output_height)
        x = self.conv_in(pad_to_multiple(torch.cat([noisy_latent, condition], dim=1), self.stride))
        skips = [x]
        for step in self.down:
            x = step(x, embedding)
            skips.append(x)
        x = self.mid_block2(self.mid_attention(self.mid_block1(x, embedding)), embedding)
        for step in self.up:
            x = step(torch.cat([x, skips.pop()], dim=1), embedding)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out[:, :, :height, :width]

    def embed(self, timestep: Tensor, scale: Tensor, output_height: Tensor) -> Tensor:
        """The embedding [B, E] of three numbers an image."""
        out: Tensor = self.time_embedding(timestep) + self.scale_embedding(scale) + self.height_embedding(output_height)
        return out


class UNetStep(nn.Module):
    """One step of a path: a residual block with or without attention, a change of size, or both.

    Args:
        residual: The residual block; None where the step changes the size alone.
        attention: Attention after it, or None.
        resize: Change of size at the end, or None.
    """

    def __init__(
        self,
        residual: EmbeddedResidualBlock | None,
        attention: MapAttention | None = None,
        resize: Downsample | Upsample | None = None,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.attention = attention
        self.resize = resize

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map [B, C, h, w] and an embedding [B, E] to the step's output."""
        if self.residual is not None:
            x = self.residual(x, embedding)
        if self.attention is not None:
            x = self.attention(x)
        return x if self.resize is None else self.resize(x)


def _down_steps(shape: LatentUNetShape) -> tuple[nn.ModuleList, list[int]]:
    """Steps from full size down, and the widths of everything that becomes a skip, the first convolution's first."""
    steps, skips = nn.ModuleList(), [shape.channels]
    for level, multiplier in enumerate(shape.multipliers):
        width = shape.channels * multiplier
        for _ in range(shape.num_res_blocks):
            steps.append(UNetStep(shape.residual(skips[-1], width), shape.attention(width, level)))
            skips.append(width)
        if level + 1 < len(shape.multipliers):
            steps.append(UNetStep(None, resize=Downsample(width)))
            skips.append(width)
    return steps, skips


def _up_steps(shape: LatentUNetShape, skips: list[int]) -> nn.ModuleList:
    steps, waiting, running = nn.ModuleList(), list(skips), skips[-1]
    for level, multiplier in reversed(list(enumerate(shape.multipliers))):
        width = shape.channels * multiplier
        for index in range(shape.num_res_blocks + 1):
            is_last = index == shape.num_res_blocks
            resize = Upsample(width) if is_last and level > 0 else None
            residual = shape.residual(running + waiting.pop(), width)
            steps.append(UNetStep(residual, shape.attention(width, level), resize))
            running = width
    return steps
