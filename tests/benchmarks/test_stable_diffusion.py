import pytest
import torch

from benchmarks.stable_diffusion import OneStepTeacher, StableDiffusionUNet
from rssr.methods.slimdiffsr.networks import NoiseLevelPredictor, UncertaintyEstimator
from rssr.methods.slimdiffsr.teacher import Teacher, create_teacher
from rssr.models.autoencoder_kl import AutoencoderKL
from rssr.models.macs import count_macs

SMALL = {"block_out_channels": (64, 64, 128, 128), "attention_head_dim": (1, 1, 2, 2), "cross_attention_dim": 24}
SMALL_VAE = (16, 32, 32, 32)


@pytest.fixture(scope="module")
def reference() -> Teacher:
    """The project's teacher, built on diffusers; adapters add nothing before they are trained."""
    torch.manual_seed(3)
    teacher = create_teacher(
        {**SMALL, "norm_num_groups": 16},
        {"block_out_channels": SMALL_VAE, "norm_num_groups": 16},
        {"channels": 16, "num_blocks": 1},
        predictor_channels=16,
        predictor_blocks=1,
        unet_lora_rank=2,
        decoder_lora_rank=2,
    ).eval()
    teacher.prompt_embedding = torch.randn(1, 7, 24)
    torch.nn.init.normal_(teacher.predictor.head.weight, std=0.3)  # timesteps that differ from place to place
    return teacher


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def plain(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights without adapters, under their original names."""
    return {name.replace(".base_layer", ""): value for name, value in state.items() if "lora_" not in name}


@pytest.fixture(scope="module")
def own(reference: Teacher) -> OneStepTeacher:
    unet = StableDiffusionUNet((64, 64, 128, 128), 24, 16)
    unet.load_state_dict(plain(reference.unet.state_dict()))
    vae = AutoencoderKL(3, SMALL_VAE, norm_num_groups=16)
    vae.load_state_dict(plain(reference.autoencoder.state_dict()))
    estimator, predictor = UncertaintyEstimator(4, 16, 1), NoiseLevelPredictor(4, 16, 1)
    estimator.load_state_dict(reference.estimator.state_dict())
    predictor.load_state_dict(reference.predictor.state_dict())
    return OneStepTeacher(unet, vae, estimator, predictor).eval()


def test_a_step_equals_diffusers(own: OneStepTeacher, reference: Teacher, generator: torch.Generator) -> None:
    latent = torch.randn(2, 4, 8, 16, generator=generator)
    context = torch.randn(2, 7, 24, generator=generator)
    with torch.no_grad():
        expected = reference.unet(latent, 321, context).sample
        found = own.unet(latent, torch.full((1, 1, 1, 1), 321.0), context)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_the_teacher_is_the_project_s(own: OneStepTeacher, reference: Teacher, generator: torch.Generator) -> None:
    x = torch.rand(2, 3, 64, 128, generator=generator) * 2 - 1
    with torch.no_grad():
        expected = reference(x)
        assert expected.timestep.std() > 1
        torch.testing.assert_close(
            own(x, reference.prompt_embedding.expand(2, -1, -1)), expected.sr, atol=1e-4, rtol=1e-3
        )


def test_full_size_parameters_and_macs_are_the_published_ones() -> None:
    with torch.device("meta"):
        unet, vae = StableDiffusionUNet(), AutoencoderKL()
        latent, context, image = torch.empty(1, 4, 64, 64), torch.empty(1, 77, 1024), torch.empty(1, 3, 512, 512)
        assert sum(parameter.numel() for parameter in unet.parameters()) == 865_910_724
        step = count_macs(unet, lambda: unet(latent, torch.empty(1, 1, 1, 1), context))
        coding = count_macs(vae, lambda: vae.decode(vae.encode(image)))
    assert round(step.layers / 1e9, 1) == 339.1
    assert round(coding.layers / 1e9, 1) == 1781.2
