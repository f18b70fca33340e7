"""Information distillation: the convolutional blocks of LDCSR's and LCMSR's decoders.

Source: measured facts about the published networks (conformance notes, section 5, "Distillation block" and "FRU").
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SLOPE = 0.05
_GATE_REDUCTION = 16
_NUM_PARTS = 4  # a block keeps a quarter of its channels four times


class ContrastGate(nn.Module):
    """Weights channels by what their contrast (population deviation) plus average says.

    Args:
        channels: Channels in and out; the hidden width is a sixteenth, at least 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // _GATE_REDUCTION)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        # A constant channel has contrast 0, where a bare root has an infinite slope: held away from it by less than
        # float32 resolves beside any mean.
        statistics = torch.sqrt(variance.clamp_min(torch.finfo(torch.float32).tiny)) + mean
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(statistics))))


class DistillationBlock(nn.Module):
    """Three convolutions that each hand a quarter of their channels straight to the end, a fourth, and a gate.

    Args:
        channels: Channels in and out, a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_kept = channels // _NUM_PARTS
        passed = channels - self.num_kept
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(passed, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(passed, channels, 3, padding=1)
        self.conv4 = nn.Conv2d(passed, self.num_kept, 3, padding=1)
        self.gate = ContrastGate(channels)
        self.fuse = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        kept = []
        passed = x
        for conv in (self.conv1, self.conv2, self.conv3):
            features = F.leaky_relu(conv(passed), _SLOPE)
            kept.append(features[:, : self.num_kept])
            passed = features[:, self.num_kept :]
        kept.append(self.conv4(passed))
        out: Tensor = self.fuse(self.gate(torch.cat(kept, dim=1))) + x
        return out


class DistillationChain(nn.Module):
    """Distillation blocks one after another, whose outputs are all collected, plus the input.

    Args:
        channels: Channels in and out, a multiple of 4.
        num_blocks: Blocks, at least 1.
    """

    def __init__(self, channels: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([DistillationBlock(channels) for _ in range(num_blocks)])
        self.fuse = nn.Conv2d(num_blocks * channels, channels, 1)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        features, collected = x, []
        for block in self.blocks:
            features = block(features)
            collected.append(features)
        out: Tensor = self.conv_out(F.leaky_relu(self.fuse(torch.cat(collected, dim=1)), _SLOPE)) + x
        return out
