"""Pixel losses and regularisers (SlimDiffSR, Eq. 20 and 21)."""

from torch import Tensor
from torch.nn import functional as F


def l1_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute error of images [B, C, H, W] in [-1, 1]."""
    return F.l1_loss(sr, hr)


def total_variation(values: Tensor) -> Tensor:
    """Mean squared difference of vertical and of horizontal neighbours (Eq. 21), summed.

    Means instead of the paper's sums make the weight independent of the crop's size.

    Args:
        values: [B, 1, h, w], e.g. the map of signal shares; sides of one pixel contribute nothing.
    """
    total = values.new_zeros(())
    if values.shape[-2] > 1:
        total = total + (values[..., 1:, :] - values[..., :-1, :]).square().mean()
    if values.shape[-1] > 1:
        total = total + (values[..., :, 1:] - values[..., :, :-1]).square().mean()
    return total
