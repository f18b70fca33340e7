"""A U-Net of Stable Diffusion's layout without time, text or cross-attention, to any depth.

Source: SlimDiffSR, section 3.3 (semantics-aware pruning: the deepest levels give way to one residual block). Skips
are handed from level to level in the open, so the network is re-entrant and compiles without a break. Attribute
names are those of the released checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.design import BlockDesign
from rssr.layers.resampling import Downsample, Upsample
from rssr.layers.residual import ResidualBlock
from rssr.layers.transformer import TransformerBlock


@dataclass(frozen=True, slots=True)
class UNetShape:
    """Depth and widths.

    Attributes:
        block_channels: Width of each level, full size first.
        mid_channels: Width of the middle.
        layers_per_block: Residual blocks of a down level; up levels have one more.
        num_plain_levels: How many of the deepest levels go without transformer blocks.
        mid_block: `residual` (one block) or `attention` (residual, transformer, residual).
    """

    block_channels: tuple[int, ...]
    mid_channels: int
    layers_per_block: int
    num_plain_levels: int
    mid_block: str

    def has_attention(self, level: int) -> bool:
        """Whether a level (0 = full size) has transformer blocks."""
        return level < len(self.block_channels) - self.num_plain_levels

    def skip_channels(self) -> list[int]:
        """Widths of the skips in the order in which they are made."""
        skips = [self.block_channels[0]]
        for level, width in enumerate(self.block_channels):
            skips += [width] * self.layers_per_block
            if level < len(self.block_channels) - 1:
                skips.append(width)
        return skips

    def up_inputs(self) -> list[list[int]]:
        """Per up level, deepest first: the concatenated input width of each residual block."""
        skips, running, inputs = self.skip_channels(), self.mid_channels, []
        for width in reversed(self.block_channels):
            level_inputs = []
            for _ in range(self.layers_per_block + 1):
                level_inputs.append(running + skips.pop())
                running = width
            inputs.append(level_inputs)
        return inputs


class UNetOutput(NamedTuple):
    """Features before the last convolution and the output of every level.

    Attributes:
        features: Normalised and activated, [B, block_channels[0], h, w].
        levels: By name: down0, down1, ..., mid, up0 (deepest), up1, ...; a level's change of size is included.
    """

    features: Tensor
    levels: dict[str, Tensor]


class PrunedUNet(nn.Module):
    """Features or latents to features.

    Args:
        shape: Depth and widths.
        design: Choices of the blocks.
        latent_channels: Channels of the latent that enters and leaves; None leaves out both convolutions, and
            [B, block_channels[0], h, w] enters and leaves.
    """

    def __init__(self, shape: UNetShape, design: BlockDesign, latent_channels: int | None = None) -> None:
        super().__init__()
        widths = shape.block_channels
        deepest = len(widths) - 1
        self.num_up_layers = shape.layers_per_block + 1
        self.conv_in = _conv(latent_channels, widths[0]) if latent_channels else nn.Identity()
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            inputs = [widths[max(0, level - 1)], *[width] * (shape.layers_per_block - 1)]
            down = _Level(inputs, width, shape.has_attention(level), design)
            down.downsamplers.extend([Downsample(width)] if level < deepest else [])
            self.down_blocks.append(down)
        middle = _ResidualMiddle if shape.mid_block == "residual" else _AttentionMiddle
        self.mid_block = middle(widths[-1], shape.mid_channels, design)
        self.up_blocks = nn.ModuleList()
        for level, inputs in zip(range(deepest, -1, -1), shape.up_inputs(), strict=True):
            up = _Level(inputs, widths[level], shape.has_attention(level), design)
            up.upsamplers.extend([Upsample(widths[level])] if level > 0 else [])
            self.up_blocks.append(up)
        self.conv_norm_out = nn.GroupNorm(design.norm_num_groups, widths[0], eps=1e-5)
        self.conv_out = _conv(widths[0], latent_channels) if latent_channels else nn.Identity()

    def forward(self, x: Tensor) -> UNetOutput:
        """Run all levels; height and width must be multiples of 2^(levels - 1)."""
        x = self.conv_in(x)
        skips, levels = [x], {}
        for index, down in enumerate(self.down_blocks):
            x, made = down(x, [])
            skips += made
            levels[f"down{index}"] = x
        x = levels["mid"] = self.mid_block(x)
        for index, up in enumerate(self.up_blocks):
            skips, used = skips[: -self.num_up_layers], skips[-self.num_up_layers :]
            x, _ = up(x, used[::-1])  # last made, first used
            levels[f"up{index}"] = x
        return UNetOutput(self.conv_out(F.silu(self.conv_norm_out(x))), levels)


class _Level(nn.Module):
    """Pairs of residual and transformer block, then a change of size where there is one.

    Every layer's output is handed out; up levels concatenate a skip to each residual block's input.
    """

    def __init__(self, inputs: Sequence[int], width: int, attention: bool, design: BlockDesign) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResidualBlock(channels, width, design) for channels in inputs])
        self.attentions = nn.ModuleList(
            [TransformerBlock(width, design) if attention else nn.Identity() for _ in inputs]
        )
        self.downsamplers = nn.ModuleList()
        self.upsamplers = nn.ModuleList()

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        made = []
        for index, (resnet, attention) in enumerate(zip(self.resnets, self.attentions, strict=True)):
            x = attention(resnet(torch.cat([x, skips[index]], dim=1) if skips else x))
            made.append(x)
        for resampler in (*self.downsamplers, *self.upsamplers):
            x = resampler(x)
            made.append(x)
        return x, made


class _ResidualMiddle(nn.Module):
    """One residual block in place of all deeper levels."""

    def __init__(self, in_channels: int, mid_channels: int, design: BlockDesign) -> None:
        super().__init__()
        self.mid_block = ResidualBlock(in_channels, mid_channels, design)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mid_block(x)
        return out


class _AttentionMiddle(nn.Module):
    """The unpruned middle: residual, transformer, residual."""

    def __init__(self, in_channels: int, mid_channels: int, design: BlockDesign) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([TransformerBlock(mid_channels, design)])
        first = ResidualBlock(in_channels, mid_channels, design)
        self.resnets = nn.ModuleList([first, ResidualBlock(mid_channels, mid_channels, design)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return out


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
