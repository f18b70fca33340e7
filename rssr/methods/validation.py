"""Quick measures that phases validate themselves with; reported results come from `rssr.metrics`."""

from torch import Tensor


def psnr(image: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB: the mean over the images of a batch, as results are reported.

    Args:
        image: [B, C, H, W], about [-1, 1]; clamped.
        reference: Same shape, in [-1, 1].
    """
    errors = (image.clamp(-1, 1) - reference).square().mean(dim=(1, 2, 3)).double()
    return float((10 * (4.0 / errors.clamp_min(1e-12)).log10()).mean())
