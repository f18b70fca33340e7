"""Quick measures that phases validate themselves with; reported results come from `rssr.metrics`."""

import torch
from torch import Tensor


def psnr(image: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB: the mean over the images of a batch, as results are reported.

    Args:
        image: [B, C, H, W], about [-1, 1]; clamped, see `within_range_of`.
        reference: Same shape, about [-1, 1].
    """
    errors = (within_range_of(image, reference) - reference).square().mean(dim=(1, 2, 3)).double()
    return float((10 * (4.0 / errors.clamp_min(1e-12)).log10()).mean())


def within_range_of(image: Tensor, reference: Tensor) -> Tensor:
    """An image clamped to [-1, 1], or as far beyond as its reference goes.

    8-bit images end at -1 and 1; reflectance does not.

    Args:
        image: Any shape.
        reference: Any shape.
    """
    one = torch.ones((), device=reference.device, dtype=reference.dtype)
    return image.clamp(torch.minimum(reference.min(), -one), torch.maximum(reference.max(), one))
