"""Regression that also learns how far it may be off: SlimDiffSR's (Eq. 1 to 5), and the plain Gaussian one."""

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


def gaussian_nll(log_variance: Tensor, squared_error: Tensor) -> Tensor:
    """Negative log-likelihood of errors under zero-mean normal distributions, without its constant.

    Half the mean of exp(-s) d^2 + s, with s = ln variance. Its optimum is variance = d^2, so the root of the
    variance is an error bar as it stands; Eq. 5 above weighs s three times for its prior and ends at d^2 / 3.

    Args:
        log_variance: Predicted log variance, any shape.
        squared_error: d^2, same shape.
    """
    return 0.5 * ((-log_variance).exp() * squared_error + log_variance).mean()
