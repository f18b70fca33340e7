"""Students cut from networks of Stable Diffusion 2.1's size have the published sizes, ablated or not."""

from types import SimpleNamespace

import pytest
import torch

from rssr.methods.slimdiffsr.ablations import ABLATIONS, AblationName
from rssr.methods.slimdiffsr.accounting import published_parts
from rssr.methods.slimdiffsr.config import StudentNetworkConfig
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.student_design import student_architecture
from rssr.models.counting import count_live
from rssr.models.registry import count_parameters, create_model
from rssr.weights.base import Component, create_autoencoder, create_unet
from rssr.weights.stand_ins import build_tiny_autoencoder, build_unet

# As printed in Tables 5 and 6, in units of the last digit.
PRINTED = {
    "published": (58.05, 0.005),
    "vae": (138.9, 0.05),
    "taesd": (57.68, 0.005),
    "wo-sap": (168.3, 0.05),
    "wo-dsc": (93.18, 0.005),
    "wo-fsc": (99.46, 0.005),
    "wo-qgam": (81.11, 0.0080),  # 81.1177: truncated rather than rounded
}


def network_config(name: AblationName) -> StudentNetworkConfig:
    changes = {key.removeprefix("student."): value for key, value in ABLATIONS[name].changes.items()}
    return StudentNetworkConfig.model_validate(changes)


def stable_diffusion(name: AblationName) -> tuple[Component, Component]:
    """UNet and the autoencoder that the student takes, at full size without weights."""
    with torch.device("meta"):
        return create_unet(), create_autoencoder() if name == "vae" else build_tiny_autoencoder(64, 3)


@pytest.mark.parametrize("name", PRINTED)
def test_every_variant_has_the_published_architecture_and_size(name: AblationName) -> None:
    architecture = student_architecture(network_config(name), *stable_diffusion(name))
    model = ABLATIONS[name].model
    with torch.device("meta"):
        student, published = SlimDiffSR(**architecture), create_model(model)
    assert isinstance(published, SlimDiffSR)
    assert {key: tuple(value.shape) for key, value in student.state_dict().items()} == {
        key: tuple(value.shape) for key, value in published.state_dict().items()
    }
    assert count_live(student) == count_parameters(model).live
    counted = count_live(student) + sum(published_parts(model, student).values())
    printed, tolerance = PRINTED[name]
    assert counted / 1e6 == pytest.approx(printed, abs=tolerance)


def test_heads_are_those_of_the_unet() -> None:
    unet, tiny = stable_diffusion("wo-qgam")
    assert student_architecture(network_config("wo-qgam"), unet, tiny)["head_channels"] == 64
    equal = build_unet((32, 64, 96, 96), 8, 32)  # as many heads at every width
    assert student_architecture(network_config("wo-qgam"), equal, tiny)["num_heads"] == 8


@pytest.mark.parametrize(("groups", "expected"), [(8, 3), (32, 3), (2, 1), (1, 1)])
def test_narrowed_widths_share_the_groups_that_divide_them_all(groups: int, expected: int) -> None:
    unet = SimpleNamespace(
        config=SimpleNamespace(
            block_out_channels=(40, 80, 100, 100),
            norm_num_groups=groups,
            layers_per_block=2,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        )
    )
    values = student_architecture(network_config("wo-sap"), unet, stable_diffusion("wo-sap")[1])
    assert values["block_channels"] == [30, 60, 75, 75]
    assert values["norm_num_groups"] == expected
    with torch.device("meta"):
        SlimDiffSR(**values)
