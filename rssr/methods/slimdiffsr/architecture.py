"""Depth, widths and choices of a SlimDiffSR student, checked at birth."""

from collections.abc import Iterator
from dataclasses import dataclass

from rssr.errors import ModelError
from rssr.layers.design import BlockDesign
from rssr.models.autoencoder_kl import LATENT_SCALING
from rssr.models.pruned_unet import UNetShape

LATENT_CHANNELS = 4  # Stable Diffusion's; only the unfused ablations have such a latent

_CHOICES = {
    "first_conv": ("fsc", "standard"),
    "second_conv": ("dsc", "standard"),
    "attention": ("qgam", "standard"),
    "mid_block": ("residual", "attention"),
    "autoencoder": ("fused", "taesd", "vae"),
    "skip": ("none", "colors", "image"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlimDiffSRArchitecture(BlockDesign):
    """Values of the published student; its blocks' choices are inherited.

    Raises:
        ModelError: Where values contradict one another.
    """

    block_channels: tuple[int, ...] = (320, 640)
    """Width of each U-Net level, full size first."""
    mid_channels: int = 1280
    """Width of the U-Net's middle."""
    layers_per_block: int = 2
    """Residual blocks of a down level; up levels have one more."""
    num_plain_levels: int = 0
    """How many of the deepest levels go without transformer blocks (unpruned Stable Diffusion: 1)."""
    mid_block: str = "residual"
    """`residual`: one block in place of the deeper levels; `attention`: Stable Diffusion's middle."""
    autoencoder: str = "fused"
    """`fused`: TAESD joined to the U-Net by one convolution a side; `taesd`: TAESD whole; `vae`: AutoencoderKL."""
    taesd_channels: int = 64
    """Width of TAESD."""
    num_encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    """TAESD encoder blocks of each stage, full size first."""
    num_decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    """TAESD decoder blocks of each stage, smallest first."""
    vae_channels: tuple[int, ...] = (128, 256, 512, 512)
    """Widths of AutoencoderKL, full size first; used with `autoencoder: vae` alone, as the four values below."""
    vae_layers_per_block: int = 2
    """Residual blocks of an AutoencoderKL encoder level; decoder levels have one more."""
    vae_norm_num_groups: int | None = None
    """Groups of AutoencoderKL's GroupNorms; None takes the U-Net's."""
    vae_attention: bool = True
    """Whether AutoencoderKL's middles have attention."""
    vae_latent_scaling: float = LATENT_SCALING
    """Factor that brings AutoencoderKL's latents to unit deviation."""
    bands: int = 3
    """Channels of the images."""
    skip: str = "none"
    """What the SR image takes from the enlarged LR image: `none` (published); `colors`: what is broader than about 32
    pixels; `image`: all of it, so that the network gives the difference."""
    deviation_channels: int = 0
    """Width of the head that predicts how far the SR image may be off; 0: there is no head."""
    deviation_factor: float = 1.0
    """What the head's deviations are multiplied with to be the half-width that holds 68 % of errors."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ModelError(
                    f"The architecture value '{name}' is {getattr(self, name)!r}.", f"Use one of {', '.join(allowed)}."
                )
        if len(self.num_encoder_blocks) != len(self.num_decoder_blocks):
            raise ModelError("num_encoder_blocks and num_decoder_blocks differ in length.", "Give as many of each.")
        if not 0 <= self.num_plain_levels <= len(self.block_channels):
            raise ModelError(f"num_plain_levels {self.num_plain_levels} exceeds the number of levels.")
        for name in ("deviation_channels", "num_heads"):
            if getattr(self, name) < 0:
                raise ModelError(f"The architecture value '{name}' is {getattr(self, name)}.", "Give 0 or more.")
        if not self.deviation_factor > 0:
            raise ModelError(f"The architecture value 'deviation_factor' is {self.deviation_factor}.", "Give above 0.")
        for name, value in self._counts():
            if value < 1:
                raise ModelError(f"The architecture value '{name}' must be at least 1, got {value}.")
        self._check_divisibility()

    @property
    def unet_shape(self) -> UNetShape:
        """Depth and widths of the U-Net."""
        return UNetShape(
            self.block_channels, self.mid_channels, self.layers_per_block, self.num_plain_levels, self.mid_block
        )

    @property
    def vae_num_groups(self) -> int:
        """Groups of AutoencoderKL's GroupNorms."""
        return self.norm_num_groups if self.vae_norm_num_groups is None else self.vae_norm_num_groups

    @property
    def latent_stride(self) -> int:
        """Image pixels along one side of a latent position (8 as published)."""
        levels = self.vae_channels if self.autoencoder == "vae" else self.num_encoder_blocks
        return 1 << (len(levels) - 1)

    @property
    def latent_channels(self) -> int:
        """Channels of what enters the decoder: TAESD's width where it is fused, else the latent's."""
        return self.taesd_channels if self.autoencoder == "fused" else LATENT_CHANNELS

    @property
    def stride(self) -> int:
        """Heights and widths of images must be multiples of this."""
        return self.latent_stride << (len(self.block_channels) - 1)

    def _counts(self) -> Iterator[tuple[str, int]]:
        for name in ("mid_channels", "layers_per_block", "taesd_channels", "bands", "norm_num_groups"):
            yield name, getattr(self, name)
        for name in ("num_queries", "query_channels", "head_channels", "vae_layers_per_block"):
            yield name, getattr(self, name)
        for name in ("block_channels", "num_encoder_blocks", "num_decoder_blocks", "vae_channels"):
            yield name, min(getattr(self, name))

    def _check_divisibility(self) -> None:
        widths = {*self.block_channels, self.mid_channels}
        widths.update(width for level in self.unet_shape.up_inputs() for width in level)
        _check_groups(widths, self.norm_num_groups, "norm_num_groups")
        if self.autoencoder == "vae":
            _check_groups(set(self.vae_channels), self.vae_num_groups, "vae_norm_num_groups")
        for width in self.block_channels if self.attention == "standard" else ():
            if width % (self.num_heads or self.head_channels):
                heads = f"{self.num_heads} heads" if self.num_heads else f"heads of {self.head_channels}"
                raise ModelError(
                    f"Attention cannot split {width} channels into {heads}.",
                    "Choose num_heads or head_channels to divide every width.",
                )


def _check_groups(widths: set[int], num_groups: int, name: str) -> None:
    for width in sorted(widths):
        if num_groups < 1 or width % num_groups:
            raise ModelError(
                f"GroupNorm cannot split {width} channels into {num_groups} groups.",
                f"Choose {name} (32 in Stable Diffusion) to divide every width.",
            )
