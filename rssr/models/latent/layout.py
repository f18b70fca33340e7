"""Names of the published checkpoints' tensors beside ours; pure text, no tensor is touched.

A first stage holds `encoder`, `decoder`, `quant_conv`, `post_quant_conv`; a second stage the same under
`first_stage_model.`, the condition encoder under `cond_stage_model.` and the denoiser under
`model.diffusion_model.`, with its moving average beside it as `model_ema.` and the name without its dots.
"""

import re
from collections.abc import Iterable

LATENT_SCALING = "scale_factor"
"""The second stage's factor to unit deviation."""

UNUSED_DECODER_TENSOR = "style.weight"
"""A scalar of published continuous decoders that no forward pass reads."""

SCHEDULE_BUFFERS = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)
"""The second stage's tables, which follow from the schedule's ends."""

DENOISER_PREFIX = "model.diffusion_model."
AVERAGE_PREFIX = "model_ema."
CONDITION_PREFIX = "cond_stage_model."
FIRST_STAGE_PREFIX = "first_stage_model."

_Rules = tuple[tuple[str, str], ...]

_RESIDUAL: _Rules = ((r"\.conv_shortcut\.", ".nin_shortcut."),)
_ENCODER: _Rules = (
    *_RESIDUAL,
    (r"^levels\.(\d+)\.blocks\.", r"down.\1.block."),
    (r"^levels\.(\d+)\.downsample\.", r"down.\1.downsample."),
    (r"^mid_blocks\.0\.", "mid.block_1."),
    (r"^mid_blocks\.1\.", "mid.block_2."),
)
_DECODER: _Rules = (
    *_RESIDUAL,
    (r"^lr_conv\.", "head."),
    (r"^latent_conv\.", "conv_in."),
    (r"^mid_blocks\.0\.", "mid.block_1."),
    (r"^mid_blocks\.1\.", "mid.block_2."),
    (r"^levels\.(\d+)\.blocks\.", r"up.\1.block."),
    (r"^levels\.(\d+)\.transfer\.", r"up.\1.transfer."),
    (r"^mixings\.(\d+)\.feature_share\.", r"up.\1.condition_scale1."),
    (r"^mixings\.(\d+)\.embedding_share\.", r"up.\1.condition_scale2."),
    (r"^upsampler\.weighting\.", "upsampler.scale_aware_layer."),
    (r"^upsampler\.doublings\.(\d+)\.", r"upsampler.UPNet_x2_list.\1.0."),
)
CHAIN_RULES: _Rules = (
    (r"\bblocks\.(\d+)\.conv(\d)\.", r"IMDB.\1.c\2."),
    (r"\bblocks\.(\d+)\.fuse\.", r"IMDB.\1.c5."),
    (r"\bblocks\.(\d+)\.gate\.reduce\.", r"IMDB.\1.cca.conv_du.0."),
    (r"\bblocks\.(\d+)\.gate\.expand\.", r"IMDB.\1.cca.conv_du.2."),
    (r"^fuse\.", "c.0."),
    (r"^conv_out\.", "LR_conv."),
)
BLOCK_RULES: _Rules = (
    (r"\bconv_shortcut\.", "skip_connection."),
    (r"\bnorm1\.", "in_layers.0."),
    (r"\bconv1\.", "in_layers.2."),
    (r"\bproject\.", "emb_layers.1."),
    (r"\bnorm2\.", "out_layers.0."),
    (r"\bconv2\.", "out_layers.3."),
)
_DENOISER: _Rules = (
    (r"^time_embedding\.", "time_embed."),
    (r"^scale_embedding\.", "scale_embed."),
    (r"^height_embedding\.", "osize_embed."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^mid_block1\.", "middle_block.0."),
    (r"^mid_attention\.", "middle_block.1."),
    (r"^mid_block2\.", "middle_block.2."),
    (r"^norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
)
_STEP = re.compile(r"^(down|up)\.(\d+)\.(residual|attention|resize)\.(.*)$")


def encoder_names(ours: Iterable[str]) -> dict[str, str]:
    """Published names of a `ResidualEncoder`'s tensors, by ours."""
    return {name: renamed(name, _ENCODER) for name in ours}


def decoder_names(ours: Iterable[str]) -> dict[str, str]:
    """Published names of a decoder's tensors, by ours."""
    return {name: _decoder_name(name) for name in ours}


def denoiser_names(ours: Iterable[str]) -> dict[str, str]:
    """Published names of a `LatentUNet`'s tensors below `model.diffusion_model.`, by ours."""
    known = list(ours)
    parts = {
        name.rsplit(f".{found.group(3)}.", 1)[0] + f".{found.group(3)}": found.group(3)
        for name in known
        if (found := _STEP.match(name))
    }
    return {name: _denoiser_name(name, parts) for name in known}


def autoencoder_names(ours: Iterable[str]) -> dict[str, str]:
    """Published first-stage names of a `ResidualAutoencoder`'s tensors, by ours."""
    return {name: _autoencoder_name(name) for name in ours}


def network_names(ours: Iterable[str], *, averaged: bool) -> dict[str, str]:
    """Published second-stage names of a `LatentSR`'s tensors, by ours.

    Args:
        ours: Names of its state.
        averaged: Whether the denoiser's moving average is meant rather than its raw weights.
    """
    known = list(ours)
    beginning = "denoiser."
    inner = denoiser_names(name.removeprefix(beginning) for name in known if name.startswith(beginning))
    return {name: _network_name(name, inner, averaged) for name in known}


def averaged_name(raw_name: str) -> str:
    """Name of the moving average of `model.diffusion_model....`."""
    return AVERAGE_PREFIX + raw_name.removeprefix("model.").replace(".", "")


def _network_name(name: str, inner: dict[str, str], averaged: bool) -> str:
    part, _, rest = name.partition(".")
    if part == "denoiser":
        raw = DENOISER_PREFIX + inner[rest]
        return averaged_name(raw) if averaged else raw
    if part == "condition_encoder":
        return CONDITION_PREFIX + renamed(rest, _ENCODER)
    if name == "latent_scaling":
        return LATENT_SCALING
    return FIRST_STAGE_PREFIX + _autoencoder_name(name)


def _autoencoder_name(name: str) -> str:
    part, _, rest = name.partition(".")
    if part == "encoder":
        return f"encoder.{renamed(rest, _ENCODER)}"
    if part == "decoder":
        return f"decoder.{_decoder_name(rest)}"
    return name


def _decoder_name(name: str) -> str:
    found = re.match(r"^chains\.(\d+)\.(.*)$", name)
    if found:
        return f"FRUList.{found.group(1)}.{renamed(found.group(2), CHAIN_RULES)}"
    return renamed(name, _DECODER)


def _denoiser_name(name: str, parts: dict[str, str]) -> str:
    found = _STEP.match(name)
    if not found:
        return renamed(renamed(name, _DENOISER), BLOCK_RULES if name.startswith("mid_block") else ())
    path, number, part, rest = found.groups()
    # Published steps are lists of what they have, counted from 0, and the first convolution is a step of its own.
    before = ("residual", "attention", "resize")
    place = sum(f"{path}.{number}.{other}" in parts for other in before[: before.index(part)])
    step = f"input_blocks.{int(number) + 1}" if path == "down" else f"output_blocks.{number}"
    if part == "residual":
        rest = renamed(rest, BLOCK_RULES)
    elif part == "resize" and path == "down":
        rest = rest.replace("conv.", "op.", 1)
    return f"{step}.{place}.{rest}"


def renamed(name: str, rules: _Rules) -> str:
    """A name after all replacements, in order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
