"""Running a network of either method on a batch: latents, predictions, and how well each path to an image does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from rssr.diffusion.schedule import DiffusionTables, scaled_linear_tables
from rssr.methods.phase import Batch
from rssr.methods.validation import psnr
from rssr.models.latent.architecture import LatentArchitecture
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.latent.unet import LatentUNet
from rssr.resampling import upsample_bicubic

SampleCode = Callable[[LatentSR, Tensor, Batch], Tensor]
"""A method's sampler: network, condition code [B, C, h, w] and batch to a scaled latent of the same shape."""


def output_size_of(batch: Batch) -> tuple[int, int]:
    """Height and width of the HR images, pixels."""
    return batch.hr.shape[-2], batch.hr.shape[-1]


def scale_of(batch: Batch) -> float:
    """HR height over LR height, as the networks are told."""
    return batch.hr.shape[-2] / batch.lr.shape[-2]


def tables_of(values: LatentArchitecture) -> DiffusionTables:
    """The noise schedule of an architecture."""
    return scaled_linear_tables(values.beta_start, values.beta_end, values.num_timesteps)


def predictor(network: LatentSR, condition: Tensor, batch: Batch) -> Callable[[Tensor, Tensor | int], Tensor]:
    """The U-Net as a function of noisy latent and timestep alone, in single precision.

    Args:
        network: Holds the U-Net that shall predict.
        condition: Code of the LR images [B, C, h, w].
        batch: The images, for scale and height.
    """
    scale, height = scale_of(batch), batch.hr.shape[-2]

    def predict(noisy_latent: Tensor, timestep: Tensor | int) -> Tensor:
        # Steps multiply what the U-Net says by up to twenty, which half precision (autocast) would not bear.
        return network.predict(noisy_latent, condition, timestep, scale, height).float()

    return predict


@contextmanager
def with_denoiser(network: LatentSR, denoiser: LatentUNet) -> Iterator[LatentSR]:
    """The network with another U-Net, e.g. the moving average of its own."""
    own, network.denoiser = network.denoiser, denoiser
    try:
        yield network
    finally:
        network.denoiser = own


@torch.no_grad()
def draw_latent(autoencoder: ResidualAutoencoder, batch: Batch) -> Tensor:
    """A draw of the HR images' latents as the autoencoder has them, float32 [B, C, h, w]; no gradient."""
    mean, log_variance = autoencoder.encode(batch.lr, batch.hr)
    return autoencoder.sample(mean, log_variance, torch.randn_like(mean)).float()


def validate_paths(
    network: LatentSR, autoencoder: ResidualAutoencoder, sample_code: SampleCode, batch: Batch
) -> dict[str, float]:
    """PSNR of the paths to an SR image, dB, and squared distances of codes to the latent.

    `psnr_db` is the sampled path, `condition_psnr_db` the condition code decoded, and `latent_psnr_db` the latent of
    the HR image decoded, which bounds both.
    """
    size = output_size_of(batch)
    latent = autoencoder.encode(batch.lr, batch.hr)[0] * network.latent_scaling
    condition = network.encode_condition(batch.lr, size)
    sampled = sample_code(network, condition, batch)

    def decoded(code: Tensor) -> float:
        return psnr(network.decode(code, batch.lr, size), batch.hr)

    return {
        "psnr_db": decoded(sampled),
        "condition_psnr_db": decoded(condition),
        "latent_psnr_db": decoded(latent),
        "bicubic_psnr_db": psnr(upsample_bicubic(batch.lr, size), batch.hr),
        "latent_mse": float((sampled - latent).square().mean()),
        "condition_mse": float((condition - latent).square().mean()),
    }
