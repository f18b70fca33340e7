"""Blocks of U-Nets that are told numbers (timestep, scale, size) through an embedding.

Source: measured facts about the published networks (conformance notes, section 5, "Denoiser").
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LONGEST_PERIOD = 10000.0
_EPS = 1e-5


def sinusoidal_embedding(values: Tensor, channels: int) -> Tensor:
    """Cosines, then sines, of the values at frequencies falling geometrically from 1 to almost 1/10000.

    Args:
        values: [B], any type.
        channels: Even.

    Returns:
        float32 [B, channels].
    """
    half = channels // 2
    # The order of operations is that of the usual float32 code: at angles of some hundred turns it shows.
    exponents = -math.log(_LONGEST_PERIOD) * torch.arange(half, dtype=torch.float32, device=values.device) / half
    angles = values.float()[:, None] * exponents.exp()
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class NumberEmbedding(nn.Sequential):
    """A number a image, as a vector: its sinusoids through two linear layers.

    Args:
        channels: Sinusoids, even.
        embedding_channels: Length of the vector.
    """

    def __init__(self, channels: int, embedding_channels: int) -> None:
        super().__init__(
            nn.Linear(channels, embedding_channels), nn.SiLU(), nn.Linear(embedding_channels, embedding_channels)
        )
        self.channels = channels

    def forward(self, values: Tensor) -> Tensor:
        """Map numbers [B] to [B, embedding_channels]."""
        weight = self[0].get_parameter("weight")
        features = sinusoidal_embedding(values, self.channels).to(weight.dtype)
        for layer in self:
            features = layer(features)
        return features


class EmbeddedResidualBlock(nn.Module):
    """GroupNorm, SiLU, convolution, plus the embedding; GroupNorm, SiLU, convolution, plus the input.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; a 1x1 convolution carries the input over where they differ.
        embedding_channels: Length of the embedding.
        norm_num_groups: Groups of both norms.
    """

    def __init__(self, in_channels: int, out_channels: int, embedding_channels: int, norm_num_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_num_groups, in_channels, eps=_EPS)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.project = nn.Linear(embedding_channels, out_channels)
        self.norm2 = nn.GroupNorm(norm_num_groups, out_channels, eps=_EPS)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] and an embedding [B, E] to [B, out_channels, H, W]."""
        hidden = self.conv1(F.silu(self.norm1(x))) + self.project(F.silu(embedding))[:, :, None, None]
        out: Tensor = self.conv2(F.silu(self.norm2(hidden))) + self.conv_shortcut(x)
        return out


class MapAttention(nn.Module):
    """Multi-head self-attention between all positions of a map, plus the input.

    Queries, keys and values come from one projection, ordered head by head.

    Args:
        channels: Channels in and out.
        head_channels: Width of one head; must divide `channels`.
        norm_num_groups: Groups of the norm.
    """

    def __init__(self, channels: int, head_channels: int, norm_num_groups: int) -> None:
        super().__init__()
        self.head_channels = head_channels
        self.norm = nn.GroupNorm(norm_num_groups, channels, eps=_EPS)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        tokens = x.flatten(2)
        heads = self.qkv(self.norm(tokens)).unflatten(1, (-1, 3, self.head_channels)).transpose(3, 4)
        heads = heads.contiguous()  # else PyTorch takes the kernel whose memory grows with the square of the positions
        attended = F.scaled_dot_product_attention(heads[:, :, 0], heads[:, :, 1], heads[:, :, 2])
        out: Tensor = self.proj_out(attended.transpose(2, 3).flatten(1, 2))
        return x + out.view_as(x)
