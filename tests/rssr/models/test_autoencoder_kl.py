import torch
from diffusers import AutoencoderKL as DiffusersAutoencoderKL

from rssr.models.autoencoder_kl import LATENT_SCALING, AutoencoderKL, AutoencoderVariant
from rssr.weights.stand_ins import build_autoencoder

WIDTHS = (8, 16, 16, 24)


def test_takes_stable_diffusion_weights_and_equals_it(generator: torch.Generator) -> None:
    theirs = DiffusersAutoencoderKL(
        block_out_channels=WIDTHS,
        layers_per_block=2,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).eval()
    ours = AutoencoderKL(3, WIDTHS, norm_num_groups=8)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 32, 16, generator=generator)
    with torch.no_grad():
        latent = ours.encode(x)
        expected = theirs.encode(x).latent_dist.mode()
        torch.testing.assert_close(latent / LATENT_SCALING, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.decode(latent), theirs.decode(expected).sample, atol=1e-5, rtol=1e-4)


def test_takes_the_weights_of_a_stand_in_and_equals_it(generator: torch.Generator) -> None:
    theirs = build_autoencoder(WIDTHS, 2).eval()
    ours = AutoencoderKL(3, WIDTHS, norm_num_groups=2, variant=AutoencoderVariant(1, False, 0.7))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 32, 16, generator=generator)
    with torch.no_grad():
        latent = ours.encode(x)
        expected = theirs.encode(x).latent_dist.mode()
        torch.testing.assert_close(latent / 0.7, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.decode(latent), theirs.decode(expected).sample, atol=1e-5, rtol=1e-4)


def test_has_stable_diffusions_size() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in AutoencoderKL().parameters()) == 83_653_863
