from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import rssr
from rssr.losses.latent import code_distance, unit_scaling
from rssr.methods.latent.objectives.codes import RAW_WEIGHTS, CodePhase
from rssr.methods.ldcsr.method import LDCSRMethod
from rssr.methods.ldcsr.objectives.denoiser import DenoiserObjective
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


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    method = LDCSRMethod.from_values(tiny_sections("denoiser"))
    return export_first_stage(method, tmp_path_factory.mktemp("autoencoder"))


def built(first_stage: Path, **denoiser: Any) -> CodePhase:
    method = LDCSRMethod.from_values(changed(tiny_sections("denoiser"), denoiser=denoiser))
    torch.manual_seed(0)
    phase = method.build_phase("denoiser", PhaseInputs({"autoencoder": first_stage}, CPU))
    assert isinstance(phase, CodePhase)
    return phase


def test_recorded_losses_and_gradients(vector_file: Callable[[str], VectorFile]) -> None:
    recorded = vector_file("ldcsr_stage2_losses")
    given = recorded.tensors
    network, autoencoder = recorded_network(), recorded_autoencoder()
    objective = DenoiserObjective(network, autoencoder, recorded.facts["config"]["l_kd_weight"])
    assert network.latent_scaling.item() == pytest.approx(5.3)
    batch = Batch(2 * given["in/lr"] - 1, 2 * given["in/hr"] - 1, 3.4)
    with torch.no_grad():
        latent = autoencoder.sample(*autoencoder.encode(batch.lr, batch.hr), given["in/posterior_noise"]) * 5.3
    condition = network.encode_condition(batch.lr, (68, 47))
    noises = [given["in/q_sample_noise"], *(given[f"in/step_noise_t{timestep}"] for timestep in (3, 2, 1))]
    rollout = code_distance(objective.roll_out(latent, condition, batch, noises.__getitem__), latent)
    distance = code_distance(condition, latent)
    (rollout + distance).backward()
    recorded.assert_close("out/loss_simple", rollout)
    recorded.assert_close("out/loss_kd", distance)
    recorded.assert_close("out/loss", rollout + distance)
    names = network_names(dict(network.named_parameters()), averaged=False)
    gradients = gradients_by_published_name(network, names)
    for name in given:
        if name.startswith("out/grad:"):
            recorded.assert_close(name, gradients[name.removeprefix("out/grad:")])


def test_recorded_scaling_by_the_first_batch(vector_file: Callable[[str], VectorFile]) -> None:
    recorded = vector_file("ldcsr_stage2_losses")
    autoencoder, hr = recorded_autoencoder(), 2 * recorded.tensors["in/hr"] - 1
    latent = autoencoder.sample(*autoencoder.encode(hr, hr), recorded.tensors["in/rescale_posterior_noise"])
    recorded.assert_close("out/scale_factor_from_first_batch", unit_scaling(latent))


