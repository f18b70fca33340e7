"""From the pretrained networks' own values to the architecture of a student cut from them (section 3.3).

The published student and its ablations (Tables 5 and 6) at whatever widths the pretrained networks have.
"""

import math
from typing import Any

from rssr.methods.slimdiffsr.config import StudentNetworkConfig
from rssr.weights.base import Component

_RETAINED_LEVELS = 2  # "the deepest two layers are completely removed" (section 4.2)
_UNIFORM_SHARE = (3, 4)  # of each width, in w/o SAP: reproduces Table 6's 168.3 million parameters


def student_architecture(config: StudentNetworkConfig, unet: Component, autoencoder: Component) -> dict[str, Any]:
    """Values of `SlimDiffSRArchitecture` for a student of these networks.

    Args:
        config: Which student.
        unet: diffusers' UNet2DConditionModel, of which only the `config` is read.
        autoencoder: Its AutoencoderKL where the student has one, else its AutoencoderTiny; likewise.
    """
    read = _autoencoder_values if config.autoencoder == "vae" else _tiny_values
    return {
        **_unet_values(config, unet.config),
        **read(autoencoder.config),
        **({} if autoencoder.config.in_channels == 3 else {"bands": autoencoder.config.in_channels}),
        "autoencoder": config.autoencoder,
        "first_conv": config.first_conv,
        "second_conv": config.second_conv,
        "attention": config.attention,
        "num_queries": config.num_queries,
        "query_channels": config.query_channels,
        "skip": config.skip,
        **(_head_values(unet.config) if config.attention == "standard" else {}),
    }


def _unet_values(config: StudentNetworkConfig, unet: Component) -> dict[str, Any]:
    widths, groups = list(unet.block_out_channels), unet.norm_num_groups
    shared = {"layers_per_block": unet.layers_per_block}
    if config.pruning == "semantic":
        retained, mid = widths[:_RETAINED_LEVELS], widths[_RETAINED_LEVELS]
        return {**shared, "block_channels": retained, "mid_channels": mid, "norm_num_groups": groups}
    part, whole = _UNIFORM_SHARE
    narrowed = [width * part // whole for width in widths]
    return {
        **shared,
        "block_channels": narrowed,
        "mid_channels": narrowed[-1],
        "mid_block": "attention",
        "num_plain_levels": sum(not kind.startswith("CrossAttn") for kind in unet.down_block_types),
        # As many channels a group as before where that divides every width.
        "norm_num_groups": math.gcd(max(1, groups * part // whole), *narrowed),
    }


def _tiny_values(tiny: Component) -> dict[str, Any]:
    return {
        "taesd_channels": tiny.encoder_block_out_channels[0],
        "num_encoder_blocks": list(tiny.num_encoder_blocks),
        "num_decoder_blocks": list(tiny.num_decoder_blocks),
    }


def _autoencoder_values(autoencoder: Component) -> dict[str, Any]:
    return {
        "vae_channels": list(autoencoder.block_out_channels),
        "vae_layers_per_block": autoencoder.layers_per_block,
        "vae_norm_num_groups": autoencoder.norm_num_groups,
        "vae_attention": autoencoder.mid_block_add_attention,
        "vae_latent_scaling": float(autoencoder.scaling_factor),
    }


def _head_values(unet: Component) -> dict[str, Any]:
    """Heads as in the UNet, which gives their number a level (under the name `attention_head_dim`)."""
    heads = unet.num_attention_heads or unet.attention_head_dim
    if isinstance(heads, int):
        return {"num_heads": heads}
    return {"head_channels": unet.block_out_channels[0] // heads[0]}
