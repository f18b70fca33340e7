"""Pixel losses and regularisers (SlimDiffSR, Eq. 20 and 21)."""

import torch
from torch import Tensor
from torch.nn import functional as F

_INDISTINGUISHABLE = 1e-4  # mean squared error in [-1, 1]


def l1_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute error of images [B, C, H, W] in [-1, 1]."""
    return F.l1_loss(sr, hr)


def psnr_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """Decadic logarithm of each image's mean squared error, averaged over images [B, C, H, W] in [-1, 1].

    A tenth of the mean PSNR in dB, negated, but for a constant. Unlike the mean absolute error, whose best answer is
    the median of what may be, it wants the mean, and an image counts as much as another that is easier. Errors far
    below a grey level (46 dB) are treated alike, in float32.
    """
    squared = (sr.float() - hr.float()).square().flatten(1).mean(1)
    return torch.log10(squared + _INDISTINGUISHABLE).mean()


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
