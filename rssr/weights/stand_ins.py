"""Small networks of diffusers' and transformers' own classes, for machines without pretrained weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rssr.weights.base import PROMPT_FILE, Component, quietly

PROMPT_TOKENS = 8
_LATENT_CHANNELS = 4
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"


def build_autoencoder(channels: tuple[int, ...], norm_num_groups: int, bands: int = 3) -> Component:
    """AutoencoderKL with one residual block a level; its latent is 1/8 of the image."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=bands,
        out_channels=bands,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        latent_channels=_LATENT_CHANNELS,
        norm_num_groups=norm_num_groups,
        mid_block_add_attention=False,
    )


def build_tiny_autoencoder(channels: int, blocks: int, bands: int = 3) -> Component:
    """AutoencoderTiny with the given width."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        in_channels=bands,
        out_channels=bands,
        encoder_block_out_channels=(channels,) * 4,
        decoder_block_out_channels=(channels,) * 4,
        num_encoder_blocks=(1, blocks, blocks, blocks),
        num_decoder_blocks=(blocks, blocks, blocks, 1),
        latent_channels=_LATENT_CHANNELS,
    )


def build_unet(channels: tuple[int, ...], norm_num_groups: int, prompt_width: int) -> Component:
    """UNet2DConditionModel with Stable Diffusion's block types."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=_LATENT_CHANNELS,
        out_channels=_LATENT_CHANNELS,
        block_out_channels=channels,
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=prompt_width,
        attention_head_dim=8,
        norm_num_groups=norm_num_groups,
        use_linear_projection=True,
    )


@dataclass
class TextStandIn:
    """A CLIP text encoder that knows the empty prompt only; random and frozen, since no caption is ever given."""

    encoder: Component

    def embed_empty_prompt(self) -> Tensor:
        """[1, tokens, width]."""
        length = self.encoder.config.max_position_embeddings
        tokens = torch.tensor([[0] + [1] * (length - 1)])
        with torch.no_grad():
            embedding: Tensor = self.encoder(tokens)[0]
        return embedding


def build_text_encoder(width: int) -> TextStandIn:
    """CLIPTextModel with two words (start and end) and one layer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=2,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=PROMPT_TOKENS,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return TextStandIn(CLIPTextModel(config).eval())


def save_stand_ins(
    folder: Path, autoencoder: Component, tiny: Component, unet: Component, text: TextStandIn, scaling: float
) -> None:
    """Write a diffusers directory: vae, unet, scheduler, text_encoder, tokenizer, taesd and the empty prompt.

    Args:
        folder: Empty folder.
        autoencoder: AutoencoderKL.
        tiny: AutoencoderTiny, trained on latents that are already scaled.
        unet: UNet2DConditionModel.
        text: Text encoder.
        scaling: Factor that brings the autoencoder's latents to unit deviation.
    """
    from diffusers import DDPMScheduler
    from safetensors.torch import save_file

    autoencoder.register_to_config(scaling_factor=scaling)
    schedule: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    with quietly():
        autoencoder.save_pretrained(folder / "vae")
        tiny.save_pretrained(folder / "taesd")
        unet.save_pretrained(folder / "unet")
        DDPMScheduler(num_train_timesteps=1000, **schedule).save_pretrained(folder / "scheduler")
        text.encoder.save_pretrained(folder / "text_encoder")
        _save_tokenizer(folder / "tokenizer", text.encoder.config.max_position_embeddings)
    save_file({"embedding": text.embed_empty_prompt().contiguous()}, folder / PROMPT_FILE)


def _save_tokenizer(folder: Path, length: int) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer(
        vocab={_BOS: 0, _EOS: 1},
        merges=[],
        bos_token=_BOS,
        eos_token=_EOS,
        unk_token=_EOS,
        pad_token=_EOS,
        model_max_length=length,
    )
    tokenizer.save_pretrained(folder)
