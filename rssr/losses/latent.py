"""Losses of latent diffusion for super-resolution (LDCSR, LCMSR): of images, of codes, and along trajectories.

Formulas as measured on the authors' code; stage 1 follows Rombach et al. (CVPR 2022, arXiv:2112.10752, appendix G).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of diagonal normals from the unit normal: summed over each image, mean over images.

    Args:
        mean: [B, C, h, w].
        log_variance: Same shape, clamped by the encoder.
    """
    summed = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2, 3))
    return 0.5 * summed.mean()


def image_nll(sr: Tensor, hr: Tensor, perceptual: Tensor | None = None, log_variance: float = 0.0) -> Tensor:
    """Stage 1's distance of images: (|sr - hr| + perceptual) / exp(s) + s, summed over all elements, over the batch.

    The perceptual distance of an image is added to every one of its elements, so its weight against the mean
    absolute error is 1 : 1, while terms that are not summed weigh less the larger the crop.

    Args:
        sr: [B, C, H, W] in [-1, 1].
        hr: Same shape.
        perceptual: [B], weighted by the caller; None leaves it out.
        log_variance: s, which the authors never train: 0.
    """
    error = (sr - hr).abs()
    if perceptual is not None:
        error = error + perceptual.reshape(-1, 1, 1, 1)
    return (error / math.exp(log_variance) + log_variance).sum() / len(sr)


def code_distance(code: Tensor, latent: Tensor) -> Tensor:
    """Mean squared distance of codes [B, C, h, w], both scaled to unit deviation.

    Between the rollout's end and the latent it is LDCSR's diffusion loss; between the condition code and the latent,
    the knowledge distillation that both methods share, whose best condition code is the mean of the latents that the
    LR image allows.
    """
    return F.mse_loss(code, latent)


def consistency_loss(student: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance between two clean latents predicted along one trajectory (LCMSR).

    Args:
        student: From the later timestep, by the weights being trained; [B, C, h, w].
        target: From the earlier one, by their average; without gradient.
    """
    return F.mse_loss(student, target.detach())


def unit_scaling(latent: Tensor) -> Tensor:
    """Factor that brings latents [B, C, h, w] to unit deviation over all elements (N - 1)."""
    return 1.0 / torch.std(latent.detach().float())
