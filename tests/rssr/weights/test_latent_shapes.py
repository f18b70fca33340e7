import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rssr.errors import WeightsError
from rssr.models.latent.architecture import LatentArchitecture, read_latent_architecture
from rssr.weights.latent_shapes import read_latent_shapes, read_schedule
from tests.rssr.weights.published_latent import second_stage, without

LAYOUTS = Path(__file__).parents[2] / "layouts"


def published(name: str) -> dict[str, Tensor]:
    """Tensors of the published shapes that hold one value each."""
    text = (LAYOUTS / f"{name}.json").read_text(encoding="utf-8")
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes(json.loads(text)["tensors"]).items()}


def shapes(tensors: dict[str, object]) -> dict[str, list[int]]:
    return {key: list(value["shape"] if isinstance(value, dict) else value[0]) for key, value in tensors.items()}  # type: ignore[index]  # layouts list shape and type


def test_published_checkpoints_have_the_published_architecture() -> None:
    assert read_latent_architecture(read_latent_shapes(published("ldcsr_second_stage"))) == LatentArchitecture()
    fixed = read_latent_architecture(read_latent_shapes(published("lcmsr_second_stage_x4")))
    assert fixed == LatentArchitecture(decoder="fixed", fixed_scale=4)


def test_a_reduced_checkpoint_tells_its_widths() -> None:
    assert read_latent_shapes(second_stage()) == {
        "bands": 3,
        "latent_channels": 4,
        "channels": 24,
        "channel_multipliers": [1, 1, 2, 2],
        "num_res_blocks": 1,
        "condition_channels": 0,
        "condition_multipliers": [],
        "condition_num_res_blocks": 0,
        "decoder_channels": 0,
        "decoder_num_res_blocks": 0,
        "num_distillation_blocks": [2, 1, 1, 1],
        "decoder": "continuous",
        "upsampler_channels": 256,
        "denoiser_channels": 24,
        "denoiser_multipliers": [1, 2, 1, 2],
        "denoiser_num_res_blocks": 1,
        "attention_resolutions": [8],
    }


def test_attention_in_the_middle_alone_is_no_factor() -> None:
    state = {name: value for name, value in second_stage().items() if ".1.qkv." not in name or "middle" in name}
    assert read_latent_shapes(state)["attention_resolutions"] == []


def test_attention_of_several_levels_is_found() -> None:
    state = second_stage()
    extra = {"model.diffusion_model.input_blocks.1.1.qkv.weight": torch.zeros(72, 24, 1)}
    assert read_latent_shapes({**state, **extra})["attention_resolutions"] == [1, 8]


@pytest.mark.parametrize(
    "name",
    [
        "first_stage_model.encoder.conv_in.weight",
        "cond_stage_model.conv_in.weight",
        "first_stage_model.post_quant_conv.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
    ],
)
def test_a_missing_or_flat_tensor_is_named(name: str) -> None:
    state = second_stage()
    with pytest.raises(WeightsError, match=f"incomplete: {name} is missing"):
        read_latent_shapes(without(state, name))
    with pytest.raises(WeightsError, match=rf"{name} has the shape \[\]"):
        read_latent_shapes({**state, name: torch.zeros(())})


@pytest.mark.parametrize(
    ("tag", "values"),
    [("T2", (2, 0.1, 0.99)), ("T16", (16, 0.1, 0.99)), ("T1000", (1000, 0.0015, 0.0155))],
)
def test_the_schedule_is_its_length_and_its_ends(tag: str, values: tuple[int, float, float]) -> None:
    assert tuple(read_schedule(second_stage(tag)).values()) == values


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"betas": torch.linspace(0.1, 0.99, 4)}, "of another kind"),
        ({"betas": torch.zeros(4)}, r"not all within \(0, 1\)"),
        ({"betas": torch.full((4,), torch.nan)}, r"not all within \(0, 1\)"),
        ({"betas": torch.zeros(0)}, "0 values"),
        ({"alphas_cumprod": torch.linspace(0.9, 0.1, 4)}, "contradicts itself"),
        ({"alphas_cumprod": torch.linspace(0.9, 0.1, 5)}, "of another kind"),
    ],
)
def test_a_schedule_of_another_kind_is_refused(tables: dict[str, Tensor], expected: str) -> None:
    with pytest.raises(WeightsError, match=expected):
        read_schedule({**second_stage(), **tables})
