from collections.abc import Callable
from typing import Any

import pytest
import torch

from rssr.diffusion.consistency import (
    ConsistencyWalk,
    boundary_scalings,
    consistency_function,
    consistency_times,
    sample_consistency,
)
from rssr.diffusion.schedule import scaled_linear_tables
from rssr.models.latent.network import LatentSR
from tests.rssr.methods.tiny_latent import recorded_network

TABLES = scaled_linear_tables(0.0015, 0.0155, 1000)


@pytest.fixture(scope="module")
def network() -> LatentSR:
    return recorded_network().eval()


def test_scalings_equal_recorded(vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("lcmsr_consistency")
    skip, out = boundary_scalings(recorded.tensors["in/t_grid"], 1000)
    recorded.assert_close("out/c_skip", skip)
    recorded.assert_close("out/c_out", out)


@pytest.mark.parametrize("case", [0, 1])
def test_consistency_function_equals_recorded(case: int, network: LatentSR, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("lcmsr_consistency")
    x, condition, timestep, scale, height = (
        recorded.tensors[f"in/case{case}.{name}"] for name in ("x", "cond", "t", "scale", "osize")
    )
    with torch.no_grad():
        output = network.predict(x, condition, timestep, scale, height)
    recorded.assert_close(f"mid/case{case}.net", output)
    for name, prediction in (("eps", "noise"), ("x0", "sample")):
        recorded.assert_close(f"out/case{case}.{name}.f", consistency_function(output, x, timestep, TABLES, prediction))


def test_four_steps_equal_recorded(network: LatentSR, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("lcmsr_sampling")
    given = {name.removeprefix("in/four_step."): value for name, value in recorded.tensors.items()}
    visited = []

    def predict(latent: torch.Tensor, timestep: int) -> torch.Tensor:
        if visited:
            recorded.assert_close(f"mid/four_step.after{len(visited) - 1}", latent)
        visited.append(timestep)
        return network.predict(latent, given["cond"], timestep, 2.0, 44)

    walk = ConsistencyWalk("sample", num_steps=4, final_renoise=True)
    with torch.no_grad():
        latent = sample_consistency(predict, given["x_T"], lambda number: given[f"noise{number - 1}"], TABLES, walk)
    recorded.assert_close("out/four_step.latent", latent)
    assert visited == [999, 750, 500, 250]


def test_the_clean_end_is_its_own_image(generator: torch.Generator) -> None:
    x, output = torch.randn(2, 2, 4, 3, 3, generator=generator)
    for prediction in ("noise", "sample"):
        assert torch.equal(consistency_function(output, x, 0, TABLES, prediction), x)


def test_times_of_a_walk() -> None:
    assert consistency_times(1000, 1) == [0, 999]
    assert consistency_times(1000, 3) == [0, 333, 666, 999]
    with pytest.raises(ValueError, match="0 steps"):
        consistency_times(1000, 0)


def test_without_the_last_noise_one_step_needs_the_start_alone(generator: torch.Generator) -> None:
    start, output, noise = torch.randn(3, 1, 4, 3, 3, generator=generator)
    asked = []

    def draw(number: int) -> torch.Tensor:
        asked.append(number)
        return noise

    ends = [
        sample_consistency(lambda *_: output, start, draw, TABLES, ConsistencyWalk("sample", final_renoise=renoise))
        for renoise in (False, True)
    ]
    assert asked == [1]
    share = TABLES.alphas_cumprod[0]
    torch.testing.assert_close(ends[1], share.sqrt() * ends[0] + (1 - share).sqrt() * noise)
