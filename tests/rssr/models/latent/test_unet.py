from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from rssr.models.latent.network import LatentSR
from rssr.models.latent.unet import LatentUNet, LatentUNetShape
from tests.rssr.methods.tiny_latent import recorded_network

TINY = LatentUNetShape(
    channels=8, multipliers=(1, 2), num_res_blocks=1, attention_resolutions=(2,), head_channels=8, norm_num_groups=4
)


@pytest.fixture(scope="module")
def network() -> LatentSR:
    return recorded_network().eval()


@pytest.mark.parametrize("case", [0, 1, 2])
def test_denoiser_equals_recorded(case: int, network: LatentSR, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_denoiser")
    given = [recorded.tensors[f"in/case{case}.{name}"] for name in ("x", "cond", "t", "scale", "osize")]
    captured = {}
    parts = {
        "time_embedding": network.denoiser.time_embedding,
        "scale_embedding": network.denoiser.scale_embedding,
        "osize_embedding": network.denoiser.height_embedding,
        "middle": network.denoiser.mid_block2,
    }
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, out, name=name: captured.update({name: out}))
        for name, module in parts.items()
    ]
    with torch.no_grad():
        recorded.assert_close(f"out/case{case}.eps", network.denoiser(*given))
    for hook in hooks:
        hook.remove()
    for name, value in captured.items():
        recorded.assert_close(f"mid/case{case}.{name}", value)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (8, 5)])
def test_any_latent_size_works(size: tuple[int, int], generator: torch.Generator) -> None:
    unet = LatentUNet(TINY)
    noisy, condition = torch.randn(2, 1, 4, *size, generator=generator)
    numbers = torch.tensor([3.0])
    assert unet(noisy, condition, numbers, numbers, numbers).shape == (1, 4, *size)


@pytest.mark.parametrize(
    ("multipliers", "attention"), [((3,), ()), ((2, 1), (1,)), ((1, 2, 1, 3, 2), (2, 16)), ((1, 2), (1, 2))]
)
def test_any_depth_width_and_attention_works(
    multipliers: tuple[int, ...], attention: tuple[int, ...], generator: torch.Generator
) -> None:
    shape = replace(TINY, multipliers=multipliers, attention_resolutions=attention, num_res_blocks=2, head_channels=4)
    noisy, condition = torch.randn(2, 1, 4, 5, 7, generator=generator)
    unet, numbers = LatentUNet(shape), torch.tensor([3.0])
    assert unet(noisy, condition, numbers, numbers, numbers).shape == (1, 4, 5, 7)
    found = [step.attention is not None for step in unet.down if step.residual is not None]
    assert found == [1 << level in attention for level in range(len(multipliers)) for _ in range(2)]


def test_timestep_scale_and_height_all_matter(generator: torch.Generator) -> None:
    unet = LatentUNet(TINY)
    noisy, condition = torch.randn(2, 1, 4, 4, 4, generator=generator)
    usual = [torch.tensor([2.0])] * 3
    before = unet(noisy, condition, *usual)
    for place in range(3):
        changed = [*usual[:place], torch.tensor([5.0]), *usual[place + 1 :]]
        assert (unet(noisy, condition, *changed) - before).abs().max() > 1e-5
