import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from rssr.errors import ModelError
from rssr.models.counting import count_live
from rssr.models.latent.architecture import read_latent_architecture
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.registry import count_image_macs, count_parameters
from tests.rssr.methods.tiny_latent import recorded_network


@pytest.mark.parametrize("case", ["x2", "x3.4", "x8"])
def test_condition_encoder_equals_recorded(case: str, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_encoder")
    size = tuple(recorded.tensors[f"in/{case}.hr"].shape[2:])
    with torch.no_grad():
        condition = recorded_network().encode_condition(recorded.tensors[f"in/{case}.lr"], size)
    recorded.assert_close(f"out/{case}.cond", condition)


def test_parts_have_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        network, fixed = LatentSR(), LatentSR(decoder="fixed")
        autoencoder = ResidualAutoencoder()
    parts = ("encoder", "quant_conv", "post_quant_conv")
    assert {part: count_live(autoencoder.get_submodule(part)) for part in parts} == {
        "encoder": 6_082_568,
        "quant_conv": 72,
        "post_quant_conv": 20,
    }
    assert count_live(network.condition_encoder) == 6_071_620
    assert count_live(network.denoiser) == 18_373_124
    assert count_live(network.decoder) == 6_807_944 - 1  # a published scalar that nothing reads
    assert count_live(network.decoder.chains) == 5_337_536
    assert count_live(network.decoder.upsampler) == 707_463
    assert count_live(fixed.decoder) == 6_396_675


@pytest.mark.parametrize(
    ("name", "live", "published"),
    [
        ("ldcsr", 31_252_707, 31_252_708),
        ("lcmsr", 31_252_707, 31_252_708),
        ("lcmsr-x4", 30_841_439, 30_841_439),
    ],
)
def test_models_have_the_published_numbers_of_parameters(name: str, live: int, published: int) -> None:
    count = count_parameters(name)
    assert (count.live, count.published) == (live, published)
    assert sum(count.parts.values()) == published - live


@pytest.mark.parametrize(("name", "giga_macs"), [("ldcsr", 85.6), ("lcmsr", 80.7)])
def test_models_cost_what_was_measured_from_64_to_256(name: str, giga_macs: float) -> None:
    count = count_image_macs(name, 512)
    assert count is not None
    assert round(count.total / 1e9, 1) == giga_macs


def test_architecture_rebuilds_the_network() -> None:
    values = {"channels": 8, "norm_num_groups": 4, "denoiser_channels": 8, "head_channels": 8, "upsampler_channels": 8}
    network = LatentSR(**values, num_distillation_blocks=1, condition_channels=16, bands=4)
    again = LatentSR(**json.loads(json.dumps(network.architecture)))
    again.load_state_dict(network.state_dict())
    assert again.architecture == network.architecture
    assert network.values.num_distillation_blocks == (1, 1, 1, 1)


def test_scale_is_truncated_where_the_architecture_says_so(generator: torch.Generator) -> None:
    seen = []
    for kind in ("integer", "continuous"):
        network = recorded_network(scale_embedding=kind)
        network.denoiser.scale_embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].tolist()))
        latent = torch.randn(1, 4, 2, 2, generator=generator)
        for scale in (3.4, 21 / 7, 1 / (1 / 3)):
            network.predict(latent, latent, 0, scale, 16)
    assert seen[:3] == [[3.0]] * 3
    assert seen[3] == [pytest.approx(3.4)]


def test_decoding_takes_the_latents_scaling_back(generator: torch.Generator) -> None:
    network = recorded_network()
    latent, lr = torch.randn(1, 4, 2, 2, generator=generator), torch.rand(1, 3, 4, 4, generator=generator)
    with torch.no_grad():
        plain = network.decoder(network.post_quant_conv(latent / 5.3), lr, (16, 16))
        torch.testing.assert_close(network.decode(latent, lr, (16, 16)), plain)


def test_other_bands_are_refused() -> None:
    with pytest.raises(ModelError, match="4 bands, but it takes 3"):
        recorded_network().encode_condition(torch.zeros(1, 4, 4, 4), (8, 8))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decoder": "linear"}, "'decoder'"),
        ({"prediction": "velocity"}, "'prediction'"),
        ({"norm_num_groups": 7}, "GroupNorm"),
        ({"head_channels": 7}, "heads of 7"),
        ({"fixed_scale": 3}, "power of two"),
        ({"beta_start": 1.2}, "noise schedule"),
        ({"num_timesteps": 0}, "'num_timesteps'"),
        ({"num_distillation_blocks": 0}, "'num_distillation_blocks'"),
        ({"chanels": 3}, "Did you mean 'channels'"),
        ({"deviation_factor": -1.0}, "deviation_factor"),
        ({"condition_multipliers": [1, 2, 4]}, "has 3 levels, the autoencoder 4"),
        ({"condition_multipliers": [1, 2, 2, 0]}, "'condition_multipliers'"),
        ({"decoder_num_res_blocks": -1}, "'decoder_num_res_blocks'"),
    ],
)
def test_contradicting_architectures_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        read_latent_architecture(change)
