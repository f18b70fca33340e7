from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import rssr
from rssr.losses.latent import code_distance, consistency_loss
from rssr.methods.latent.objectives.codes import CodePhase
from rssr.methods.lcmsr.config import ConsistencyConfig
from rssr.methods.lcmsr.method import LCMSRMethod
from rssr.methods.lcmsr.objectives.consistency import ConsistencyObjective
from rssr.methods.phase import Batch, PhaseInputs
from rssr.models.latent.layout import network_names
from tests.rssr.conftest import VectorFile
from tests.rssr.methods.tiny_latent import (
    changed,
    export_first_stage,
    gradients_by_published_name,
    recorded_autoencoder,
    recorded_network,
    striped_batch,
    tiny_sections,
    train,
)

CPU = torch.device("cpu")
SCHEDULE = {"num_timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0155}


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    method = LCMSRMethod.from_values(tiny_sections("consistency"))
    return export_first_stage(method, tmp_path_factory.mktemp("autoencoder"))


def built(first_stage: Path, **consistency: Any) -> CodePhase:
    method = LCMSRMethod.from_values(changed(tiny_sections("consistency"), consistency=consistency))
    torch.manual_seed(0)
    phase = method.build_phase("consistency", PhaseInputs({"autoencoder": first_stage}, CPU))
    assert isinstance(phase, CodePhase)
    return phase


def objective_of(phase: CodePhase) -> ConsistencyObjective:
    objective = phase.objectives()["consistency"]
    assert isinstance(objective, ConsistencyObjective)
    return objective


@pytest.mark.parametrize(("case", "prediction"), [("eps", "noise"), ("x0", "sample")])
def test_recorded_losses_and_gradients(vector_file: Callable[[str], VectorFile], case: str, prediction: str) -> None:
    recorded = vector_file("lcmsr_losses")
    given = recorded.tensors
    network, autoencoder = recorded_network(prediction=prediction, **SCHEDULE), recorded_autoencoder()
    averaged = recorded_network(averaged=True, **SCHEDULE).denoiser.requires_grad_(False)
    config = ConsistencyConfig(num_steps=1, batch_size=1, learning_rate=1, prediction=prediction)
    assert config.timestep_gap == recorded.facts["config"]["model"]["consistency_gap"]
    objective = ConsistencyObjective(network, averaged, autoencoder, config)
    batch = Batch(2 * given["in/lr"] - 1, 2 * given["in/hr"] - 1, 3.4)
    with torch.no_grad():
        latent = autoencoder.sample(*autoencoder.encode(batch.lr, batch.hr), given["in/posterior_noise"])
        latent = latent * network.latent_scaling
    condition = network.encode_condition(batch.lr, (68, 47))
    end, target = objective.ends(latent, condition, batch, given["in/t2"], given["in/noise"])
    loss, distance = consistency_loss(end, target), code_distance(condition, latent)
    (loss + config.condition_weight * distance).backward()
    recorded.assert_close(f"out/{case}.pred_t2", end)
    recorded.assert_close(f"out/{case}.pred_t1_ema", target)
    recorded.assert_close(f"out/{case}.loss_consistency", loss)
    recorded.assert_close(f"out/{case}.loss_kd", distance)
    recorded.assert_close(f"out/{case}.loss", loss + distance)
    recorded.assert_close(f"out/{case}.loss_simple", code_distance(end, latent))
    names = network_names(dict(network.named_parameters()), averaged=False)
    gradients = gradients_by_published_name(network, names)
    beginning = f"out/{case}.grad:"
    for name in given:
        if name.startswith(beginning):
            recorded.assert_close(name, gradients[name.removeprefix(beginning)])


def test_targets_come_from_the_average_without_gradient(first_stage: Path) -> None:
    phase = built(first_stage)
    objective, batch = objective_of(phase), striped_batch()
    latent = torch.randn(2, 4, 6, 6)
    condition = torch.randn(2, 4, 6, 6, requires_grad=True)
    end, target = objective.ends(latent, condition, batch, torch.tensor([900, 400]), torch.randn_like(latent))
    assert end.requires_grad
    assert not target.requires_grad
    with torch.no_grad():
        for parameter in phase.averaged.parameters():
            parameter.mul_(1.1)
    torch.manual_seed(1)
    again_end, again_target = objective.ends(latent, condition, batch, torch.tensor([900, 400]), torch.ones(2, 4, 6, 6))
    torch.manual_seed(1)
    assert not torch.equal(again_target, target)
    consistency_loss(again_end, again_target).backward()
    assert all(p.grad is None for p in phase.averaged.parameters())
    assert all(p.grad is not None for p in phase.network.denoiser.parameters())
    assert phase.network.denoiser is not phase.averaged


def test_at_the_start_of_the_trajectory_the_function_is_the_identity(first_stage: Path) -> None:
    objective = objective_of(built(first_stage))
    latent = torch.randn(2, 4, 6, 6)
    noise = torch.zeros_like(latent)
    end, target = objective.ends(latent, torch.randn_like(latent), striped_batch(), torch.tensor([0, 0]), noise)
    torch.testing.assert_close(end, latent * (1 - 0.0015) ** 0.5)  # what is left of the latent at timestep 0
    assert torch.equal(end.detach(), target)


def test_earlier_timesteps_end_at_the_start_of_the_trajectory(first_stage: Path) -> None:
    objective = objective_of(built(first_stage, timestep_gap=250))
    latent, condition, noise = (torch.randn(2, 4, 6, 6) for _ in range(3))
    batch = striped_batch()
    _, target = objective.ends(latent, condition, batch, torch.tensor([100, 250]), noise)
    identity = latent * (1 - 0.0015) ** 0.5 + noise * 0.0015**0.5
    torch.testing.assert_close(target, identity)


@pytest.mark.parametrize("prediction", ["noise", "sample"])
def test_losses_fall_for_both_kinds_of_prediction(first_stage: Path, prediction: str) -> None:
    losses = train(built(first_stage, prediction=prediction), striped_batch(), 30)["consistency"]
    assert losses[-1]["total"] < 0.9 * losses[0]["total"]
    assert {"consistency_mse", "end_mse", "condition_mse"} <= losses[0].keys()
    assert losses[0]["total"] == pytest.approx(losses[0]["consistency_mse"] + losses[0]["condition_mse"], rel=1e-5)


def test_only_the_denoiser_is_averaged(first_stage: Path) -> None:
    phase = built(first_stage, average_decay=0.99)
    [average] = phase.averages()
    assert average.source is phase.network.denoiser
    assert average.target is phase.averaged
    assert average.max_decay == 0.99


@pytest.mark.parametrize(
    ("autoencoder", "name"),
    [({}, "lcmsr"), ({"decoder": "fixed"}, "lcmsr-x4"), ({"decoder": "fixed", "fixed_scale": 2}, "lcmsr")],
)
def test_the_export_is_a_model_of_its_form(tmp_path: Path, autoencoder: dict[str, Any], name: str) -> None:
    method = LCMSRMethod.from_values(changed(tiny_sections("consistency"), autoencoder=autoencoder))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    method.build_phase("autoencoder", PhaseInputs({}, CPU)).export(first)
    method.build_phase("consistency", PhaseInputs({"autoencoder": first}, CPU)).export(second)
    model = rssr.load_model(second)
    assert model.name == name
    scale = autoencoder.get("fixed_scale", 4)
    assert model.resolver(torch.zeros(1, 3, 7, 6), (7 * scale, 6 * scale)).shape == (1, 3, 7 * scale, 6 * scale)
