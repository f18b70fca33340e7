"""The steps of the degradation in plain float32 PyTorch, on batches, with every draw passed in.

Slow and simple: these are what the fast steps are tested against. Images are float32 [B, 3, H, W] in [0, 1].
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

CountSampler = Callable[[Tensor, Tensor], Tensor]
"""(levels [B, C, H, W] in 0..255, base [B]) -> Poisson counts [B, C, H, W] with rate level / 255 * base."""


def filter2d(image: Tensor, kernel: Tensor) -> Tensor:
    """Correlate every channel with a kernel, reflecting the borders without repeating the edge pixel.

    Args:
        image: [B, C, H, W]; a side may be shorter than the kernel.
        kernel: [B, k, k], one for each image, or [1, k, k] for all; k odd.
    """
    batch, channels, height, width = image.shape
    radius = kernel.shape[-1] // 2
    rows = _reflected_indices(height, radius)
    columns = _reflected_indices(width, radius)
    padded = image[:, :, rows][:, :, :, columns].reshape(1, batch * channels, len(rows), len(columns))
    weights = kernel.expand(batch, -1, -1).repeat_interleave(channels, dim=0).unsqueeze(1)
    return F.conv2d(padded, weights, groups=batch * channels).view(batch, channels, height, width)


def unsharp_mask(image: Tensor, weight: float, threshold: float, kernel: Tensor) -> Tensor:
    """Sharpen where the image differs from its blur: Real-ESRGAN's preparation of HR targets, off in SlimDiffSR.

    Args:
        image: [B, C, H, W] in [0, 1].
        weight: Share of the residual that is added.
        threshold: Smallest residual that counts, grey levels of 255.
        kernel: [1, k, k] Gaussian that blurs both the image and the mask.
    """
    residual = image - filter2d(image, kernel)
    mask = (residual.abs() * 255 > threshold).to(image.dtype)
    soft_mask = filter2d(mask, kernel)
    sharp = (image + weight * residual).clamp(0, 1)
    return soft_mask * sharp + (1 - soft_mask) * image


def resize_by_factor(image: Tensor, factor: float, mode: str) -> Tensor:
    """Resize by a factor, taking coordinates from the factor itself; sides round down, to 1 at least."""
    height, width = image.shape[-2:]
    if min(height, width) * factor < 1:
        return resize_to_size(image, (max(1, int(height * factor)), max(1, int(width * factor))), mode)
    return F.interpolate(image, scale_factor=factor, mode=mode)


def resize_to_size(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize to (height, width) by `area` (adaptive average), `bilinear` or `bicubic`, without antialiasing."""
    return F.interpolate(image, size=size, mode=mode)


def add_gaussian_noise(
    image: Tensor, sigma: Tensor, gray: Tensor, gray_field: Tensor | None, colour_field: Tensor | None
) -> Tensor:
    """Add Gaussian noise and clamp.

    Args:
        image: [B, 3, H, W] in [0, 1].
        sigma: [B] standard deviations, grey levels of 255.
        gray: [B] bool; these images take the grey field.
        gray_field: Standard normal [H, W], one field for the whole batch; None if no image is grey.
        colour_field: Standard normal [B, 3, H, W]; None if all images are grey.
    """
    strength = (sigma / 255).view(-1, 1, 1, 1)
    colour = torch.zeros_like(image) if colour_field is None else colour_field
    shared = torch.zeros_like(image) if gray_field is None else gray_field.expand_as(image)
    noise = torch.where(gray.view(-1, 1, 1, 1), shared, colour) * strength
    return (image + noise).clamp(0, 1)


def add_poisson_noise(
    image: Tensor, scale: Tensor, gray: Tensor, sample_gray: CountSampler, sample_colour: CountSampler
) -> Tensor:
    """Add scaled Poisson noise and clamp.

    Args:
        image: [B, 3, H, W].
        scale: [B] strengths; 1 is pure shot noise.
        gray: [B] bool; these images take one field, drawn on luma, for all channels.
        sample_gray: Counts for luma levels [B, 1, H, W]; called if any image is grey.
        sample_colour: Counts for colour levels [B, 3, H, W]; called unless all are grey.
    """
    noise = torch.zeros_like(image)
    grays = gray.view(-1, 1, 1, 1)
    if bool(gray.any()):
        weights = image.new_tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
        luma = (image * weights).sum(1, keepdim=True)
        noise = torch.where(grays, _poisson_noise(luma, sample_gray), noise)
    if not bool(gray.all()):
        noise = torch.where(grays, noise, _poisson_noise(image, sample_colour))
    return (image + scale.view(-1, 1, 1, 1) * noise).clamp(0, 1)


def _poisson_noise(image: Tensor, sample: CountSampler) -> Tensor:
    levels = (image * 255).round().clamp(0, 255)
    distinct = [int(torch.unique(one).numel()) for one in levels]
    base = levels.new_tensor([float(2 ** (count - 1).bit_length()) for count in distinct])
    return sample(levels, base) / base.view(-1, 1, 1, 1) - levels / 255


def _reflected_indices(length: int, radius: int) -> Tensor:
    """Indices of a padded row: ... 2 1 | 0 1 2 ... n-1 | n-2 n-3 ..., folded as often as a short row needs."""
    if length == 1:
        return torch.zeros(1 + 2 * radius, dtype=torch.long)
    period = 2 * (length - 1)
    position = torch.arange(-radius, length + radius) % period
    return torch.minimum(position, period - position)
