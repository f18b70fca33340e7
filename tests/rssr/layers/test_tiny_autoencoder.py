from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderTiny

from rssr.layers.tiny_autoencoder import TinyAutoencoder, TinyBlock

ENCODER_BLOCKS, DECODER_BLOCKS = (1, 2, 3, 1), (2, 1, 3, 1)


def test_block_equals_recorded(vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("slim_blocks")
    block = TinyBlock(16)
    block.load_state_dict(recorded.weights("tiny_block"))
    with torch.no_grad():
        recorded.assert_close("out/tiny_block.y", block(recorded.tensors["in/tiny_block.x"]))


def test_whole_pair_takes_taesd_weights_and_equals_its_layers(generator: torch.Generator) -> None:
    theirs = AutoencoderTiny(
        encoder_block_out_channels=(16,) * 4,
        decoder_block_out_channels=(16,) * 4,
        num_encoder_blocks=ENCODER_BLOCKS,
        num_decoder_blocks=DECODER_BLOCKS,
    )
    ours = TinyAutoencoder(3, 16, ENCODER_BLOCKS, DECODER_BLOCKS, latent_channels=4)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 24, 16, generator=generator)
    with torch.no_grad():
        code = ours.encode(x)
        torch.testing.assert_close(code, theirs.encoder.layers(x))
        torch.testing.assert_close(ours.decode(code), theirs.decoder.layers(code))


def test_fused_pair_lacks_only_the_latent_convolutions() -> None:
    whole = TinyAutoencoder(3, 8, ENCODER_BLOCKS, DECODER_BLOCKS, latent_channels=4).state_dict()
    fused = TinyAutoencoder(3, 8, ENCODER_BLOCKS, DECODER_BLOCKS).state_dict()
    last = sum(ENCODER_BLOCKS) + len(ENCODER_BLOCKS)
    dropped = {f"encoder.layers.{last}.weight", f"encoder.layers.{last}.bias"}
    dropped |= {"decoder.layers.0.weight", "decoder.layers.0.bias"}
    assert whole.keys() - fused.keys() == dropped
    assert {name: value.shape for name, value in fused.items()}.items() <= {
        n: v.shape for n, v in whole.items()
    }.items()


def test_fused_pair_keeps_size_and_bands() -> None:
    fused = TinyAutoencoder(4, 8, (1, 1, 1, 1), (1, 1, 1, 1))
    code = fused.encode(torch.zeros(2, 4, 16, 32))
    assert code.shape == (2, 8, 2, 4)
    assert fused.decode(code).shape == (2, 4, 16, 32)
