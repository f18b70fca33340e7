from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rssr.errors import WeightsError
from rssr.losses.uncertainty import uncertainty_loss
from rssr.methods.phase import Batch
from rssr.methods.slimdiffsr.latents import encode_image
from rssr.methods.slimdiffsr.objectives.uncertainty import WEIGHTS, UncertaintyPhase, load_estimator
from rssr.resampling import upsample_bicubic

Build = Callable[..., UncertaintyPhase]


@pytest.fixture
def phase(build: Build) -> UncertaintyPhase:
    return build("uncertainty")


def test_loss_falls(phase: UncertaintyPhase, train: Callable[..., Any], batch: Batch) -> None:
    losses = train(phase, batch).losses["estimator"]
    assert losses[-1] < losses[0] - 0.1


def test_loss_is_equation_5_between_latents(phase: UncertaintyPhase, batch: Batch) -> None:
    objective = phase.objectives()["estimator"]
    autoencoder = objective.get_submodule("autoencoder")
    lr_latent = encode_image(autoencoder, upsample_bicubic(batch.lr, (64, 64)))
    mean, log_variance = phase.estimator(lr_latent)
    expected = uncertainty_loss(mean, log_variance, encode_image(autoencoder, batch.hr))
    assert objective(batch, 0, {}).total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_only_the_estimator_is_trained(phase: UncertaintyPhase, train: Callable[..., Any], batch: Batch) -> None:
    before = {name: value.clone() for name, value in phase.objectives()["estimator"].state_dict().items()}
    gradients = train(phase, batch, 2).gradients
    trained = {f"estimator.{name}" for name, _ in phase.estimator.named_parameters()}
    assert gradients == {f"estimator/{name}" for name in trained}
    assert phase.objectives()["estimator"].trained_parameters().keys() == trained
    after = phase.objectives()["estimator"].state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == trained


def test_three_variances_meet_the_squared_error(build: Build, train: Callable[..., Any], batch: Batch) -> None:
    """The calibration that validation reports is 1 at the optimum of Eq. 5; a new estimator is far from it."""
    phase = build("uncertainty")
    ratios = []
    for num_steps in (0, 100):
        train(phase, batch, num_steps, learning_rate=1e-2)
        with torch.no_grad():
            ratios.append(phase.validate(batch)["calibration_ratio"])
    assert ratios[0] > 5
    assert 0.5 < ratios[1] < 2


def test_the_next_phase_loads_what_was_exported(phase: UncertaintyPhase, batch: Batch, tmp_path: Path) -> None:
    torch.nn.init.normal_(phase.estimator.head.weight)
    phase.export(tmp_path)
    autoencoder = phase.objectives()["estimator"].get_submodule("autoencoder")
    loaded = load_estimator(phase.config, autoencoder, tmp_path)
    latent = torch.rand(1, 4, 5, 6)
    with torch.no_grad():
        for found, expected in zip(loaded(latent), phase.estimator(latent), strict=True):
            assert torch.equal(found, expected)


def test_weights_of_another_size_are_refused(
    phase: UncertaintyPhase, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    state = load_file(folders["uncertainty"] / WEIGHTS)
    state.pop("head.bias")
    save_file(state, tmp_path / WEIGHTS)
    autoencoder = phase.objectives()["estimator"].get_submodule("autoencoder")
    with pytest.raises(WeightsError, match=r"head\.bias"):
        load_estimator(phase.config, autoencoder, tmp_path)


def test_half_precision_loss_is_finite_and_close(phase: UncertaintyPhase, batch: Batch) -> None:
    objective = phase.objectives()["estimator"]
    exact = objective(batch, 0, {}).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective(batch, 0, {}).total
    loss.backward()
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)
    assert all(p.grad.isfinite().all() for p in phase.estimator.parameters() if p.grad is not None)


def test_preview_and_validation(phase: UncertaintyPhase, batch: Batch) -> None:
    with torch.no_grad():
        assert phase.preview(batch).shape == batch.hr.shape
        assert phase.validate(batch).keys() == {"uncertainty_loss", "calibration_ratio", "restored_psnr_db"}
