"""Stable Diffusion's autoencoder (AutoencoderKL), with its published key names.

Source: "High-Resolution Image Synthesis with Latent Diffusion Models", section 3.1; widths of Stable Diffusion 2.1
by default. SlimDiffSR's VAE ablation (Table 5) runs it, so it must build where diffusers is not installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.attention import SelfAttention, to_map, to_tokens
from rssr.layers.design import BlockDesign
from rssr.layers.resampling import Downsample, Upsample
from rssr.layers.residual import ResidualBlock

LATENT_SCALING = 0.18215  # unit deviation of Stable Diffusion's latents
_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class AutoencoderVariant:
    """What autoencoders of this layout may differ in besides their widths; Stable Diffusion's by default.

    Attributes:
        layers_per_block: Residual blocks of an encoder level; decoder levels have one more.
        has_attention: Whether the middles of encoder and decoder attend over all positions.
        latent_scaling: Factor that brings latents to unit deviation.
    """

    layers_per_block: int = 2
    has_attention: bool = True
    latent_scaling: float = LATENT_SCALING


class AutoencoderKL(nn.Module):
    """Image to scaled latent mean and back.

    Args:
        bands: Channels of the image.
        channels: Width of each level, full size first; each level but the last halves the size.
        latent_channels: Channels of the latent.
        norm_num_groups: Groups of every GroupNorm.
        variant: Depth, attention and scaling of the latent.
    """

    def __init__(
        self,
        bands: int = 3,
        channels: Sequence[int] = (128, 256, 512, 512),
        latent_channels: int = 4,
        norm_num_groups: int = 32,
        variant: AutoencoderVariant = AutoencoderVariant(),
    ) -> None:
        super().__init__()
        design = BlockDesign(norm_num_groups=norm_num_groups, first_conv="standard", second_conv="standard")
        self.latent_scaling = variant.latent_scaling
        self.encoder = _Encoder((bands, latent_channels), channels, design, variant)
        self.decoder = _Decoder((bands, latent_channels), channels, design, variant)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Scaled latent mean [B, latent_channels, H/8, W/8] of images [B, bands, H, W] in [-1, 1]."""
        mean, _ = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        scaled: Tensor = mean * self.latent_scaling
        return scaled

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution that gives the image."""
        return self.decoder.conv_out

    def decode(self, latent: Tensor) -> Tensor:
        """Images of scaled latents, about [-1, 1], not clamped."""
        image: Tensor = self.decoder(self.post_quant_conv(latent / self.latent_scaling))
        return image


class _Attention(SelfAttention):
    """Single-head self-attention over all positions of a map, added to the input."""

    def __init__(self, channels: int, norm_num_groups: int) -> None:
        super().__init__(channels, head_channels=channels, bias=True)
        self.group_norm = nn.GroupNorm(norm_num_groups, channels, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        attended = super().forward(to_tokens(self.group_norm(x)))
        return x + to_map(attended, x.shape[2], x.shape[3])


class _Middle(nn.Module):
    def __init__(self, channels: int, design: BlockDesign, has_attention: bool) -> None:
        super().__init__()
        attention = _Attention(channels, design.norm_num_groups) if has_attention else nn.Identity()
        self.attentions = nn.ModuleList([attention])
        self.resnets = nn.ModuleList([ResidualBlock(channels, channels, design, _EPS) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return out


class _Level(nn.Module):
    """Residual blocks, then a change of size (`downsamplers` or `upsamplers`, none where None)."""

    def __init__(self, widths: Sequence[int], design: BlockDesign) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResidualBlock(*pair, design, _EPS) for pair in pairwise(widths)])
        self.downsamplers = nn.ModuleList()
        self.upsamplers = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers, *self.upsamplers):
            x = layer(x)
        return x


class _Encoder(nn.Module):
    def __init__(
        self, ends: tuple[int, int], channels: Sequence[int], design: BlockDesign, variant: AutoencoderVariant
    ) -> None:
        super().__init__()
        bands, latent_channels = ends
        self.conv_in = nn.Conv2d(bands, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        before = channels[0]
        for position, width in enumerate(channels):
            level = _Level([before, *[width] * variant.layers_per_block], design)
            if position < len(channels) - 1:
                level.downsamplers.append(Downsample(width, symmetric=False))
            self.down_blocks.append(level)
            before = width
        self.mid_block = _Middle(before, design, variant.has_attention)
        self.conv_norm_out = nn.GroupNorm(design.norm_num_groups, before, eps=_EPS)
        self.conv_out = nn.Conv2d(before, 2 * latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        moments: Tensor = self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))
        return moments


class _Decoder(nn.Module):
    def __init__(
        self, ends: tuple[int, int], channels: Sequence[int], design: BlockDesign, variant: AutoencoderVariant
    ) -> None:
        super().__init__()
        bands, latent_channels = ends
        before = channels[-1]
        self.conv_in = nn.Conv2d(latent_channels, before, 3, padding=1)
        self.mid_block = _Middle(before, design, variant.has_attention)
        self.up_blocks = nn.ModuleList()
        for position, width in enumerate(reversed(channels)):
            level = _Level([before, *[width] * (variant.layers_per_block + 1)], design)
            if position < len(channels) - 1:
                level.upsamplers.append(Upsample(width))
            self.up_blocks.append(level)
            before = width
        self.conv_norm_out = nn.GroupNorm(design.norm_num_groups, before, eps=_EPS)
        self.conv_out = nn.Conv2d(before, bands, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(latent))
        for level in self.up_blocks:
            x = level(x)
        image: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return image
