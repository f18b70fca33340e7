"""Bicubic enlargement as the methods use it."""

from torch import Tensor
from torch.nn import functional as F


def upsample_bicubic(image: Tensor, output_size: tuple[int, ...]) -> Tensor:
    """Resize to an explicit size: a = -0.75, half-pixel centres, no antialiasing, not clamped.

    Args:
        image: [B, C, h, w].
        output_size: (H, W) in pixels.
    """
    return F.interpolate(image, size=output_size, mode="bicubic", align_corners=False, antialias=False)
