import pytest
import torch

from rssr.errors import ModelError
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.teacher import create_teacher
from rssr.methods.slimdiffsr.teacher_unet import feature_widths, predict_noise, taught_levels
from rssr.models.registry import create_model
from rssr.weights.base import Component, create_unet


@pytest.fixture(scope="module")
def unet() -> Component:
    torch.manual_seed(0)
    return create_unet(
        block_out_channels=(8, 16, 20, 24), attention_head_dim=(1, 2, 2, 3), cross_attention_dim=12, norm_num_groups=4
    )


def test_every_level_is_told_with_its_change_of_size(unet: Component) -> None:
    _, features = predict_noise(unet, torch.randn(2, 4, 10, 6), torch.full((2, 1, 10, 6), 7.0), torch.zeros(2, 5, 12))
    assert {level: tuple(value.shape) for level, value in features.items()} == {
        "down0": (2, 8, 5, 3),
        "down1": (2, 16, 5, 3),
        "deep_down1": (2, 16, 3, 2),
        "deep_down2": (2, 20, 2, 1),
        "deep_down3": (2, 24, 2, 1),
        "deep_mid": (2, 24, 2, 1),
        "deep_up0": (2, 24, 3, 2),
        "mid": (2, 20, 5, 3),
        "up0": (2, 16, 10, 6),
        "up1": (2, 8, 10, 6),
    }
    assert {level: value.shape[1] for level, value in features.items()} == feature_widths(unet)


@pytest.mark.parametrize("name", ["slimdiffsr", "slimdiffsr-wo-sap"])
def test_students_are_compared_where_the_teacher_has_the_same_size_and_resolution(name: str) -> None:
    """At the published sizes; uniform pruning leaves three quarters of each width."""
    with torch.device("meta"):
        image = torch.zeros(1, 3, 128, 192)
        taught = create_teacher().denoise(image).features
        network = create_model(name)
        assert isinstance(network, SlimDiffSR)
        learnt = network.forward_features(image).levels
    levels = taught_levels(len(network.block_channels), 4)
    assert levels.keys() == learnt.keys()
    assert len(set(levels.values())) == len(levels)
    share = 0.75 if name == "slimdiffsr-wo-sap" else 1
    for level, value in learnt.items():
        _, width, *size = taught[levels[level]].shape
        assert tuple(value.shape) == (1, share * width, *size), level


def test_a_student_of_another_depth_is_refused() -> None:
    with pytest.raises(ModelError, match="3 levels"):
        taught_levels(3, 4)
