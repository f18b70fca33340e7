"""Feature distillation: point-wise and distribution distances (SlimDiffSR, Eq. 16 to 19)."""

import torch
from torch import Tensor


def sample_positions(features: Tensor, max_samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Spatial positions of a feature map as samples.

    Args:
        features: [B, C, h, w].
        max_samples: Bound on the samples, so that the kernel matrix stays small at full size.
        generator: Source of the random choice where there are more positions than that.

    Returns:
        [min(B*h*w, max_samples), C].
    """
    batch, channels, height, width = features.shape
    count = batch * height * width
    if count <= max_samples:
        return features.permute(0, 2, 3, 1).reshape(count, channels)
    chosen = torch.randperm(count, generator=generator, device="cpu")[:max_samples].to(features.device)
    # Gathered from a view, so that a large map is not copied for a few of its positions.
    return features.flatten(2)[chosen // (height * width), :, chosen % (height * width)]


def mmd_squared(first: Tensor, second: Tensor, bandwidth: Tensor | None = None) -> Tensor:
    """Unbiased estimate of MMD^2 with a Gaussian kernel (Eq. 16).

    The estimate may be slightly negative for equal distributions; it is not clipped, since clipping would bias it.

    Args:
        first: [n, C] samples, n >= 2.
        second: [m, C] samples, m >= 2.
        bandwidth: Sigma of the kernel; by default the median distance of the pooled samples, held constant.

    Raises:
        ValueError: With fewer than two samples on a side, where the unbiased estimate does not exist.
    """
    n, m = len(first), len(second)
    if min(n, m) < 2:
        raise ValueError(f"MMD needs at least two samples a side, got {n} and {m}; use larger patches or batches")
    # Distances are small differences of large products: half precision would leave only noise of them.
    with torch.autocast(first.device.type, enabled=False):
        squared = _squared_distances(torch.cat([first, second]).float())
    if bandwidth is None:
        bandwidth = median_distance(squared.detach())
    kernel = torch.exp(-squared / (2 * bandwidth**2))
    within_first = (kernel[:n, :n].sum() - kernel[:n, :n].diagonal().sum()) / (n * (n - 1))
    within_second = (kernel[n:, n:].sum() - kernel[n:, n:].diagonal().sum()) / (m * (m - 1))
    return within_first + within_second - 2 * kernel[:n, n:].mean()


def median_distance(squared_distances: Tensor) -> Tensor:
    """Median heuristic: the median of all pairwise distances, bounded away from zero."""
    count = len(squared_distances)
    rows, columns = torch.triu_indices(count, count, offset=1, device=squared_distances.device)
    return squared_distances[rows, columns].median().clamp_min(1e-12).sqrt()


def _squared_distances(samples: Tensor) -> Tensor:
    # cdist's gradient divides by the distance and is undefined at zero; the polynomial form is smooth there. It
    # cancels less around the mean, which no distance depends on.
    samples = samples - samples.detach().mean(dim=0)
    norms = samples.square().sum(dim=1)
    return (norms[:, None] + norms[None, :] - 2 * samples @ samples.T).clamp_min(0)
