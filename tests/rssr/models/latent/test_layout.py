import json
from pathlib import Path

import pytest
import torch

from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.layout import (
    FIRST_STAGE_PREFIX,
    SCHEDULE_BUFFERS,
    UNUSED_DECODER_TENSOR,
    autoencoder_names,
    averaged_name,
    network_names,
)
from rssr.models.latent.network import LatentSR

LAYOUTS = Path(__file__).parents[3] / "layouts"
NOT_READ = {*SCHEDULE_BUFFERS, "model_ema.decay", "model_ema.num_updates"}


@pytest.mark.parametrize(
    ("file", "decoder", "unused"),
    [
        ("ldcsr_second_stage", "continuous", {f"first_stage_model.decoder.{UNUSED_DECODER_TENSOR}"}),
        ("lcmsr_second_stage_x4", "fixed", set()),
    ],
)
def test_full_size_names_and_shapes_are_the_published_ones(file: str, decoder: str, unused: set[str]) -> None:
    published = json.loads((LAYOUTS / f"{file}.json").read_text(encoding="utf-8"))["tensors"]
    with torch.device("meta"):
        network, autoencoder = LatentSR(decoder=decoder), ResidualAutoencoder(decoder=decoder)
    found = {}
    for averaged in (False, True):
        names = network_names(network.state_dict(), averaged=averaged)
        assert len(set(names.values())) == len(names)
        found |= {names[name]: list(value.shape) for name, value in network.state_dict().items()}
    names = autoencoder_names(autoencoder.state_dict())
    found |= {FIRST_STAGE_PREFIX + names[name]: list(value.shape) for name, value in autoencoder.state_dict().items()}
    assert {name: published[name]["shape"] for name in found} == found
    assert set(published) - set(found) == NOT_READ | unused


def test_averages_lose_their_dots() -> None:
    raw = "model.diffusion_model.input_blocks.10.0.in_layers.2.weight"
    assert averaged_name(raw) == "model_ema.diffusion_modelinput_blocks100in_layers2weight"
