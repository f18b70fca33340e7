"""The whole degradation in plain float32 PyTorch, on batches: slow, and the measure of the fast one.

It follows the authors' arithmetic: one grey noise field for a batch, JPEG simulated by its DCT, one resize, noise
kind and order for a batch. Nothing is drawn here: `BatchDecisions` carries every decision and draw.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rssr.degradation.draws import DegradationDraws, KernelDraw, NoiseDraw, ResizeMode, RoundDraws, Size
from rssr.degradation.kernels import build_kernel, pad_kernel, pulse_kernel
from rssr.degradation.reference_jpeg import simulate_jpeg
from rssr.degradation.reference_steps import (
    CountSampler,
    add_gaussian_noise,
    add_poisson_noise,
    filter2d,
    resize_by_factor,
    resize_to_size,
)

Inspect = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class GaussianDecision:
    """Gaussian noise of a batch; see `reference_steps.add_gaussian_noise`."""

    sigma: Tensor
    gray: Tensor
    gray_field: Callable[[Size], Tensor]
    colour_field: Callable[[Size], Tensor]

    def apply(self, image: Tensor) -> Tensor:
        """Add the noise to [B, 3, H, W]; only the fields that some image uses are asked for."""
        size = (image.shape[2], image.shape[3])
        gray_field = self.gray_field(size) if bool(self.gray.any()) else None
        colour_field = None if bool(self.gray.all()) else self.colour_field(size)
        return add_gaussian_noise(image, self.sigma, self.gray, gray_field, colour_field)


@dataclass(frozen=True)
class PoissonDecision:
    """Poisson noise of a batch; see `reference_steps.add_poisson_noise`."""

    scale: Tensor
    gray: Tensor
    sample_gray: CountSampler
    sample_colour: CountSampler

    def apply(self, image: Tensor) -> Tensor:
        """Add the noise to [B, 3, H, W]."""
        return add_poisson_noise(image, self.scale, self.gray, self.sample_gray, self.sample_colour)


@dataclass(frozen=True)
class RoundDecisions:
    """One round of a batch.

    Attributes:
        kernel: [B, 21, 21], or None to leave the blur out.
        resize: Factor (round 1) or output size (round 2).
        resize_mode: `area`, `bilinear` or `bicubic`.
        noise: Kind of noise with its draws.
        jpeg_quality: [B], or None to leave JPEG out.
    """

    kernel: Tensor | None
    resize: float | Size
    resize_mode: ResizeMode
    noise: GaussianDecision | PoissonDecision
    jpeg_quality: Tensor | None


@dataclass(frozen=True)
class BatchDecisions:
    """All decisions of a batch; the sinc kernel is [B, 21, 21], a pulse where there is no filter."""

    first: RoundDecisions
    second: RoundDecisions
    jpeg_first: bool
    last_resize_mode: ResizeMode
    sinc_kernel: Tensor
    lr_size: Size


def degrade_reference(hr: Tensor, decisions: BatchDecisions, inspect: Inspect | None = None) -> Tensor:
    """Degrade a batch.

    Args:
        hr: float32 [B, 3, H, W] in [0, 1].
        decisions: Every decision and draw.
        inspect: Called with the name and result of every step, e.g. ("blur1", ...).

    Returns:
        float32 [B, 3, h, w], multiples of 1/255 in [0, 1].
    """
    report = inspect or (lambda name, image: None)
    image = _compress(_until_noise(hr, decisions.first, 1, report), decisions.first, 1, report)
    image = _until_noise(image, decisions.second, 2, report)
    if decisions.jpeg_first:
        image = _compress(image, decisions.second, 2, report)
        image = _resize_and_filter(image, decisions, report)
    else:
        image = _resize_and_filter(image, decisions, report)
        image = _compress(image, decisions.second, 2, report)
    return (image * 255).round().clamp(0, 255) / 255


def decisions_from_draws(
    draws: DegradationDraws, noise: Callable[[NoiseDraw], GaussianDecision | PoissonDecision]
) -> BatchDecisions:
    """The decisions of a batch of one image.

    Args:
        draws: Decisions of the fast path, with both rounds.
        noise: Supplies the noise draws of one step.
    """
    assert draws.first is not None and draws.second is not None and draws.tail is not None
    return BatchDecisions(
        first=_round_decisions(draws.first, draws.first.resize_factor, noise),
        second=_round_decisions(draws.second, draws.second_size, noise),
        jpeg_first=draws.tail.jpeg_first,
        last_resize_mode=draws.tail.resize_mode,
        sinc_kernel=_kernel_tensor(draws.tail.sinc),
        lr_size=draws.lr_size,
    )


def _until_noise(image: Tensor, decisions: RoundDecisions, number: int, report: Inspect) -> Tensor:
    if decisions.kernel is not None:
        image = filter2d(image, decisions.kernel)
        report(f"blur{number}", image)
    if isinstance(decisions.resize, tuple):
        image = resize_to_size(image, decisions.resize, decisions.resize_mode)
    else:
        image = resize_by_factor(image, decisions.resize, decisions.resize_mode)
    report(f"resize{number}", image)
    image = decisions.noise.apply(image)
    report(f"noise{number}", image)
    return image


def _compress(image: Tensor, decisions: RoundDecisions, number: int, report: Inspect) -> Tensor:
    if decisions.jpeg_quality is None:
        return image
    image = simulate_jpeg(image.clamp(0, 1), decisions.jpeg_quality)
    report(f"jpeg{number}", image)
    return image


def _resize_and_filter(image: Tensor, decisions: BatchDecisions, report: Inspect) -> Tensor:
    image = resize_to_size(image, decisions.lr_size, decisions.last_resize_mode)
    report("resize3", image)
    image = filter2d(image, decisions.sinc_kernel)
    report("blur3", image)
    return image


def _round_decisions(
    draws: RoundDraws, resize: float | Size, noise: Callable[[NoiseDraw], GaussianDecision | PoissonDecision]
) -> RoundDecisions:
    return RoundDecisions(
        kernel=None if draws.blur is None else _kernel_tensor(draws.blur),
        resize=resize,
        resize_mode=draws.resize_mode,
        noise=noise(draws.noise),
        jpeg_quality=None if draws.jpeg_quality is None else torch.tensor([draws.jpeg_quality]),
    )


def _kernel_tensor(draw: KernelDraw | None) -> Tensor:
    kernel = pulse_kernel() if draw is None else pad_kernel(build_kernel(draw))
    return torch.from_numpy(kernel).float().unsqueeze(0)
