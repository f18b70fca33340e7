"""ESRGAN's generator, to compare speeds with: residual-in-residual dense blocks at the LR size.

Source: "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", section 3.1, with the published sizes for
a scale of 4: 64 channels, 23 blocks, growth 32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.resampling import Upsample

_RESIDUAL_SCALING = 0.2
_SLOPE = 0.2


class RRDB(nn.Module):
    """LR image to SR image of four times its size, 16.7 million parameters as published.

    Args:
        channels: Width of the trunk.
        num_blocks: Residual-in-residual dense blocks.
        growth: Channels that each convolution of a dense block adds.
    """

    def __init__(self, channels: int = 64, num_blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.conv_first = _conv(3, channels)
        self.trunk = nn.Sequential(*(_Block(channels, growth) for _ in range(num_blocks)), _conv(channels, channels))
        self.doublings = nn.ModuleList([Upsample(channels), Upsample(channels)])
        self.conv_hr = _conv(channels, channels)
        self.conv_last = _conv(channels, 3)

    def forward(self, lr: Tensor) -> Tensor:
        """Map [B, 3, h, w] to [B, 3, 4h, 4w]."""
        hidden = self.conv_first(lr)
        hidden = hidden + self.trunk(hidden)
        for doubling in self.doublings:
            hidden = F.leaky_relu(doubling(hidden), _SLOPE)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(hidden), _SLOPE))
        return out


class _Block(nn.Module):
    """Three dense blocks, their sum scaled and added to the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(_DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + _RESIDUAL_SCALING * self.dense(x)
        return out


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees all outputs before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        widths = [growth] * 4 + [channels]
        self.convs = nn.ModuleList([_conv(channels + i * growth, width) for i, width in enumerate(widths)])

    def forward(self, x: Tensor) -> Tensor:
        found = x
        for conv in self.convs[:-1]:
            found = torch.cat([found, F.leaky_relu(conv(found), _SLOPE)], dim=1)
        out: Tensor = x + _RESIDUAL_SCALING * self.convs[-1](found)
        return out


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
