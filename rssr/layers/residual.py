"""Residual blocks of the U-Nets and the Stable Diffusion autoencoder."""

from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.design import BlockDesign
from rssr.layers.separable import DirectionSeparableConv, FrequencySeparableConv


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, plus the input; no time embedding.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; a 1×1 convolution carries the input over where they differ.
        design: Which convolutions to use, and the groups of the norms.
        eps: Numerical safety of the norms: 1e-5 in U-Nets, 1e-6 in autoencoders.
    """

    def __init__(self, in_channels: int, out_channels: int, design: BlockDesign, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(design.norm_num_groups, in_channels, eps=eps)
        self.conv1 = _first_conv(in_channels, out_channels, design)
        self.norm2 = nn.GroupNorm(design.norm_num_groups, out_channels, eps=eps)
        self.conv2 = _second_conv(out_channels, design)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        out: Tensor = hidden + self.conv_shortcut(x)
        return out


def _first_conv(in_channels: int, out_channels: int, design: BlockDesign) -> nn.Module:
    if design.first_conv == "fsc":
        return FrequencySeparableConv(in_channels, out_channels, design.fsc_rate)
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def _second_conv(channels: int, design: BlockDesign) -> nn.Module:
    if design.second_conv == "dsc":
        return DirectionSeparableConv(channels, channels, design.dsc_rate)
    return nn.Conv2d(channels, channels, 3, padding=1)
