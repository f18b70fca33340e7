"""Decoders of LDCSR and LCMSR: a latent and the LR image to the SR image, for any scale or for a fixed one.

Source: measured facts about the published networks (conformance notes, sections 5 and 6).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.errors import ModelError
from rssr.layers.distillation import DistillationChain
from rssr.models.latent.encoder import plain_residual
from rssr.models.latent.frame import Frame, enlarge

_STYLE_SLOPE = 0.01
_STYLE_EPS = 1e-8
_NUM_DOUBLINGS = 3  # features at 1, 2, 4 and 8 times the LR size
_WEIGHTING_CHANNELS = 64
_NUM_FUSING_CONVS = 5
_NUM_MIDDLE_BLOCKS = 2
_STRIP_VALUES = 1 << 24  # of one hidden map: 64 MiB in float32


@dataclass(frozen=True)
class DecoderShape:
    """Depth and widths of a decoder.

    Attributes:
        bands: Channels of LR and SR images.
        latent_channels: Channels of the latent.
        channels: Width, a multiple of 4.
        num_res_blocks: Residual blocks of a level of the embedding branch.
        num_distillation_blocks: Of each step of the SR branch; as many steps as levels.
        norm_num_groups: Groups of every GroupNorm.
        upsampler_channels: Width of the continuous decoder's last convolutions.
        latent_stride: SR pixels along one side of a latent position.
    """

    bands: int = 3
    latent_channels: int = 4
    channels: int = 64
    num_res_blocks: int = 2
    num_distillation_blocks: tuple[int, ...] = (12, 12, 12, 12)
    norm_num_groups: int = 32
    upsampler_channels: int = 256
    latent_stride: int = 8


class _Decoder(nn.Module):
    """What both decoders have: the embedding branch, the first convolution of the SR branch and its chains."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.latent_stride = shape.latent_stride
        width = shape.channels
        self.lr_conv = nn.Conv2d(shape.bands, width, 3, padding=1)
        self.chains = nn.ModuleList([DistillationChain(width, count) for count in shape.num_distillation_blocks])
        self.latent_conv = nn.Conv2d(shape.latent_channels, width, 3, padding=1)
        self.mid_blocks = nn.Sequential(
            *[plain_residual(width, width, shape.norm_num_groups) for _ in range(_NUM_MIDDLE_BLOCKS)]
        )
        self.levels = nn.ModuleList(
            [EmbeddingLevel(width, shape.num_res_blocks, shape.norm_num_groups) for _ in self.chains]
        )

    def _embeddings(self, latent: Tensor, lr_size: tuple[int, int], frame: Frame | None) -> list[Tensor]:
        """One map [B, channels, h, w] a step of the SR branch: the levels are run from the last to the first."""
        features = self.mid_blocks(self.latent_conv(latent))
        maps = []
        for level in reversed(self.levels):
            features, embedding = level(features)
            if frame is None:
                maps.append(F.interpolate(embedding, size=lr_size, mode="nearest"))
            else:
                maps.append(frame.latent_at_lr(embedding, lr_size, self.latent_stride))
        return maps


class EmbeddingLevel(nn.Module):
    """Residual blocks of one width, and what they hand to the SR branch."""

    def __init__(self, channels: int, num_res_blocks: int, norm_num_groups: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *[plain_residual(channels, channels, norm_num_groups) for _ in range(num_res_blocks)]
        )
        self.transfer = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, C, h', w'] to two of the same shape: for the next level, and for the SR branch."""
        features = self.blocks(features)
        return features, self.transfer(features)


class ScaleMixing(nn.Module):
    """Mixes SR features with an embedding; the scale decides, channel by channel, how much of each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.feature_share = nn.Linear(1, channels)
        self.embedding_share = nn.Linear(1, channels)

    def forward(self, features: Tensor, embedding: Tensor, scale: float) -> Tensor:
        """Map two [B, C, h, w] to one."""
        value = torch.full((1,), scale, dtype=features.dtype, device=features.device)
        feature_share, embedding_share = self.feature_share(value), self.embedding_share(value)
        norm = torch.rsqrt(feature_share**2 + embedding_share**2 + _STYLE_EPS)
        first, second = ((share * norm)[:, None, None] for share in (feature_share, embedding_share))
        return F.leaky_relu(features * first + embedding * second, _STYLE_SLOPE)


