"""The paper's figures of size and cost: what each counts, and which come out again.

Tables 2, 5 and 6 count parameters that the networks never use: the published networks carry remains of Stable
Diffusion that no forward pass reads. The figure without QGAM also counts the cross-attention that was left in place,
but not the two merge convolutions. Table 1 compares Stable Diffusion's two large networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rssr.methods.slimdiffsr.architecture import LATENT_CHANNELS, SlimDiffSRArchitecture
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.counting import count_live
from rssr.models.macs import MacCount, count_macs

_TEXT_CHANNELS = 1024  # Stable Diffusion 2.1's text embedding
_TIME_EXPANSION = 4
_LATENT_STRIDE = 8
TABLE_1_SIDE = 512
"""Side of the image whose cost Table 1 compares, pixels."""


@dataclass(frozen=True)
class Share:
    """One quantity of both networks.

    Attributes:
        quantity: What is counted.
        unet: Of the denoising UNet.
        vae: Of the autoencoder: encoder and decoder.
        paper: The paper's shares in percent, UNet first.
        num_decimals: Decimals that the paper prints.
    """

    quantity: str
    unet: int
    vae: int
    paper: tuple[float, float]
    num_decimals: int

    @property
    def percent(self) -> tuple[float, float]:
        """Shares of the sum, UNet first."""
        total = self.unet + self.vae
        return 100 * self.unet / total, 100 * self.vae / total

    @property
    def is_reproduced(self) -> bool:
        """Whether the shares round to what the paper prints."""
        return all(round(own, self.num_decimals) == said for own, said in zip(self.percent, self.paper, strict=True))


def table_1() -> list[Share]:
    """Shares of Stable Diffusion 2.1's UNet and autoencoder, built at full size without allocating them.

    The UNet is run once on the latent of one image, with a text embedding of 77 tokens; the autoencoder encodes and
    decodes that image.
    """
    from rssr.weights.base import PROMPT_TOKENS, create_autoencoder, create_unet  # here: they import diffusers

    side = TABLE_1_SIDE // _LATENT_STRIDE
    with torch.device("meta"):
        unet, vae = create_unet(), create_autoencoder()
        latent, prompt = torch.empty(1, LATENT_CHANNELS, side, side), torch.empty(1, PROMPT_TOKENS, _TEXT_CHANNELS)
        image, timestep = torch.empty(1, 3, TABLE_1_SIDE, TABLE_1_SIDE), torch.empty(1)
    denoising: MacCount = count_macs(unet, lambda: unet(latent, timestep, prompt))
    coding: MacCount = count_macs(vae, lambda: vae.decode(vae.encode(image).latent_dist.mode()))
    return [
        Share("MACs of convolutions and linear layers", denoising.layers, coding.layers, (16, 84), 0),
        Share("MACs with the products of attention too", denoising.total, coding.total, (16, 84), 0),
        Share("parameters", count_live(unet), count_live(vae), (92.02, 7.98), 2),
    ]


def published_parts(name: str, network: SlimDiffSR) -> Mapping[str, int]:
    """Parts that a published figure counts beyond (or, negative, short of) the live parameters.

    Args:
        name: Model name, e.g. `slimdiffsr-wo-qgam`.
        network: The model at its published widths, on any device.
    """
    values, parts = network.values, {}
    width = values.block_channels[0]
    parts["time embedding, never used"] = _time_embedding(width)
    if values.autoencoder == "fused":
        parts["U-Net input convolution, never used"] = _conv3x3(LATENT_CHANNELS, width)
        parts["U-Net output convolution, never used"] = _conv3x3(width, LATENT_CHANNELS)
        parts["last encoder convolution, never used"] = _conv3x3(values.taesd_channels, LATENT_CHANNELS)
        parts["first decoder convolution, never used"] = _conv3x3(LATENT_CHANNELS, values.taesd_channels)
    if values.attention == "standard":
        parts["cross-attention, never used"] = _cross_attention(values)
    if name == "slimdiffsr-wo-qgam":
        merges = (*network.merge_conv1.parameters(), *network.merge_conv2.parameters())
        parts["merge convolutions, not counted"] = -sum(parameter.numel() for parameter in merges)
    return parts


def _conv3x3(in_channels: int, out_channels: int) -> int:
    return 9 * in_channels * out_channels + out_channels


def _time_embedding(width: int) -> int:
    inner = _TIME_EXPANSION * width
    return width * inner + inner + inner * inner + inner


def _cross_attention(values: SlimDiffSRArchitecture) -> int:
    """Norm, query, key, value and output layers of every transformer block's second attention."""
    total = 0
    for level, width in enumerate(values.block_channels):
        if values.unet_shape.has_attention(level):
            one = 2 * width + width * width + 2 * _TEXT_CHANNELS * width + width * width + width
            total += one * (2 * values.layers_per_block + 1)
    return total
