"""Networks of SlimDiffSR: the one-step student and the teacher's two small predictors.

Source: SlimDiffSR, sections 3.2 to 3.4; order of operations and key names as in the released student checkpoints,
without the 2.08 million parameters there that no forward pass reads.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.errors import ModelError
from rssr.layers.resampling import with_broad_colors_of
from rssr.layers.tiny_autoencoder import TinyAutoencoder
from rssr.methods.slimdiffsr.architecture import LATENT_CHANNELS, SlimDiffSRArchitecture
from rssr.models.architecture import plain_architecture, read_architecture
from rssr.models.autoencoder_kl import AutoencoderKL, AutoencoderVariant
from rssr.models.pruned_unet import PrunedUNet
from rssr.models.resolver import HOW_TO_GET_A_DEVIATION

# Network units: from a two-thousandth of the range of values, below any rounding to 8 bits, to the whole of it.
LOG_VARIANCE_RANGE = (2 * math.log(1e-3), 2 * math.log(2.0))
# Above what a trained student's errors come to: where a deviation starts too small, the first steps' gradients are so
# large that Adam's average of their squares slows all later ones.
_FIRST_DEVIATION = 0.25


class StudentFeatures(NamedTuple):
    """What distillation compares.

    Attributes:
        image: SR image [B, bands, H, W], about [-1, 1], not clamped.
        levels: Output of every U-Net level by name: down0, down1, ..., mid, up0 (deepest), up1, ...
        latent: What enters the decoder, [B, taesd_channels, H/8, W/8] (4 channels where nothing is fused).
    """

    image: Tensor
    levels: dict[str, Tensor]
    latent: Tensor


class SlimDiffSR(nn.Module):
    """The student: one deterministic pass from the bicubically enlarged LR image to the SR image.

    Args:
        **architecture: Values of `SlimDiffSRArchitecture`; the published student by default.

    Raises:
        ModelError: On unknown or contradicting values.
    """

    def __init__(self, **architecture: object) -> None:
        super().__init__()
        values = read_architecture(SlimDiffSRArchitecture, architecture)
        self.values = values
        fused = values.autoencoder == "fused"
        self.vae = _autoencoder(values)
        self.unet = PrunedUNet(values.unet_shape, values, None if fused else LATENT_CHANNELS)
        code, width = values.taesd_channels, values.block_channels[0]
        self.merge_conv1 = nn.Conv2d(code, width, 3, padding=1) if fused else nn.Identity()
        self.merge_conv2 = nn.Conv2d(width, code, 3, padding=1) if fused else nn.Identity()
        self.deviation_head = DeviationHead(values) if values.deviation_channels > 0 else None

    @property
    def architecture(self) -> dict[str, Any]:
        """All values as a model folder stores them; `SlimDiffSR(**architecture)` builds the same network."""
        return plain_architecture(self.values)

    @property
    def block_channels(self) -> tuple[int, ...]:
        """Width of each U-Net level, full size first."""
        return self.values.block_channels

    @property
    def mid_channels(self) -> int:
        """Width of the U-Net's middle."""
        return self.values.mid_channels

    @property
    def level_channels(self) -> dict[str, int]:
        """Width of every U-Net level's output, by the names of `StudentFeatures.levels`."""
        widths = self.values.block_channels
        down = {f"down{level}": width for level, width in enumerate(widths)}
        up = {f"up{level}": width for level, width in enumerate(reversed(widths))}
        return {**down, "mid": self.values.mid_channels, **up}

    def start_at_input(self) -> None:
        """Make a new student with `skip: image` give the enlarged LR image, which it then learns to add to."""
        _zeroed(self.vae.last_conv)

    @property
    def stride(self) -> int:
        """Heights and widths of inputs must be multiples of this (16 as published)."""
        return self.values.stride

    def attach_deviation_head(self, channels: int) -> None:
        """Give the student a new deviation head of this width, in place of one that it may have.

        Its new architecture says so; its images stay as they are.
        """
        self.values = replace(self.values, deviation_channels=channels, deviation_factor=1.0)
        self.deviation_head = DeviationHead(self.values)

    def forward(self, x: Tensor) -> Tensor:
        """Super-resolve.

        Args:
            x: LR images at the target size, [B, bands, H, W] in [-1, 1], H and W multiples of `stride`.

        Returns:
            SR images [B, bands, H, W], about [-1, 1], not clamped.
        """
        return self.forward_features(x).image

    def forward_with_deviation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with how far the SR image is expected to be off.

        Returns:
            SR images and their deviations, both [B, bands, H, W], in network units: one is half the range of values.
            A deviation is the half-width that holds 68 % of errors; where `deviation_factor` is 1, as it was before
            there was such a value, the root of the expected squared error.

        Raises:
            ModelError: Where the student has no deviation head.
        """
        if self.deviation_head is None:
            raise ModelError("This SlimDiffSR model has no deviation head.", HOW_TO_GET_A_DEVIATION)
        features = self.forward_features(x)
        return features.image, self.values.deviation_factor * (0.5 * self.deviation_head(features.latent)).exp()

    def forward_features(self, x: Tensor) -> StudentFeatures:
        """As `forward`, with the outputs of all levels."""
        if x.shape[1] != self.values.bands:
            raise ModelError(
                f"SlimDiffSR got images of {x.shape[1]} bands, but this network takes {self.values.bands}.",
                "Give the bands it was trained on, or choose a model for these bands.",
            )
        if x.shape[2] % self.stride or x.shape[3] % self.stride:
            raise ModelError(
                f"SlimDiffSR got an image of {x.shape[2]} x {x.shape[3]} pixels.",
                f"Pad both sides to multiples of {self.stride}, as SlimDiffSRResolver does.",
            )
        features, levels = self.unet(self.merge_conv1(self.vae.encode(x)))
        latent: Tensor = self.merge_conv2(features)
        image: Tensor = self.vae.decode(latent)
        if self.values.skip == "image":
            image = image + x
        elif self.values.skip == "colors":
            image = with_broad_colors_of(image, x)
        return StudentFeatures(image, levels, latent)


class DeviationHead(nn.Module):
    """Log-variance of the SR image's error for every pixel and band, from what enters the student's decoder.

    Three convolutions at the latent's size and a bilinear enlargement: values for single pixels, each from its own
    weights, fit no better and show as a grid. Not part of the paper, whose uncertainty estimator lives in the
    autoencoder's latent and ends with the teacher.

    Args:
        values: Of the student it belongs to; `deviation_channels` is its width.
    """

    def __init__(self, values: SlimDiffSRArchitecture) -> None:
        super().__init__()
        width = values.deviation_channels
        self.latent_stride = values.latent_stride
        self.body = nn.Sequential(
            nn.Conv2d(values.latent_channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.out = _zeroed(nn.Conv2d(width, values.bands, 3, padding=1))
        low, high = LOG_VARIANCE_RANGE
        share = (2 * math.log(_FIRST_DEVIATION) - low) / (high - low)
        with torch.no_grad():
            self.out.get_parameter("bias").fill_(math.log(share / (1 - share)))

    def forward(self, latent: Tensor) -> Tensor:
        """Map latents [B, C, h, w] to float32 log-variances [B, bands, H, W], within `LOG_VARIANCE_RANGE`."""
        low, high = LOG_VARIANCE_RANGE
        logits = self.out(self.body(latent)).float()
        enlarged = F.interpolate(logits, scale_factor=float(self.latent_stride), mode="bilinear", align_corners=False)
        return low + (high - low) * torch.sigmoid(enlarged)


class UncertaintyEstimator(nn.Module):
    """Mean and log-variance of the HR latent, given the LR latent (section 3.2.1).

    A plain residual network of our own choosing, since the paper gives none. It starts at z_mean = z_lr and unit
    variance, the first of which is the best constant guess there is.

    Args:
        latent_channels: Channels of the latent.
        channels: Width.
        num_blocks: Residual blocks.
    """

    def __init__(self, latent_channels: int = LATENT_CHANNELS, channels: int = 64, num_blocks: int = 16) -> None:
        super().__init__()
        self.body = _ResidualBody(latent_channels, channels, num_blocks)
        self.head = _zeroed(nn.Conv2d(channels, 2 * latent_channels, 3, padding=1))

    def forward(self, z_lr: Tensor) -> tuple[Tensor, Tensor]:
        """Map z_lr [B, C, h, w] to (z_mean, log_var), both like z_lr; log_var is ln z_var, unbounded."""
        correction, log_var = self.head(self.body(z_lr)).chunk(2, dim=1)
        return z_lr + correction, log_var


class NoiseLevelPredictor(nn.Module):
    """Logits of the noise level at which the teacher starts, from a latent and its variance (Eq. 6).

    It starts with a constant map; whoever uses it bounds the logits to the schedule's range.

    Args:
        latent_channels: Channels of the latent.
        channels: Width.
        num_blocks: Residual blocks.
    """

    def __init__(self, latent_channels: int = LATENT_CHANNELS, channels: int = 64, num_blocks: int = 4) -> None:
        super().__init__()
        self.body = _ResidualBody(2 * latent_channels, channels, num_blocks)
        self.head = _zeroed(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, z: Tensor, z_var: Tensor) -> Tensor:
        """Map latents and variances [B, C, h, w] to logits [B, 1, h, w]."""
        logits: Tensor = self.head(self.body(torch.cat([z, z_var], dim=1)))
        return logits


class _ResidualBody(nn.Module):
    """A convolution, then residual pairs of convolutions without norms, so that magnitudes survive."""

    def __init__(self, in_channels: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(channels, channels, 3, padding=1),
                    nn.ReLU(),
                    nn.Conv2d(channels, channels, 3, padding=1),
                )
                for _ in range(num_blocks)
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.blocks:
            x = x + block(x)
        return F.relu(x)


def _autoencoder(values: SlimDiffSRArchitecture) -> TinyAutoencoder | AutoencoderKL:
    if values.autoencoder == "vae":
        variant = AutoencoderVariant(values.vae_layers_per_block, values.vae_attention, values.vae_latent_scaling)
        return AutoencoderKL(values.bands, values.vae_channels, LATENT_CHANNELS, values.vae_num_groups, variant)
    return TinyAutoencoder(
        values.bands,
        values.taesd_channels,
        values.num_encoder_blocks,
        values.num_decoder_blocks,
        None if values.autoencoder == "fused" else LATENT_CHANNELS,
    )


def _zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
