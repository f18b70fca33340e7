"""Depth, widths, schedule and choices of a latent super-resolution network, checked at birth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rssr.errors import ModelError
from rssr.models.architecture import read_architecture

_CHOICES = {
    "decoder": ("continuous", "fixed"),
    "prediction": ("noise", "sample"),
    "scale_embedding": ("integer", "continuous"),
}
_NUM_DISTILLATION_PARTS = 4
_MAY_BE_EMPTY = ("attention_resolutions", "condition_multipliers")
_NOT_NEGATIVE = (
    "condition_channels",
    "condition_num_res_blocks",
    "decoder_channels",
    "decoder_num_res_blocks",
    "deviation_factor",
    "deviation_floor",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentArchitecture:
    """Values of the published LDCSR; LCMSR differs in the schedule, its fixed x4 form in decoder and prediction too.

    Raises:
        ModelError: Where values contradict one another.
    """

    bands: int = 3
    """Channels of the images."""
    latent_channels: int = 4
    """Channels of the latent."""
    channels: int = 64
    """Width of the encoder's first convolution."""
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 4)
    """Widths of the encoder's levels, times `channels`; each level but the last halves the size."""
    num_res_blocks: int = 2
    """Residual blocks of a level of the encoder."""
    norm_num_groups: int = 32
    """Groups of every GroupNorm."""
    condition_channels: int = 0
    """Width of the condition encoder's first convolution; 0: `channels`."""
    condition_multipliers: tuple[int, ...] = ()
    """Widths of its levels, times that; as many as `channel_multipliers`, or none for the same."""
    condition_num_res_blocks: int = 0
    """Residual blocks of a level of the condition encoder; 0: `num_res_blocks`."""
    decoder_channels: int = 0
    """Width of the decoder; 0: `channels`."""
    decoder_num_res_blocks: int = 0
    """Residual blocks of a level of the decoder's embedding branch; 0: `num_res_blocks`."""
    num_distillation_blocks: tuple[int, ...] = (12, 12, 12, 12)
    """Distillation blocks of each of the decoder's steps; as many steps as levels."""
    decoder: str = "continuous"
    """`continuous`: any scale; `fixed`: pixel shuffles for one scale."""
    fixed_scale: int = 4
    """Scale of a fixed decoder, a power of two; a continuous one ignores it."""
    upsampler_channels: int = 256
    """Width of the 1x1 convolutions at full size that end a continuous decoder."""
    denoiser_channels: int = 64
    """Width of the denoiser's first convolution."""
    denoiser_multipliers: tuple[int, ...] = (1, 2, 2, 4)
    """Widths of the denoiser's levels, times `denoiser_channels`."""
    denoiser_num_res_blocks: int = 2
    """Residual blocks of a down level; up levels have one more."""
    attention_resolutions: tuple[int, ...] = (8,)
    """Downsampling factors at which the denoiser has attention, or none; its middle always has."""
    head_channels: int = 32
    """Width of one head of the attention."""
    num_timesteps: int = 4
    """Steps of the noise schedule (LDCSR: 4, ablations 2, 8, 16; LCMSR: 1000)."""
    beta_start: float = 0.1
    """First noise variance (LCMSR: 0.0015); between the two, roots are spaced linearly."""
    beta_end: float = 0.99
    """Last noise variance (LCMSR: 0.0155)."""
    prediction: str = "noise"
    """What the denoiser's output means: the `noise` or the clean `sample`."""
    scale_embedding: str = "integer"
    """What the denoiser is told: the scale truncated to an `integer`, as published, or the `continuous` value."""
    final_renoise: bool = False
    """Whether consistency sampling ends with noise of timestep 0, as the published code does."""
    deviation_factor: float = 1.0
    """What the deviation between samples is multiplied with to become an error bar; 1 where nothing was fitted."""
    deviation_floor: float = 0.0
    """Part of the error bar, in network units, that samples do not show; added in squares, 0 where nothing was
    fitted."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ModelError(
                    f"The architecture value '{name}' is {getattr(self, name)!r}.", f"Use one of {', '.join(allowed)}."
                )
        for name, value in self._counts():
            if value < 1:
                raise ModelError(f"The architecture value '{name}' must be at least 1, got {value}.")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ModelError(f"The architecture value '{name}' is {getattr(self, name)}.", "Give 0 or more.")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ModelError(
                f"beta_start {self.beta_start} and beta_end {self.beta_end} are no noise schedule.",
                "Give values between 0 and 1 that do not fall.",
            )
        if self.fixed_scale & (self.fixed_scale - 1) or self.fixed_scale < 2:
            raise ModelError(f"fixed_scale is {self.fixed_scale}.", "Give a power of two from 2 on.")
        self._check_levels()
        self._check_divisibility()

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Widths of the encoder: of its first convolution, then of each level."""
        return tuple(self.channels * multiplier for multiplier in (1, *self.channel_multipliers))

    @property
    def condition_widths(self) -> tuple[int, ...]:
        """Widths of the condition encoder: of its first convolution, then of each level."""
        width, levels = self.condition_channels or self.channels, self.condition_multipliers or self.channel_multipliers
        return tuple(width * multiplier for multiplier in (1, *levels))

    @property
    def decoder_width(self) -> int:
        """Width of the decoder."""
        return self.decoder_channels or self.channels

    @property
    def latent_stride(self) -> int:
        """Image pixels along one side of a latent position (8 as published)."""
        return 1 << (len(self.channel_multipliers) - 1)

    @property
    def denoiser_stride(self) -> int:
        """Latent positions along one side of the denoiser's deepest level."""
        return 1 << (len(self.denoiser_multipliers) - 1)

    def _counts(self) -> Iterator[tuple[str, int]]:
        for name in ("bands", "latent_channels", "channels", "num_res_blocks", "norm_num_groups", "upsampler_channels"):
            yield name, getattr(self, name)
        for name in ("denoiser_channels", "denoiser_num_res_blocks", "head_channels", "num_timesteps"):
            yield name, getattr(self, name)
        for name in ("channel_multipliers", "num_distillation_blocks", "denoiser_multipliers"):
            yield name, min(getattr(self, name))
        for name in _MAY_BE_EMPTY:
            yield name, min(getattr(self, name), default=1)

    def _check_levels(self) -> None:
        given, wanted = len(self.condition_multipliers), len(self.channel_multipliers)
        if given not in (0, wanted):
            raise ModelError(
                f"The condition encoder has {given} levels, the autoencoder {wanted}: their codes differ in size.",
                "Give condition_multipliers as many values as channel_multipliers, or none.",
            )

    def _check_divisibility(self) -> None:
        widths = {self.decoder_width, *self.encoder_widths, *self.condition_widths}
        widths.update(self.denoiser_channels * multiplier for multiplier in (1, *self.denoiser_multipliers))
        for width in sorted(widths):
            if width % self.norm_num_groups:
                raise ModelError(
                    f"GroupNorm cannot split {width} channels into {self.norm_num_groups} groups.",
                    "Choose norm_num_groups (published: 32) to divide every width.",
                )
        if self.decoder_width % _NUM_DISTILLATION_PARTS:
            raise ModelError(f"Distillation cannot split {self.decoder_width} channels into four.")
        if self.denoiser_channels % 2:
            raise ModelError(f"denoiser_channels is {self.denoiser_channels}.", "Give an even number.")
        for width in self._attention_widths():
            if width % self.head_channels:
                raise ModelError(
                    f"Attention cannot split {width} channels into heads of {self.head_channels}.",
                    "Choose head_channels to divide every width that has attention.",
                )

    def _attention_widths(self) -> Iterator[int]:
        for level, multiplier in enumerate(self.denoiser_multipliers):
            if 1 << level in self.attention_resolutions:
                yield self.denoiser_channels * multiplier
        yield self.denoiser_channels * self.denoiser_multipliers[-1]


def read_latent_architecture(values: Mapping[str, object]) -> LatentArchitecture:
    """Build the architecture from plain values; one number of distillation blocks stands for all four steps.

    Raises:
        ModelError: On unknown, ill-typed or contradicting values.
    """
    plain = dict(values)
    blocks = plain.get("num_distillation_blocks")
    if isinstance(blocks, int) and not isinstance(blocks, bool):
        levels = plain.get("channel_multipliers", (1, 2, 2, 4))
        plain["num_distillation_blocks"] = [blocks] * (len(levels) if isinstance(levels, list | tuple) else 1)
    return read_architecture(LatentArchitecture, plain, _MAY_BE_EMPTY)
