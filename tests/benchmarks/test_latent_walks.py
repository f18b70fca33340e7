from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.latent_walks import (
    DDIM_50,
    LCMSR,
    LDCSR,
    WALKS,
    Pipeline,
    Walk,
    compile_parts,
    create_networks,
    schedule_tables,
)
from rssr.diffusion.schedule import DiffusionTables
from rssr.methods.lcmsr.inference import official_inference as lcmsr_inference
from rssr.methods.ldcsr.inference import official_inference as ldcsr_inference
from rssr.models.latent.network import LatentSR
from tests.rssr.methods.tiny_latent import RECORDED

CONSISTENCY = {"num_timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0155}


@pytest.fixture(scope="module")
def tables() -> dict[str, DiffusionTables]:
    return {walk.schedule: schedule_tables(walk.schedule) for walk in WALKS}


def tiny_network(**architecture: Any) -> LatentSR:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LatentSR(**{**RECORDED, **architecture}).eval()


def image(side: int = 8) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("walk", "inference", "architecture"),
    [(LDCSR, ldcsr_inference, {}), (LCMSR, lcmsr_inference, CONSISTENCY)],
    ids=["ldcsr", "lcmsr"],
)
def test_what_is_timed_is_what_the_package_infers(
    walk: Walk, inference: Callable[..., Any], architecture: dict[str, Any], tables: dict[str, DiffusionTables]
) -> None:
    network = tiny_network(**architecture)
    pipeline = Pipeline(network, image(), tables)
    with torch.no_grad():
        found = pipeline.run(walk)
        expected = inference((image() + 1) / 2, network, (32, 32), pipeline.draw).sr
    torch.testing.assert_close((found.clamp(-1, 1) + 1) / 2, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("walk", [LDCSR, LCMSR, DDIM_50], ids=lambda walk: walk.name)
def test_a_walk_calls_the_denoiser_as_often_as_it_says(walk: Walk, tables: dict[str, DiffusionTables]) -> None:
    network, calls = tiny_network(), []
    network.denoiser.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        assert Pipeline(network, image(), tables).run(walk).shape == (1, 3, 32, 32)
    assert len(calls) == walk.num_steps


def test_the_networks_share_all_but_the_decoder() -> None:
    with torch.device("meta"):
        continuous, fixed = create_networks().values()
    assert continuous.denoiser is fixed.denoiser
    assert continuous.condition_encoder is fixed.condition_encoder
    assert (continuous.values.decoder, fixed.values.decoder) == ("continuous", "fixed")


def test_each_part_compiles_to_one_graph(tables: dict[str, DiffusionTables], monkeypatch: pytest.MonkeyPatch) -> None:
    compile_module = nn.Module.compile
    asked: list[dict[str, Any]] = []

    def compile_without_code(network: nn.Module, **options: Any) -> None:
        asked.append(options)
        compile_module(network, **options, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", compile_without_code)
    torch.compiler.reset()
    network = tiny_network()
    with torch.inference_mode():
        expected = Pipeline(network, image(), tables).run(LDCSR).clone()
        compile_parts(network)
        found = Pipeline(network, image(), tables).run(LDCSR)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert [options["fullgraph"] for options in asked] == [True] * 3
