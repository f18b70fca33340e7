"""Latents of the frozen autoencoder, scaled to unit deviation."""

import torch
from torch import Tensor

from rssr.weights.base import Component


def encode_image(autoencoder: Component, image: Tensor) -> Tensor:
    """Scaled latent mean of an image; no gradient.

    Args:
        autoencoder: AutoencoderKL.
        image: [B, 3, H, W] in [-1, 1], H and W multiples of 8.

    Returns:
        [B, 4, H/8, W/8].
    """
    with torch.no_grad():
        latent: Tensor = autoencoder.encode(image).latent_dist.mode()
    return latent * float(autoencoder.config.scaling_factor)


def decode_latent(autoencoder: Component, latent: Tensor) -> Tensor:
    """Image [B, 3, H, W], about [-1, 1], of a scaled latent [B, 4, H/8, W/8]."""
    image: Tensor = autoencoder.decode(latent / float(autoencoder.config.scaling_factor)).sample
    return image
