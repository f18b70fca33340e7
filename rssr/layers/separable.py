"""The two cheap convolutions of SlimDiffSR's residual blocks.

Source: SlimDiffSR, section 3.4 (frequency- and direction-separable convolution). Kernel order, the activation
inside FSC and the missing one inside DSC follow the released checkpoints, whose key names the attributes keep.
"""

import torch
from torch import Tensor, nn

_FSC_GATE_CHANNELS = 8  # the released networks use 8 at every width
_DSC_GATE_REDUCTION = 8


class FrequencySeparableConv(nn.Module):
    """Weighs a smooth and a detail branch by image-wide gates, then mixes channels through a bottleneck.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        rate: Bottleneck width as a share of `in_channels`, rounded down.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: float = 0.25) -> None:
        super().__init__()
        hidden = bottleneck_channels(in_channels, rate)
        self.low_branch = nn.Sequential(_depthwise(in_channels, (3, 3)))
        self.high_branch = nn.Sequential(_depthwise(in_channels, (3, 3)))
        self.mlp = _gates(in_channels, _FSC_GATE_CHANNELS, num_gates=2)
        self.bottleneck = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        low = self.low_branch(x)
        high = self.high_branch(x - low)
        low_gate, high_gate = apply_gates(self.mlp, x)
        mixed: Tensor = self.bottleneck(low_gate * low + high_gate * high)
        return mixed


class DirectionSeparableConv(nn.Module):
    """Sums a vertical, a horizontal and a composed line filter under image-wide gates, then mixes channels.

    Both line filters serve twice: alone, and composed one after the other.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        rate: Bottleneck width as a share of `in_channels`, rounded down.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: float = 0.25) -> None:
        super().__init__()
        hidden = bottleneck_channels(in_channels, rate)
        self.h_conv = nn.Sequential(_depthwise(in_channels, (3, 1)))  # 3 high, 1 wide, as in the checkpoints
        self.v_conv = nn.Sequential(_depthwise(in_channels, (1, 3)))
        self.mlp = _gates(in_channels, max(1, in_channels // _DSC_GATE_REDUCTION), num_gates=3)
        self.conv_reduce = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.conv_expand = nn.Conv2d(hidden, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        column_gate, composed_gate, row_gate = apply_gates(self.mlp, x)
        column = self.h_conv(x)
        fused = column_gate * column + composed_gate * self.v_conv(column) + row_gate * self.v_conv(x)
        mixed: Tensor = self.conv_expand(self.conv_reduce(fused))
        return mixed


def bottleneck_channels(in_channels: int, rate: float) -> int:
    """Width between the two 1×1 convolutions, at least 1."""
    return max(1, int(in_channels * rate))


def _depthwise(channels: int, kernel: tuple[int, int]) -> nn.Conv2d:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels, bias=False)


def _gates(in_channels: int, hidden: int, num_gates: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, num_gates), nn.Sigmoid()
    )


def apply_gates(mlp: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Image-wide gates of a map [B, C, H, W], each [B, 1, 1, 1] in (0, 1)."""
    gates: Tensor = mlp(x.mean(dim=(2, 3)))
    return torch.unbind(gates[:, :, None, None, None], dim=1)  # each [B, 1, 1, 1]
