"""Every random decision of one image, drawn before the first pixel is touched.

The draws are a pure function of (configuration, scale, seed, HR size). The authors draw resize, noise kind and
order once for a whole batch and mix batches through a pool of 1200 pairs; drawn for every image, no pool is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from rssr.degradation.config import BlurConfig, DegradationConfig, RoundConfig
from rssr.errors import DataError
from rssr.seeds import derive_seed, numpy_generator

KernelKind = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso", "sinc"]
ResizeKind = Literal["up", "down", "keep"]
ResizeMode = Literal["area", "bilinear", "bicubic"]
NoiseKind = Literal["gaussian", "poisson"]
Size = tuple[int, int]
Option = TypeVar("Option")

_KERNEL_KINDS: tuple[KernelKind, ...] = (  # in the order of BlurConfig.kernel_probabilities
    "iso",
    "aniso",
    "generalized_iso",
    "generalized_aniso",
    "plateau_iso",
    "plateau_aniso",
)
_RESIZE_KINDS: tuple[ResizeKind, ...] = ("up", "down", "keep")
_RESIZE_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
_SMALL_SINC = 13  # sinc kernels below this side keep a higher cutoff (Real-ESRGAN)


@dataclass(frozen=True, slots=True)
class KernelDraw:
    """Parameters of one blur kernel; what a kind does not use keeps its default.

    Attributes:
        kind: Shape of the kernel.
        size: Side in pixels, odd, before padding.
        sigma_x: Standard deviation along the first axis of the ellipse, pixels.
        sigma_y: The same along the second axis; equals `sigma_x` for isotropic kinds.
        theta: Rotation of the ellipse, radians.
        beta: Shape exponent of generalised and plateau kinds.
        cutoff: Cutoff frequency of the sinc, radians a pixel.
    """

    kind: KernelKind
    size: int
    sigma_x: float = 1.0
    sigma_y: float = 1.0
    theta: float = 0.0
    beta: float = 1.0
    cutoff: float = math.pi


@dataclass(frozen=True, slots=True)
class NoiseDraw:
    """One noise step: `strength` is sigma in grey levels of 255 (gaussian) or the scale (poisson)."""

    kind: NoiseKind
    strength: float
    gray: bool
    seed: int


@dataclass(frozen=True, slots=True)
class RoundDraws:
    """Decisions of one round; `blur` or `jpeg_quality` None leaves that step out."""

    blur: KernelDraw | None
    resize_kind: ResizeKind
    resize_factor: float
    resize_mode: ResizeMode
    noise: NoiseDraw
    jpeg_quality: float | None


@dataclass(frozen=True, slots=True)
class TailDraws:
    """The end of the chain: the order of last JPEG and last resize, the resize's mode, the sinc filter or None."""

    jpeg_first: bool
    resize_mode: ResizeMode
    sinc: KernelDraw | None


@dataclass(frozen=True, slots=True)
class DegradationDraws:
    """All decisions of one image. `first`, `second` and `tail` are None for plain bicubic downsampling.

    The JPEG quality of the second round belongs to the last JPEG, which the tail places.
    """

    seed: int
    scale: float
    hr_size: Size
    lr_size: Size
    first: RoundDraws | None = None
    second: RoundDraws | None = None
    tail: TailDraws | None = None

    @property
    def second_size(self) -> Size:
        """Height and width after the resize of round 2: LR size times its factor, rounded down."""
        factor = 1.0 if self.second is None else self.second.resize_factor
        height, width = (max(1, int(side / self.scale * factor)) for side in self.hr_size)
        return height, width


def lr_size(hr_size: Size, scale: float) -> Size:
    """Height and width of the LR image: each HR side over the scale, rounded down.

    Raises:
        DataError: If the scale is below 1 or leaves no pixel.
    """
    height, width = (int(side / scale) if scale >= 1 else 0 for side in hr_size)
    if min(height, width) < 1:
        raise DataError(
            f"An HR image of {hr_size[0]} x {hr_size[1]} pixels has no LR image at scale {scale:g}.",
            "Use a scale of at least 1 and HR sides no smaller than the scale.",
        )
    return height, width


