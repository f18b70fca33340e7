"""Quick measures that phases validate themselves with; reported results come from `rssr.metrics`."""

import math

from torch import Tensor


def psnr(image: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, over all elements of [B, C, H, W] in [-1, 1]; `image` is clamped."""
    error = float((image.clamp(-1, 1) - reference).square().mean())
    return 10 * math.log10(4.0 / max(error, 1e-12))
