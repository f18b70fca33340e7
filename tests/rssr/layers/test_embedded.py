from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from rssr.layers.embedded import EmbeddedResidualBlock, MapAttention, NumberEmbedding, sinusoidal_embedding
from rssr.models.latent.encoder import plain_residual
from rssr.models.latent.layout import BLOCK_RULES, encoder_names, renamed


def test_residual_blocks_equal_recorded_at_tiny_variance(vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_blocks")
    embedded, plain = EmbeddedResidualBlock(32, 64, 128, 32), plain_residual(32, 64, 32)
    weights = recorded.weights("unet_resblock")
    embedded.load_state_dict({name: weights[renamed(name, BLOCK_RULES)] for name in embedded.state_dict()})
    names = encoder_names(f"levels.0.blocks.0.{name}" for name in plain.state_dict())
    weights = {f"down.0.block.0.{name}": value for name, value in recorded.weights("encoder_resblock").items()}
    plain.load_state_dict({ours.split(".", 4)[4]: weights[official] for ours, official in names.items()})
    x, embedding = (recorded.tensors[f"in/unet_resblock.{name}"] for name in ("x", "emb"))
    with torch.no_grad():
        recorded.assert_close("out/unet_resblock.y", embedded(x, embedding))
        recorded.assert_close("out/encoder_resblock.y", plain(recorded.tensors["in/encoder_resblock.x"]))


def test_attention_of_several_heads_equals_recorded(vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_blocks")
    attention = MapAttention(64, recorded.facts["config"]["attention"]["num_head_channels"], 32)
    attention.load_state_dict(recorded.weights("attention"))
    with torch.no_grad():
        recorded.assert_close("out/attention.y", attention(recorded.tensors["in/attention.x"]))


def test_sinusoids_begin_with_the_fastest_cosine() -> None:
    embedding = sinusoidal_embedding(torch.tensor([0, 3]), 8)
    assert embedding[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert embedding[1, 0].item() == pytest.approx(torch.tensor(3.0).cos().item())
    assert embedding[1, 7].item() == pytest.approx(3 * 10000**-0.75, rel=1e-5)


def test_embedding_tells_close_scales_apart() -> None:
    embed = NumberEmbedding(16, 32)
    embedded = embed(torch.tensor([3.0, 3.4]))
    assert embedded.shape == (2, 32)
    assert (embedded[0] - embedded[1]).abs().max() > 1e-3


@pytest.mark.parametrize("training", [False, True])
def test_attention_takes_a_kernel_whose_memory_grows_with_the_positions_only(training: bool) -> None:
    attention = MapAttention(32, 16, 4).train(training)
    with torch.set_grad_enabled(training), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # or it raises
        assert attention(torch.randn(1, 32, 17, 23)).shape == (1, 32, 17, 23)
