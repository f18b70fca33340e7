from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rssr.weights.base import (
    PROMPT_FILE,
    BaseLocations,
    compute_prompt_embedding,
    load_autoencoder,
    load_prompt_embedding,
    load_schedule,
    load_tiny_autoencoder,
    load_unet,
)
from rssr.weights.stand_ins import (
    build_autoencoder,
    build_text_encoder,
    build_tiny_autoencoder,
    build_unet,
    save_stand_ins,
)


@pytest.mark.parametrize("side", [16, 40])
def test_both_autoencoders_have_four_channels_at_an_eighth(side: int) -> None:
    image = torch.rand(1, 3, side, side + 8)
    latent_size = (1, 4, side // 8, side // 8 + 1)
    autoencoder, tiny = build_autoencoder((4, 4, 8, 8), 2), build_tiny_autoencoder(8, 2)
    latent = autoencoder.encode(image).latent_dist.mode()
    assert latent.shape == tiny.encoder(image).shape == latent_size
    assert autoencoder.decode(latent).sample.shape == tiny.decoder(latent).shape == image.shape


def test_depth_of_the_tiny_autoencoder_follows_its_blocks() -> None:
    assert list(build_tiny_autoencoder(8, 3).config.num_encoder_blocks) == [1, 3, 3, 3]
    assert list(build_tiny_autoencoder(8, 1).config.num_decoder_blocks) == [1, 1, 1, 1]


def test_unet_has_stable_diffusions_levels() -> None:
    unet = build_unet((8, 16, 16, 16), 4, 12)
    assert [type(block).__name__ for block in unet.down_blocks] == ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    assert [type(block).__name__ for block in unet.up_blocks] == ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
    noise_pred = unet(torch.rand(2, 4, 8, 8), 3, torch.rand(2, 5, 12)).sample
    assert noise_pred.shape == (2, 4, 8, 8)


def test_what_is_saved_is_loaded_through_the_door(tmp_path: Path) -> None:
    autoencoder, tiny = build_autoencoder((4, 4, 8, 8), 2), build_tiny_autoencoder(8, 1)
    unet, text = build_unet((8, 16, 16, 16), 4, 8), build_text_encoder(8)
    save_stand_ins(tmp_path, autoencoder, tiny, unet, text, scaling=0.37)
    locations = BaseLocations.in_folder(tmp_path)
    pairs = (
        (autoencoder, load_autoencoder(locations)),
        (tiny, load_tiny_autoencoder(locations)),
        (unet, load_unet(locations)),
    )
    for saved, loaded in pairs:
        assert not loaded.training
        state = loaded.state_dict()
        assert state.keys() == saved.state_dict().keys()
        assert all(torch.equal(state[name], value) for name, value in saved.state_dict().items())
    assert pairs[0][1].config.scaling_factor == 0.37
    assert load_schedule(locations).num_train_timesteps == 1000


def test_stored_prompt_is_what_the_saved_tokenizer_and_encoder_yield(tmp_path: Path) -> None:
    text = build_text_encoder(8)
    nets = build_autoencoder((4, 4, 8, 8), 2), build_tiny_autoencoder(8, 1), build_unet((8, 16, 16, 16), 4, 8)
    save_stand_ins(tmp_path, *nets, text, scaling=1.0)
    stored = load_file(tmp_path / PROMPT_FILE)["embedding"]
    assert torch.equal(stored, text.embed_empty_prompt())
    assert stored.shape == (1, 8, 8)
    locations = BaseLocations.in_folder(tmp_path)
    computed = compute_prompt_embedding(locations)
    torch.testing.assert_close(computed, stored, rtol=1e-5, atol=1e-6)
    assert torch.equal(load_prompt_embedding(locations), stored)
    (tmp_path / PROMPT_FILE).unlink()
    assert torch.equal(load_prompt_embedding(locations), computed)
    assert not computed.requires_grad