def test_gradients_reach_every_step_of_the_rollout(first_stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phase = built(first_stage)
    outputs: list[tuple[int, Tensor]] = []
    predict = phase.network.predict

    def watched(noisy: Tensor, condition: Tensor, timestep: int, *told: Any) -> Tensor:
        output = predict(noisy, condition, timestep, *told)
        output.retain_grad()
        outputs.append((timestep, output))
        return output

    monkeypatch.setattr(phase.network, "predict", watched)
    phase.objectives()["denoiser"](striped_batch(), 0, {}).total.backward()
    assert [timestep for timestep, _ in outputs] == [3, 2, 1, 0]
    for _, output in outputs:
        assert output.grad is not None
        assert output.grad.abs().sum() > 0


def test_the_first_stage_is_frozen_and_nothing_of_it_is_kept(first_stage: Path) -> None:
    phase = built(first_stage)
    objective = phase.objectives()["denoiser"]
    before = {name: value.clone() for name, value in phase.network.decoder.state_dict().items()}
    train(phase, striped_batch(), 2)
    trained = {name.split(".")[1] for name in objective.trained_parameters()}
    assert trained == {"denoiser", "condition_encoder"}
    assert objective.trained_state().keys() == objective.trained_parameters().keys() | {"network.latent_scaling"}
    assert all(torch.equal(value, before[name]) for name, value in phase.network.decoder.state_dict().items())
    assert all(p.grad is None for p in (*phase.autoencoder.parameters(), *phase.network.decoder.parameters()))
    objective.train()
    assert not phase.network.decoder.training
    assert not phase.autoencoder.training


def test_the_scaling_is_that_of_the_first_batch_and_stays(first_stage: Path) -> None:
    phase = built(first_stage)
    objective, batch = phase.objectives()["denoiser"], striped_batch()
    torch.manual_seed(3)
    objective(batch, 0, {})
    torch.manual_seed(3)
    mean, log_variance = phase.autoencoder.encode(batch.lr, batch.hr)
    latent = phase.autoencoder.sample(mean, log_variance, torch.randn_like(mean))
    assert phase.network.latent_scaling.item() == pytest.approx(1 / latent.std().item(), rel=1e-5)
    scaling = phase.network.latent_scaling.clone()
    objective(Batch(0.1 * batch.lr, 0.1 * batch.hr, batch.scale), 0, {})  # a second micro-batch of the first step
    objective(Batch(0.1 * batch.lr, 0.1 * batch.hr, batch.scale), 1, {})
    assert torch.equal(phase.network.latent_scaling, scaling)


def test_the_condition_code_is_pulled_to_the_latent(first_stage: Path) -> None:
    losses = train(built(first_stage, condition_weight=1.0), striped_batch(), 40)["denoiser"]
    assert losses[-1]["condition_mse"] < 0.8 * losses[0]["condition_mse"]
    assert losses[-1]["rollout_mse"] < losses[0]["rollout_mse"]
    total, rollout, distance = (losses[0][name] for name in ("total", "rollout_mse", "condition_mse"))
    assert total == pytest.approx(rollout + distance, rel=1e-5)
    heavier = train(built(first_stage, condition_weight=3.0), striped_batch(), 1)["denoiser"]
    assert heavier[0]["total"] == pytest.approx(rollout + 3 * distance, rel=1e-5)


@pytest.mark.parametrize(("told", "expected"), [("integer", 3.0), ("continuous", 48 / 14)])
def test_the_denoiser_is_told_the_scale_as_configured(
    first_stage: Path, monkeypatch: pytest.MonkeyPatch, told: str, expected: float
) -> None:
    phase = built(first_stage, scale_embedding=told)
    seen: list[tuple[float, float]] = []
    forward = phase.network.denoiser.forward

    def watched(noisy: Tensor, condition: Tensor, timestep: Tensor, scale: Tensor, height: Tensor) -> Tensor:
        seen.append((scale[0].item(), height[0].item()))
        return forward(noisy, condition, timestep, scale, height)

    monkeypatch.setattr(phase.network.denoiser, "forward", watched)
    phase.objectives()["denoiser"](striped_batch(3.4), 0, {})
    assert {height for _, height in seen} == {48}
    assert {round(scale, 6) for scale, _ in seen} == {round(expected, 6)}


def test_the_export_is_a_model_with_averaged_weights_and_the_raw_ones_beside_it(
    first_stage: Path, tmp_path: Path
) -> None:
    phase = built(first_stage)
    train(phase, striped_batch(), 3)
    with torch.no_grad():
        for target, source in zip(phase.averaged.parameters(), phase.network.denoiser.parameters(), strict=True):
            target.lerp_(source, 0.5)
    phase.export(tmp_path)
    model = rssr.load_model(tmp_path)
    assert model.name == "ldcsr"
    assert model.network is not None
    loaded = model.network.state_dict()
    for name, value in phase.averaged.state_dict().items():
        assert torch.equal(loaded[f"denoiser.{name}"], value)
    raw = phase.network.denoiser.state_dict()
    assert not torch.equal(raw["conv_in.weight"], loaded["denoiser.conv_in.weight"])
    from safetensors.torch import load_file

    kept = load_file(tmp_path / RAW_WEIGHTS)
    assert kept.keys() == raw.keys()
    assert all(torch.equal(kept[name], value) for name, value in raw.items())
    assert torch.equal(loaded["latent_scaling"], phase.network.latent_scaling)
    assert model.resolver(torch.zeros(1, 3, 5, 9), (17, 30)).shape == (1, 3, 17, 30)


def test_validation_measures_every_path(first_stage: Path) -> None:
    phase = built(first_stage)
    train(phase, striped_batch(), 1)
    with torch.no_grad():
        found = phase.validate(striped_batch(3.4))
    names = {"psnr_db", "condition_psnr_db", "latent_psnr_db", "bicubic_psnr_db", "latent_mse", "condition_mse"}
    assert found.keys() == names
    assert phase.network.denoiser is not phase.averaged
