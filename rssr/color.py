"""Matching the colours of a super-resolved scene to its LR scene.

Diffusion models shift brightness and contrast a little. The authors of SlimDiffSR give every image the mean and
deviation of its enlarged LR image; done on tiles, that makes seams. Here both are taken once for the whole scene,
so one affine a band holds everywhere; or what varies slowly is taken from the LR image, place by place, and what
varies fast from the model.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # scenes whose colours are not matched place by place may need no PyTorch
    from torch import Tensor

FloatArray = NDArray[np.float32]

_LOCAL_SIGMA = 2.0
"""Of the Gaussian that parts slow from fast, LR pixels: wide enough to average an LR image's noise away."""
_LOCAL_RADIUS = 6


class BandStatistics:
    """Mean and deviation of each band over valid pixels, gathered a part at a time."""

    def __init__(self, num_bands: int) -> None:
        self._count = 0
        self._mean = np.zeros(num_bands)
        self._squares = np.zeros(num_bands)  # sum of squared distances from the mean

    def add(self, pixels: NDArray[np.floating], valid_mask: NDArray[np.bool_]) -> None:
        """Take in a part.

        Args:
            pixels: [C, h, w].
            valid_mask: Bool [h, w]; other pixels do not count.
        """
        values = pixels[:, valid_mask].astype(np.float64)
        added = values.shape[1]
        if added == 0:
            return
        mean = values.mean(axis=1)
        squares = np.square(values - mean[:, None]).sum(axis=1)
        shift, total = mean - self._mean, self._count + added  # Chan et al. 1979: parts merge without cancellation
        self._squares += squares + shift**2 * (self._count * added / total)
        self._mean += shift * (added / total)
        self._count = total

    @property
    def count(self) -> int:
        """Valid pixels so far."""
        return self._count

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each band."""
        return self._mean.copy()

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of each band."""
        deviation: NDArray[np.float64] = np.sqrt(self._squares / max(self._count, 1))
        return deviation


@dataclass(frozen=True, eq=False)
class ColorMatch:
    """One affine a band: `pixels * gain + offset`."""

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]

    def apply(self, pixels: NDArray[np.floating]) -> FloatArray:
        """Match pixels [C, h, w]; a new float32 array."""
        gain, offset = (values.astype(np.float32)[:, None, None] for values in (self.gain, self.offset))
        matched: FloatArray = pixels.astype(np.float32) * gain + offset
        return matched


def match_colors(sr: BandStatistics, lr: BandStatistics) -> ColorMatch:
    """The affine that gives the SR scene the LR scene's mean and deviation.

    A band without any contrast in the SR scene keeps its (absent) contrast and is only shifted; without valid
    pixels nothing changes.
    """
    if sr.count == 0 or lr.count == 0:
        return ColorMatch(np.ones_like(sr.mean), np.zeros_like(sr.mean))
    deviation = sr.deviation
    gain = np.divide(lr.deviation, deviation, out=np.ones_like(deviation), where=deviation > 1e-9)
    return ColorMatch(gain, lr.mean - sr.mean * gain)


def match_locally(sr: "Tensor", lr: "Tensor") -> "Tensor":
    """Give SR images the slow variation of their LR images: SR + enlarged(blurred(LR - reduced(SR))).

    LR images tell colours well over several of their pixels, and a network of normalising layers tells them badly.
    The blur is Gaussian with a deviation of two LR pixels; nothing farther than `LOCAL_REACH` LR pixels away counts,
    so that tiles with a halo of that size have no seams.

    Args:
        sr: [B, C, H, W].
        lr: The LR images that SR covers exactly, [B, C, h, w], h and w at most H and W.
    """
    from torch.nn import functional as F

    from rssr.resampling import upsample_bicubic

    lr = lr.to(sr.dtype)
    reduced = F.adaptive_avg_pool2d(sr, (lr.shape[2], lr.shape[3]))
    return sr + upsample_bicubic(_blurred(lr - reduced), (sr.shape[2], sr.shape[3]))


LOCAL_REACH = _LOCAL_RADIUS + 3
"""LR pixels that `match_locally` looks to each side: the blur's, and what reducing and enlarging add."""


def _blurred(images: "Tensor") -> "Tensor":
    """Gaussian blur; beyond an edge the edge goes on."""
    import torch
    from torch.nn import functional as F

    places = torch.arange(-_LOCAL_RADIUS, _LOCAL_RADIUS + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-(places**2) / (2 * _LOCAL_SIGMA**2))
    kernel = (weights / weights.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, [_LOCAL_RADIUS] * 4, mode="replicate")
    across = F.conv2d(padded, kernel[:, :, None, :], groups=images.shape[1])
    return F.conv2d(across, kernel[:, :, :, None], groups=images.shape[1])