def draw_degradation(config: DegradationConfig, scale: float, seed: int, hr_size: Size) -> DegradationDraws:
    """Draw every random decision of one image.

    Args:
        config: Ranges and probabilities.
        scale: HR/LR size ratio, at least 1.
        seed: Seed of this image and epoch.
        hr_size: Height and width of the HR image, pixels.
    """
    small = lr_size(hr_size, scale)
    if config.first is None or config.second is None:
        return DegradationDraws(seed, scale, hr_size, small)
    generator = numpy_generator("degradation", seed)
    return DegradationDraws(
        seed=seed,
        scale=scale,
        hr_size=hr_size,
        lr_size=small,
        first=_draw_round(config.first, generator, derive_seed("degradation-noise", seed, 1)),
        second=_draw_round(config.second, generator, derive_seed("degradation-noise", seed, 2)),
        tail=_draw_tail(config, generator),
    )


def _draw_round(config: RoundConfig, generator: np.random.Generator, noise_seed: int) -> RoundDraws:
    blurred = generator.random() < config.blur.probability
    blur = _draw_kernel(config.blur, generator)
    kind, factor = _draw_resize(config, generator)
    mode = _pick(_RESIZE_MODES, generator)
    gaussian = generator.random() < config.gaussian_probability
    noise = NoiseDraw(
        kind="gaussian" if gaussian else "poisson",
        strength=generator.uniform(*(config.gaussian_sigma_range if gaussian else config.poisson_scale_range)),
        gray=bool(generator.random() < config.gray_probability),
        seed=noise_seed,
    )
    quality = None if config.jpeg_quality_range is None else generator.uniform(*config.jpeg_quality_range)
    return RoundDraws(blur if blurred else None, kind, factor, mode, noise, quality)


def _draw_tail(config: DegradationConfig, generator: np.random.Generator) -> TailDraws:
    jpeg_first = bool(generator.random() < config.jpeg_first_probability)
    mode = _pick(_RESIZE_MODES, generator)
    filtered = generator.random() < config.final_sinc_probability
    size = _draw_size(config.final_sinc_size_range, generator)
    sinc = KernelDraw("sinc", size, cutoff=generator.uniform(math.pi / 3, math.pi))
    return TailDraws(jpeg_first, mode, sinc if filtered else None)


def _draw_kernel(config: BlurConfig, generator: np.random.Generator) -> KernelDraw:
    size = _draw_size(config.kernel_size_range, generator)
    if generator.random() < config.sinc_probability:
        lowest = math.pi / 3 if size < _SMALL_SINC else math.pi / 5
        return KernelDraw("sinc", size, cutoff=generator.uniform(lowest, math.pi))
    kind = _pick(_KERNEL_KINDS, generator, config.kernel_probabilities)
    sigma_x = sigma_y = generator.uniform(*config.sigma_range)
    theta, beta = 0.0, 1.0
    if kind.endswith("aniso"):
        sigma_y = generator.uniform(*config.sigma_range)
        theta = generator.uniform(-math.pi, math.pi)
    if kind.startswith("generalized"):
        beta = _draw_beta(config.generalized_beta_range, generator)
    elif kind.startswith("plateau"):
        beta = _draw_beta(config.plateau_beta_range, generator)
    return KernelDraw(kind, size, sigma_x, sigma_y, theta, beta)


def _draw_size(sizes: tuple[int, int], generator: np.random.Generator) -> int:
    return int(generator.choice(np.arange(sizes[0], sizes[1] + 1, 2)))


def _draw_beta(limits: tuple[float, float], generator: np.random.Generator) -> float:
    """Below and above 1 with equal probability, uniform on either side."""
    low, high = limits
    return generator.uniform(low, 1.0) if generator.random() < 0.5 else generator.uniform(1.0, high)


def _draw_resize(config: RoundConfig, generator: np.random.Generator) -> tuple[ResizeKind, float]:
    kind = _pick(_RESIZE_KINDS, generator, config.resize_probabilities)
    low, high = config.resize_range
    factors = {"up": (1.0, high), "down": (low, 1.0), "keep": (1.0, 1.0)}
    return kind, generator.uniform(*factors[kind])


def _pick(
    options: Sequence[Option], generator: np.random.Generator, probabilities: Sequence[float] | None = None
) -> Option:
    return options[int(generator.choice(len(options), p=probabilities))]
