"""Uncertainty-aware latent regression (SlimDiffSR, Eq. 1 to 5)."""

from torch import Tensor

# The Jeffreys prior adds one ln(variance) to the Gaussian's half (Eq. 4): 1/2 + 1 = 3/2. The minimum is therefore
# variance = squared error / 3, and an error bar is sqrt(3 * variance).
PRIOR_FACTOR = 3.0


def uncertainty_loss(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """Eq. 5: half the mean of exp(-s) (target - mean)^2 + 3 s, with s = ln variance.

    Args:
        mean: Predicted HR latent, [B, C, h, w].
        log_variance: Its predicted log variance, same shape.
        target: HR latent, same shape.
    """
    squared_error = (target - mean) ** 2
    return 0.5 * ((-log_variance).exp() * squared_error + PRIOR_FACTOR * log_variance).mean()
