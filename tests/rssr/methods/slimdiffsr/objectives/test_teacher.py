from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rssr.errors import WeightsError
from rssr.losses.reconstruction import total_variation
from rssr.methods.phase import Batch, PhaseInputs
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from rssr.methods.slimdiffsr.objectives.teacher import WEIGHTS, TeacherPhase, load_teacher
from rssr.methods.slimdiffsr.teacher import Teacher, adapter_state
from rssr.resampling import upsample_bicubic
from rssr.weights.base import BaseLocations

Build = Callable[..., TeacherPhase]
CPU = torch.device("cpu")
ADVERSARIAL = {"lpips_weight": 0, "gan_weight": 0.25}


def load(make_method: Callable[..., SlimDiffSRMethod], folders: Mapping[str, Path], **changes: Any) -> Teacher:
    config = make_method(**changes).config
    return load_teacher(config, BaseLocations.in_folder(folders["base"]), PhaseInputs(folders, CPU))


@pytest.mark.parametrize(
    "variant",
    [{}, {"timestep": "scalar"}, {"timestep": "fixed", "fixed_timestep": 300}, {"use_uncertainty": False}],
    ids=["map", "scalar", "fixed", "no uncertainty"],
)
def test_loss_of_every_variant_falls(
    build: Build, train: Callable[..., Any], batch: Batch, variant: dict[str, Any]
) -> None:
    phase = build("teacher", teacher=variant)
    losses = train(phase, batch, 15 if variant == {} else 6).losses["teacher"]
    assert losses[-1] < 0.99 * losses[0]


def test_adapters_and_predictor_alone_are_trained(build: Build, train: Callable[..., Any], batch: Batch) -> None:
    phase = build("teacher")
    objective = phase.objectives()["teacher"]
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    gradients = train(phase, batch, 3).gradients
    trained = objective.trained_parameters().keys()
    assert all("lora_" in name or name.startswith("teacher.predictor.") for name in trained)
    assert gradients == {f"teacher/{name}" for name in trained}
    after = objective.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= trained
    # At this size the deepest level is one position, whose attention to itself is fixed.
    assert all("attn1.to_q" in name or "attn1.to_k" in name for name in trained - changed)
    assert adapter_state(phase.teacher).keys() == {name.removeprefix("teacher.") for name in trained}


def test_loss_adds_the_variation_of_the_signal_share(build: Build, batch: Batch, shaken: Callable[..., None]) -> None:
    phase = build("teacher", teacher={"tv_weight": 30.0})
    shaken(phase.teacher)
    with torch.no_grad():
        output = phase.teacher(upsample_bicubic(batch.lr, (64, 64)), batch.hr)
        loss = phase.objectives()["teacher"](batch, 0, {})
    variation = 30 * total_variation(output.signal_share)
    assert float(variation) > 1e-3
    expected = (output.sr - batch.hr).abs().mean() + variation
    torch.testing.assert_close(loss.total, expected)
    assert torch.equal(loss.carry["sr"], output.sr)


def test_adversarial_training_keeps_both_sides_apart(
    build: Build, train: Callable[..., Any], batch: Batch, auxiliary: str
) -> None:
    phase = build("teacher", teacher={"reconstruction": ADVERSARIAL}, base_weights={"auxiliary": auxiliary})
    assert list(phase.objectives()) == ["teacher", "discriminator"]
    record = train(phase, batch, 2)
    discriminator = phase.objectives()["discriminator"]
    heads = {f"discriminator/{name}" for name in discriminator.trained_parameters()}
    assert all(".heads." in name for name in heads)
    others = {f"teacher/{name}" for name in phase.objectives()["teacher"].trained_parameters()}
    assert record.gradients == heads | others
    assert len(record.losses["discriminator"]) == 2


def test_a_loss_whose_network_is_missing_stops_the_phase(build: Build, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"dino_vits16\.safetensors"):
        build("teacher", teacher={"reconstruction": ADVERSARIAL}, base_weights={"auxiliary": str(tmp_path)})


@pytest.mark.parametrize("timestep", ["map", "fixed"])
def test_a_reloaded_teacher_gives_identical_output(
    build: Build,
    train: Callable[..., Any],
    make_method: Callable[..., SlimDiffSRMethod],
    folders: Mapping[str, Path],
    batch: Batch,
    tmp_path: Path,
    timestep: str,
) -> None:
    phase = build("teacher", teacher={"timestep": timestep})
    train(phase, batch, 2)
    phase.export(tmp_path)
    torch.manual_seed(99)  # fresh adapters differ
    teacher = load(make_method, {**folders, "teacher": tmp_path}, teacher={"timestep": timestep})
    unused = "predictor." if timestep == "fixed" else "none"
    state = teacher.state_dict()
    for name, value in phase.teacher.state_dict().items():
        assert torch.equal(state[name], value) or name.startswith(unused), name
    lr_upsampled = upsample_bicubic(batch.lr, (64, 64))
    with torch.no_grad():
        for hr in (batch.hr, None):
            expected, found = phase.teacher(lr_upsampled, hr), teacher(lr_upsampled, hr)
            # Libraries may sum in another order where memory lies elsewhere.
            torch.testing.assert_close(found.sr, expected.sr, rtol=0, atol=1e-4)
            torch.testing.assert_close(found.timestep, expected.timestep, rtol=0, atol=1e-2)
            for level, value in expected.features.items():
                torch.testing.assert_close(found.features[level], value, rtol=0, atol=1e-4)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher.training


def test_incomplete_or_foreign_teacher_weights_are_refused(
    make_method: Callable[..., SlimDiffSRMethod], folders: Mapping[str, Path], tmp_path: Path
) -> None:
    state = load_file(folders["teacher"] / WEIGHTS)
    lost = sorted(state)[0]
    save_file({name: value for name, value in state.items() if name != lost}, tmp_path / WEIGHTS)
    with pytest.raises(WeightsError, match="1 missing"):
        load(make_method, {**folders, "teacher": tmp_path})
    with pytest.raises(WeightsError, match="mis-shaped"):
        load(make_method, folders, teacher={"unet_lora_rank": 5})


def test_exported_are_the_adapters_and_not_the_pretrained_weights(folders: Mapping[str, Path]) -> None:
    names = load_file(folders["teacher"] / WEIGHTS).keys()
    assert all("lora_" in name or name.startswith("predictor.") for name in names)
    assert {path.name for path in folders["teacher"].iterdir()} == {WEIGHTS}


def test_half_precision_training_stays_finite(build: Build, batch: Batch) -> None:
    phase = build("teacher")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = phase.objectives()["teacher"](batch, 0, {})
    loss.total.backward()
    assert loss.total.isfinite()
    gradients = [p.grad for p in phase.teacher.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_preview_and_validation(build: Build, batch: Batch) -> None:
    phase = build("teacher")
    with torch.no_grad():
        assert phase.preview(batch).shape == batch.hr.shape
        assert phase.validate(batch).keys() == {"psnr_db", "psnr_from_lr_alone_db"}