class ContinuousUpsampler(nn.Module):
    """Features at four sizes, brought to the output's size and weighed by what the scale says.

    Args:
        channels: Channels of the features.
        bands: Channels of the image.
        hidden: Width of the convolutions at full size.
    """

    def __init__(self, channels: int, bands: int, hidden: int) -> None:
        super().__init__()
        num_sizes = 1 + _NUM_DOUBLINGS
        self.weighting = nn.Sequential(
            nn.Linear(1, _WEIGHTING_CHANNELS), nn.ReLU(), nn.Linear(_WEIGHTING_CHANNELS, num_sizes), nn.Sigmoid()
        )
        self.doublings = nn.ModuleList([nn.Conv2d(channels, 4 * channels, 3, padding=1) for _ in range(_NUM_DOUBLINGS)])
        widths = [num_sizes * channels, *[hidden] * (_NUM_FUSING_CONVS - 1), bands]
        layers: list[nn.Module] = []
        for index in range(_NUM_FUSING_CONVS):
            layers += [nn.Conv2d(widths[index], widths[index + 1], 1), nn.ReLU()]
        self.fuse = nn.Sequential(*layers[:-1])

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution that gives the image."""
        conv = self.fuse[-1]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def forward(self, features: Tensor, output_size: tuple[int, int], frame: Frame | None) -> Tensor:
        """Map [B, channels, h, w] to [B, bands, H, W]."""
        inverse_scale = features.shape[2] / output_size[0] if frame is None else frame.step[0]
        value = torch.full((1,), inverse_scale, dtype=features.dtype, device=features.device)
        weights = self.weighting(value)
        sizes = [enlarge(features, output_size, "bilinear", frame) * weights[0]]
        for index, conv in enumerate(self.doublings):
            features = F.pixel_shuffle(conv(features), 2)
            finer = 2 << index
            sizes.append(enlarge(features, output_size, "bilinear", frame, finer) * weights[index + 1])
        return self._fused(sizes)

    def _fused(self, sizes: list[Tensor]) -> Tensor:
        """The last convolutions; without gradients by strips of rows, as nothing larger than these maps arises."""
        batch, _, height, width = sizes[0].shape
        rows = height
        if not torch.is_grad_enabled():
            rows = max(1, _STRIP_VALUES // (batch * width * self.last_conv.in_channels))
        strips = [
            self.fuse(torch.cat([part[:, :, first : first + rows] for part in sizes], dim=1))
            for first in range(0, height, rows)
        ]
        return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


class ContinuousDecoder(_Decoder):
    """Decoder for any scale.

    Args:
        shape: Depth and widths.
    """

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__(shape)
        self.mixings = nn.ModuleList([ScaleMixing(shape.channels) for _ in self.levels])
        self.upsampler = ContinuousUpsampler(shape.channels, shape.bands, shape.upsampler_channels)

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution that gives the image: where adversarial weights are balanced."""
        return self.upsampler.last_conv

    def forward(self, latent: Tensor, lr: Tensor, output_size: tuple[int, int], frame: Frame | None = None) -> Tensor:
        """Decode.

        Args:
            latent: [B, latent_channels, h', w'], after the post-quantisation convolution.
            lr: LR images [B, bands, h, w] in [-1, 1]; they may be of a finer type than the weights, and are enlarged in
                it.
            output_size: (H, W).
            frame: Where the output lies among the LR pixels; None: it covers them exactly, and so does the latent.

        Returns:
            SR images [B, bands, H, W], about [-1, 1], not clamped.
        """
        lr_size = lr.shape[2], lr.shape[3]
        scale = output_size[0] / lr_size[0] if frame is None else frame.scale
        features = self.lr_conv(lr.to(self.lr_conv.weight.dtype))
        maps = self._embeddings(latent, lr_size, frame)
        # Steps take embeddings in the order in which they arise, from the last level on.
        for chain, embedding, mixing in zip(self.chains, maps, reversed(self.mixings), strict=True):
            features = chain(mixing(features, embedding, scale))
        residual = self.upsampler(features, output_size, frame)
        out: Tensor = residual + enlarge(lr, output_size, "bicubic", frame)
        return out


class FixedScaleDecoder(_Decoder):
    """Decoder for one scale.

    Args:
        shape: Depth and widths.
        scale: A power of two.
    """

    def __init__(self, shape: DecoderShape, scale: int = 4) -> None:
        super().__init__(shape)
        self.scale = scale
        width = shape.channels
        layers: list[nn.Module] = []
        for _ in range(scale.bit_length() - 1):
            layers += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        self.upsampler = nn.Sequential(*layers, nn.PReLU(width), nn.Conv2d(width, shape.bands, 3, padding=1))

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution that gives the image: where adversarial weights are balanced."""
        conv = self.upsampler[-1]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def forward(self, latent: Tensor, lr: Tensor, output_size: tuple[int, int], frame: Frame | None = None) -> Tensor:
        """Decode; see `ContinuousDecoder.forward`.

        Raises:
            ModelError: The output size is not the decoder's scale times the LR size.
        """
        lr_size = lr.shape[2], lr.shape[3]
        if tuple(output_size) != (lr_size[0] * self.scale, lr_size[1] * self.scale):
            raise ModelError(
                f"An output of {output_size[0]} x {output_size[1]} pixels is not {self.scale} times the LR image's "
                f"{lr_size[0]} x {lr_size[1]}.",
                f"This network knows the scale {self.scale} alone; use it, or a model of continuous scale.",
            )
        features = self.lr_conv(lr.to(self.lr_conv.weight.dtype))
        for chain, embedding in zip(self.chains, self._embeddings(latent, lr_size, frame), strict=True):
            features = chain(features + embedding)
        out: Tensor = self.upsampler(features) + enlarge(lr, output_size, "bicubic", frame)
        return out
