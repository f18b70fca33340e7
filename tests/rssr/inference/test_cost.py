import pytest
import torch

from rssr.card import ModelCard
from rssr.errors import ModelError
from rssr.inference.cost import measure_cost
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.counting import count_live
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.registry import build_resolver, count_image_macs, create_model


def loaded(network: torch.nn.Module) -> LoadedModel:
    return LoadedModel("slimdiffsr", build_resolver("slimdiffsr", network), network, {}, None)


def test_a_model_is_timed_and_counted_at_512_pixels() -> None:
    network = SlimDiffSR(
        block_channels=[16, 32], mid_channels=48, taesd_channels=8, norm_num_groups=8, num_queries=4, query_channels=8
    ).eval()
    cost = measure_cost(loaded(network), 4)
    assert cost.num_parameters == count_live(network)
    assert cost.seconds > 0
    assert cost.device == "cpu"
    assert cost.macs > 512 * 512 * 9 * 3 * 8  # the encoder's first convolution alone


@pytest.mark.parametrize("scale", [4.0, 3.4])
def test_the_published_student_costs_what_the_registry_tells(scale: float) -> None:
    """Without values there is nothing to wait for."""
    with torch.device("meta"):
        network = SlimDiffSR()
    published = count_image_macs("slimdiffsr", 512)
    assert published is not None
    assert measure_cost(loaded(network), scale).macs == published.total
    assert published.total / 1e9 == pytest.approx(226.7, abs=0.05)


def test_bicubic_has_no_such_cost() -> None:
    with pytest.raises(ModelError, match="bicubic"):
        measure_cost(load_model("bicubic"), 4)


@pytest.mark.parametrize("bands", [4])
def test_latent_networks_are_measured_in_their_own_bands(bands: int) -> None:
    network = create_model(
        "ldcsr",
        bands=bands,
        channels=4,
        channel_multipliers=[1, 1, 1, 1],
        norm_num_groups=4,
        num_distillation_blocks=1,
        upsampler_channels=4,
        denoiser_channels=8,
        denoiser_multipliers=[1, 1],
        head_channels=8,
    ).eval()
    names = ["red", "green", "blue", "nir"][:bands]
    card = ModelCard(name="tiny", method="ldcsr", bands=names, scale_range=(1.0, 8.0), licence="none")
    cost = measure_cost(LoadedModel("ldcsr", build_resolver("ldcsr", network), network, {}, card), 3.4)
    assert cost.num_parameters == count_live(network)
    assert cost.macs > 512 * 512 * 4 * 9 * bands  # the condition encoder's first convolution alone
