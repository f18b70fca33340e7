"""Which parameters SlimDiffSR's Tables 2, 5 and 6 count that the networks never use, and the reverse.

The published networks carry remains of Stable Diffusion that no forward pass reads; the tables count them. The
figure without QGAM also counts the cross-attention that was left in place, but not the two merge convolutions.
"""

from collections.abc import Mapping

from rssr.methods.slimdiffsr.architecture import LATENT_CHANNELS, SlimDiffSRArchitecture
from rssr.methods.slimdiffsr.networks import SlimDiffSR

_TEXT_CHANNELS = 1024  # Stable Diffusion 2.1's text embedding
_TIME_EXPANSION = 4


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
