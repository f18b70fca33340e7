"""How far images may be off: what the phases `deviation` of all methods share.

A likelihood says where errors are large and where small. A common factor then makes one deviation hold 68.3 % of the
errors, as it would of normal ones: errors of images have heavier tails, of which the likelihood makes deviations that
hold more.
"""

import logging
from collections.abc import Iterable

import torch
from torch import Tensor

from rssr.losses.uncertainty import gaussian_nll
from rssr.methods.phase import Batch
from rssr.metrics.coverage import CoverageTally
from rssr.models.resolver import DeviationResolver

log = logging.getLogger(__name__)

_WHITE = 0.5  # deviation that previews show white: a quarter of the range of values
_LEVELS = 127.5  # of 8-bit images, in one network unit
_WHOLE = 1e-3  # what rounding in single precision leaves of a whole level


def find_factor(resolver: DeviationResolver, pairs: Iterable[Batch], device: torch.device) -> float:
    """What a resolver's deviations must be multiplied with to hold 68.3 % of the errors of its images.

    Args:
        resolver: Gives deviations above 0.
        pairs: Images that nothing was trained on, prepared as those that deviations are judged on.
        device: Where the resolver's network is.

    Returns:
        The factor; 1, with a warning, where there is no image.
    """
    tally = CoverageTally()
    for pair in pairs:
        batch = pair.to(device)
        sr, deviation = resolver.with_deviation(batch.lr, (batch.hr.shape[-2], batch.hr.shape[-1]))
        error = _as_stored(sr, batch.hr) - batch.hr
        tally.add(deviation.float().cpu().numpy(), error.float().cpu().numpy())
    if tally.num_values == 0:
        log.warning("no held-out image is large enough: deviations stay as the likelihood has them")
        return 1.0
    return tally.factor()


def likelihood_metrics(log_variance: Tensor, squared_error: Tensor) -> dict[str, float]:
    """The likelihood beside that of the best constant, and how predicted and squared errors compare (1 is right).

    The correlation is that of the deviation with the absolute error, pixel by pixel.

    Args:
        log_variance: Predicted, any shape, before any common factor.
        squared_error: Same shape.
    """
    variance, mse = log_variance.exp(), squared_error.mean().clamp_min(1e-12)
    pairs = torch.stack([variance.sqrt().flatten(), squared_error.sqrt().flatten()])
    return {
        "deviation_nll": float(gaussian_nll(log_variance, squared_error)),
        "constant_nll": float(0.5 * (1 + mse.log())),
        "calibration_ratio": float(variance.mean() / mse),
        "correlation": float(torch.corrcoef(pairs)[0, 1].nan_to_num()),
    }


def as_brightness(deviation: Tensor) -> Tensor:
    """Deviations [B, C, H, W] as pictures [B, 3, H, W]: black is none, white a quarter of the range or more."""
    brightness = (deviation.mean(dim=1, keepdim=True) / _WHITE).clamp(0, 1)
    return (2 * brightness - 1).expand(-1, 3, -1, -1)


def _as_stored(image: Tensor, reference: Tensor) -> Tensor:
    """What is left of an image in 8 bits, where references are such: images are given out and judged as these are."""
    levels = (reference + 1) * _LEVELS
    if not torch.allclose(levels, levels.round(), rtol=0, atol=_WHOLE) or levels.min() < -_WHOLE:
        return image
    return ((image.clamp(-1, 1) + 1) * _LEVELS).round() / _LEVELS - 1
