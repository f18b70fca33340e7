"""What the degradation may draw: ranges and probabilities of the two rounds, and the published presets.

The chain is that of Real-ESRGAN (Wang et al., ICCVW 2021, arXiv:2107.10833, section 3): blur, resize, noise and
JPEG, twice, then a sinc filter. A configuration names its `kind`; every key that it leaves out takes the value
published for that kind (`rssr.degradation.presets`), and the resolved configuration spells all of them out.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from rssr.configuration import Config
from rssr.degradation.presets import PRESETS, REFLECTANCE_PRESETS
from rssr.errors import ConfigError

DegradationKind = Literal["slimdiffsr", "real-esrgan", "bicubic", "sentinel2"]
MAX_KERNEL_SIZE = 21  # every kernel is zero-padded to this side (Real-ESRGAN)


def _require_ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the lower limit {limits[0]} exceeds the upper limit {limits[1]}")
    return limits


def _require_distribution(probabilities: tuple[float, ...]) -> tuple[float, ...]:
    if abs(sum(probabilities) - 1) > 1e-6:
        raise ValueError(f"the probabilities add up to {sum(probabilities):g} instead of 1")
    return probabilities


def _require_odd_sizes(sizes: tuple[int, int]) -> tuple[int, int]:
    low, high = sizes
    if not (1 <= low <= high <= MAX_KERNEL_SIZE and low % 2 and high % 2):
        raise ValueError(f"kernel sizes must be odd, ordered and at most {MAX_KERNEL_SIZE}, got {low} and {high}")
    return sizes


Probability = Annotated[float, Field(ge=0, le=1)]
KernelSizeRange = Annotated[tuple[int, int], AfterValidator(_require_odd_sizes)]
_Positive = Annotated[float, Field(gt=0)]
_NonNegative = Annotated[float, Field(ge=0)]
PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_require_ordered)]
NonNegativeRange = Annotated[tuple[_NonNegative, _NonNegative], AfterValidator(_require_ordered)]
ResizeProbabilities = Annotated[tuple[Probability, Probability, Probability], AfterValidator(_require_distribution)]
KernelProbabilities = Annotated[
    tuple[Probability, Probability, Probability, Probability, Probability, Probability],
    AfterValidator(_require_distribution),
]


class BlurConfig(Config):
    """Blur kernels of one round."""

    probability: Probability
    """Probability that the round blurs at all; 1 in round 1, 0.8 (Real-ESRGAN) or 0.5 (SlimDiffSR) in round 2."""
    kernel_size_range: KernelSizeRange
    """Smallest and largest kernel side, pixels; the odd sizes between are equally likely."""
    kernel_probabilities: KernelProbabilities
    """Probabilities of iso, aniso, generalised iso, generalised aniso, plateau iso and plateau aniso kernels."""
    sinc_probability: Probability
    """Probability that a sinc (circular low-pass) kernel replaces all of these."""
    sigma_range: PositiveRange
    """Standard deviation of both kernel axes, pixels."""
    generalized_beta_range: PositiveRange
    """Shape exponent of generalised Gaussian kernels; half of the draws lie below 1, half above."""
    plateau_beta_range: PositiveRange
    """Shape exponent of plateau kernels, drawn likewise; a lower limit of 1 makes half of the draws exactly 1."""

    @model_validator(mode="after")
    def _check_betas(self) -> "BlurConfig":
        for name in ("generalized_beta_range", "plateau_beta_range"):
            low, high = getattr(self, name)
            if not low <= 1 <= high:
                raise ValueError(f"{name} must contain 1, got {low} to {high}")
        return self


class RoundConfig(Config):
    """One round of blur, resize, noise and JPEG."""

    blur: BlurConfig
    """Blur kernels of this round."""
    resize_probabilities: ResizeProbabilities
    """Probabilities of enlarging, shrinking and keeping the size, in this order."""
    resize_range: PositiveRange
    """Smallest and largest resize factor; shrinking draws below 1, enlarging above. Round 2 counts from LR size."""
    gaussian_probability: Probability
    """Probability that the noise is Gaussian; otherwise it is Poisson."""
    gaussian_sigma_range: NonNegativeRange
    """Standard deviation of Gaussian noise, grey levels of 255."""
    poisson_scale_range: NonNegativeRange
    """Strength of Poisson noise; 1 is the shot noise of one count a grey level."""
    gray_probability: Probability
    """Probability that the three channels share one noise field."""
    jpeg_quality_range: tuple[float, float] | None
    """JPEG quality, 0 to 100; null leaves JPEG out."""

    @model_validator(mode="after")
    def _check_ranges(self) -> "RoundConfig":
        low, high = self.resize_range
        if not low <= 1 <= high:
            raise ValueError(f"resize_range must contain 1, got {low} to {high}")
        if self.jpeg_quality_range is not None:
            low, high = self.jpeg_quality_range
            if not 1 <= low <= high <= 100:
                raise ValueError(f"jpeg_quality_range must be ordered within 1 to 100, got {low} to {high}")
        return self


class SensorConfig(Config):
    """A sensor that sees reflectance: its blur, its pixels, its noise. Ranges are those of MSI on Sentinel-2."""

    mtf_at_nyquist_range: Annotated[tuple[Probability, Probability], AfterValidator(_require_ordered)]
    """Contrast that is left at the finest frequency of the LR grid, of the blur and the pixels' area together; drawn
    along and across the track. MSI has 0.15 to 0.30 in its 10 m bands."""
    dark_deviation_range: NonNegativeRange
    """Deviation of the noise where nothing is reflected, in reflectance."""
    signal_variance_range: NonNegativeRange
    """Variance of the noise that each unit of reflectance adds, in reflectance: photons are counted."""


class DegradationConfig(Config):
    """How LR images are made from HR images. A bare string stands for the preset of that name."""

    kind: DegradationKind
    """`slimdiffsr` (milder ranges), `real-esrgan` (the original's), `bicubic` (antialiased bicubic downsampling only),
    or `sentinel2` (a sensor's blur, pixels and noise, in reflectance). Every other key defaults to the value published
    for this kind."""
    first: RoundConfig | None
    """Round 1, at HR size; null for `bicubic` and `sentinel2`."""
    second: RoundConfig | None
    """Round 2, around LR size; null for `bicubic` and `sentinel2`."""
    final_sinc_probability: Probability
    """Probability of a sinc filter at LR size, after both rounds; 0.8 (Real-ESRGAN, section 3.3)."""
    final_sinc_size_range: KernelSizeRange
    """Smallest and largest side of that filter, pixels, odd."""
    jpeg_first_probability: Probability
    """Probability that the last JPEG precedes the last resize and sinc filter; 0.5 (Real-ESRGAN, section 3.3)."""
    sensor: SensorConfig | None = None
    """The sensor of `sentinel2`; null for every other kind."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:  # noqa: ANN401  # pydantic hands over unvalidated input
        if isinstance(values, str):
            values = {"kind": values}
        if not isinstance(values, Mapping):
            return values
        known = PRESETS | REFLECTANCE_PRESETS
        published = known.get(str(values.get("kind")), {})  # an unknown kind is left to the field's own check
        return _merge(published, values)

    @model_validator(mode="after")
    def _check_rounds(self) -> "DegradationConfig":
        has_rounds = {self.first is not None, self.second is not None}
        if has_rounds != {self.kind not in ("bicubic", "sentinel2")}:
            raise ValueError("kinds bicubic and sentinel2 take no rounds (first, second); every other kind takes both")
        if (self.sensor is not None) != (self.kind == "sentinel2"):
            raise ValueError("kind sentinel2 takes a sensor; no other kind does")
        return self

    def digest_values(self) -> dict[str, Any]:
        """What decides the LR images; as without it where there is no sensor, which came later than the rest."""
        return self.model_dump(mode="json", exclude={"sensor"} if self.sensor is None else None)


def preset_names() -> tuple[str, ...]:
    """Kinds for pictures, uint8 [H, W, 3]."""
    return tuple(PRESETS)


def degradation_preset(name: DegradationKind | str) -> DegradationConfig:
    """The published configuration of one name: `slimdiffsr`, `real-esrgan`, `bicubic` or `sentinel2`.

    Raises:
        ConfigError: If there is no such preset.
    """
    known = PRESETS | REFLECTANCE_PRESETS
    if name not in known:
        raise ConfigError(f"There is no degradation named '{name}'.", f"Use one of {', '.join(known)}.")
    return DegradationConfig.model_validate({"kind": name})


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged
