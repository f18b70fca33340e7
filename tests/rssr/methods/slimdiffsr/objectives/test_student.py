import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rssr
from rssr.losses.distillation import mmd_squared
from rssr.methods.phase import Batch, PhaseInputs
from rssr.methods.slimdiffsr.ablations import AblationName, ablate
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from rssr.methods.slimdiffsr.objectives.student import StudentPhase, build_student
from rssr.methods.slimdiffsr.objectives.teacher import load_teacher
from rssr.methods.slimdiffsr.teacher import Teacher
from rssr.resampling import upsample_bicubic
from rssr.weights.base import BaseLocations

Build = Callable[..., StudentPhase]
LEVELS = ("down0", "down1", "mid", "up0", "up1")
CPU = torch.device("cpu")


@pytest.fixture
def phase(build: Build) -> StudentPhase:
    return build("student")


@pytest.fixture
def teacher(make_method: Callable[..., SlimDiffSRMethod], folders: Mapping[str, Path]) -> Teacher:
    locations = BaseLocations.in_folder(folders["base"])
    return load_teacher(make_method().config, locations, PhaseInputs(folders, CPU))


@pytest.mark.parametrize(
    "variant",
    [{}, {"distillation_weight": 0}, {"mmd_weight": 0}],
    ids=["full", "no distillation", "no MMD"],
)
def test_loss_of_every_variant_falls(
    build: Build, train: Callable[..., Any], batch: Batch, variant: dict[str, Any]
) -> None:
    losses = train(build("student", student=variant), batch).losses["student"]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("variant", [{"timestep": "fixed"}, {"timestep": "scalar"}, {"use_uncertainty": False}])
def test_students_learn_from_every_kind_of_teacher(
    make_method: Callable[..., SlimDiffSRMethod],
    train: Callable[..., Any],
    folders: Mapping[str, Path],
    batch: Batch,
    tmp_path: Path,
    variant: dict[str, Any],
) -> None:
    method = make_method(teacher=variant)
    method.build_phase("teacher", PhaseInputs(folders, CPU)).export(tmp_path)
    phase = method.build_phase("student", PhaseInputs({**folders, "teacher": tmp_path}, CPU))
    losses = train(phase, batch, 5).losses["student"]
    assert losses[-1] < losses[0]


def test_the_whole_student_and_the_adapters_are_trained_and_nothing_else(
    phase: StudentPhase, train: Callable[..., Any], batch: Batch
) -> None:
    objective = phase.objectives()["student"]
    record = train(phase, batch, 2)
    expected = {f"student.{name}" for name, _ in phase.student.named_parameters()}
    expected |= {f"adapters.{level}.{kind}" for level in LEVELS for kind in ("weight", "bias")}
    assert objective.trained_parameters().keys() == expected
    assert record.gradients == {f"student/{name}" for name in expected}
    assert objective.trained_state().keys() == expected  # the teacher fills no checkpoint


@pytest.mark.parametrize("name", ["vae", "taesd", "wo-sap", "wo-dsc", "wo-fsc", "wo-qgam"])
def test_every_ablated_student_trains_as_a_whole_and_its_export_runs_alone(
    make_method: Callable[..., SlimDiffSRMethod],
    train: Callable[..., Any],
    folders: Mapping[str, Path],
    batch: Batch,
    tmp_path: Path,
    name: AblationName,
) -> None:
    method = SlimDiffSRMethod(ablate(make_method().config, name))
    torch.manual_seed(0)
    phase = method.build_phase("student", PhaseInputs(folders, CPU))
    objective = phase.objectives()["student"]
    record = train(phase, batch, 6)
    assert record.losses["student"][-1] < record.losses["student"][0]
    assert record.gradients == {f"student/{name}" for name in objective.trained_parameters()}
    assert any(name.startswith("student/adapters.") for name in record.gradients)
    phase.export(tmp_path)
    loaded = rssr.load_model(tmp_path)
    torch.testing.assert_close(loaded.resolver(batch.lr, (64, 64)), phase.preview(batch), rtol=1e-4, atol=1e-5)
    assert loaded.resolver(torch.zeros(1, 3, 5, 9), (21, 33)).shape == (1, 3, 21, 33)


def test_crops_that_a_student_of_full_depth_cannot_take_are_padded(
    make_method: Callable[..., SlimDiffSRMethod], folders: Mapping[str, Path], batch: Batch
) -> None:
    """Its stride is 64; padding enters neither the reconstruction loss nor the distances to the teacher."""
    phase = SlimDiffSRMethod(ablate(make_method().config, "wo-sap")).build_phase("student", PhaseInputs(folders, CPU))
    crop = Batch(batch.lr[..., :12, :12], batch.hr[..., :48, :48], batch.scale)
    objective = phase.objectives()["student"]
    with torch.no_grad():
        loss = objective(crop, 0, {})
        expected = phase.preview(crop)
    assert torch.equal(loss.carry["sr"], expected)
    torch.testing.assert_close(loss.terms["l1"], (expected - crop.hr).abs().mean())
    assert loss.total.isfinite()


# Parts of names that no new tensor of a variant has: the pretrained networks hold them all.
RETAINED = {"vae": ("vae.", "unet.conv_in", "unet.conv_out"), "taesd": ("vae.", "unet.conv_in", "unet.conv_out")}
RETAINED |= {"wo-sap": ("vae.",), "wo-dsc": (".conv2.",), "wo-fsc": (".conv1.",), "wo-qgam": (".attn1.",)}


@pytest.mark.parametrize("name", RETAINED)
def test_ablated_students_keep_the_pretrained_weights_that_fit(
    make_method: Callable[..., SlimDiffSRMethod],
    folders: Mapping[str, Path],
    caplog: pytest.LogCaptureFixture,
    name: AblationName,
) -> None:
    config = ablate(make_method().config, name).student
    with caplog.at_level("DEBUG", logger="rssr"):
        _, student = build_student(config, BaseLocations.in_folder(folders["base"]))
    told = {line.partition(": ")[0]: line.partition(": ")[2].split(", ") for line in caplog.messages}
    assert sorted(told["retained"] + told["new"]) == sorted(student.state_dict())
    assert [key for key in told["new"] if any(part in key for part in RETAINED[name])] == []
    assert [key for key in told["retained"] if any(part in key for part in RETAINED[name])] != []
    assert any("starts anew" in line for line in caplog.messages) == (name == "wo-sap")
    assert name != "wo-sap" or not [key for key in told["retained"] if key.startswith("unet.")]


def watched(phase: StudentPhase) -> tuple[nn.Module, list[bool]]:
    """The teacher inside the phase, and whether its results carried a graph."""
    objective: Any = phase.objectives()["student"]
    teacher: nn.Module = objective._teacher[0]
    graphs: list[bool] = []
    for name, module in teacher.named_modules():
        if name.startswith("unet.") and name.count(".") == 1:
            module.register_forward_hook(lambda m, i, o: graphs.append(isinstance(o, Tensor) and o.requires_grad))
    return teacher, graphs


def test_the_teacher_keeps_no_graph_and_does_not_change(
    phase: StudentPhase, train: Callable[..., Any], batch: Batch
) -> None:
    teacher, graphs = watched(phase)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    train(phase, batch, 2)
    assert graphs
    assert not any(graphs)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_distances_are_taken_level_by_level_to_the_exported_teacher(
    build: Build, teacher: Teacher, batch: Batch
) -> None:
    """Eq. 17, 18, 19 and 23 written out; the bound on the samples is above what there is, so nothing is random."""
    values = {"mmd_samples": 10_000, "mmd_weight": 0.3, "distillation_weight": 0.7}
    phase = build("student", student=values)
    objective = phase.objectives()["student"]
    lr_upsampled = upsample_bicubic(batch.lr, (64, 64))
    with torch.no_grad():
        taught, learnt = teacher(lr_upsampled, batch.hr).features, phase.student.forward_features(lr_upsampled)
        loss = objective(batch, 0, {})
        pointwise, distribution = [], []
        for level in LEVELS:
            adapted = objective.get_submodule(f"adapters.{level}")(learnt.levels[level])
            pointwise.append((adapted - taught[level]).square().mean())
            samples = (value.movedim(1, -1).flatten(0, 2) for value in (adapted, taught[level]))
            distribution.append(mmd_squared(*samples))
        distance = torch.stack(pointwise).mean() + 0.3 * torch.stack(distribution).mean()
        expected = (learnt.image - batch.hr).abs().mean() + 0.7 * distance
    torch.testing.assert_close(loss.total, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss.terms["distillation_mse"], torch.stack(pointwise).mean(), rtol=1e-4, atol=1e-6)
    assert torch.equal(loss.carry["sr"], learnt.image)


def test_rarer_distillation_weighs_as_much_as_what_it_leaves_out(build: Build, batch: Batch) -> None:
    objective = build("student", student={"distill_every_n_steps": 3, "mmd_weight": 0}).objectives()["student"]
    losses = [objective(batch, step, {}) for step in range(4)]
    taught = [loss.terms.get("distillation_mse") for loss in losses]
    assert [value is not None for value in taught] == [True, False, False, True]
    assert taught[0] is not None
    torch.testing.assert_close(losses[0].total, losses[1].total + 3 * taught[0])


def test_a_student_with_a_skip_of_colours_is_exported_with_it(build: Build, batch: Batch, tmp_path: Path) -> None:
    phase = build("student", student={"skip": "colors"})
    x = upsample_bicubic(batch.lr, (64, 64))
    with torch.no_grad():
        before = phase.student(x)
        phase.student.vae.decoder.layers[-1].get_parameter("bias").add_(0.5)  # wrong colours, everywhere alike
        after = phase.student(x)
    torch.testing.assert_close(after, before)
    phase.export(tmp_path)
    architecture = json.loads((tmp_path / "config.json").read_text())["architecture"]
    assert architecture["skip"] == "colors"


def test_a_student_with_a_skip_of_the_image_starts_at_the_enlarged_lr_image(
    build: Build, train: Callable[..., Any], batch: Batch
) -> None:
    phase = build("student", student={"skip": "image"})
    assert torch.equal(phase.preview(batch), upsample_bicubic(batch.lr, (64, 64)))
    losses = train(phase, batch).losses["student"]
    assert losses[-1] < losses[0]


def test_without_distillation_no_teacher_is_read(
    make_method: Callable[..., SlimDiffSRMethod], folders: Mapping[str, Path], batch: Batch
) -> None:
    method = make_method(student={"distillation_weight": 0})
    phase = method.build_phase("student", PhaseInputs({"base": folders["base"]}, CPU))
    loss = phase.objectives()["student"](batch, 0, {})
    assert loss.terms.keys() == {"l1"}
    assert all(name.startswith("student.") for name in phase.objectives()["student"].trained_parameters())


def test_without_mmd_the_pointwise_distance_remains(build: Build, batch: Batch) -> None:
    terms = build("student", student={"mmd_weight": 0}).objectives()["student"](batch, 0, {}).terms
    assert terms["distillation_mse"].item() > 0
    assert terms["distillation_mmd"].item() == 0


def test_perceptual_and_adversarial_losses_join_in(
    build: Build, train: Callable[..., Any], batch: Batch, auxiliary: str
) -> None:
    phase = build(
        "student",
        student={"reconstruction": {"lpips_weight": 2.5, "gan_weight": 0.25}},
        base_weights={"auxiliary": auxiliary},
    )
    record = train(phase, Batch(batch.lr[:1], batch.hr[:1], batch.scale), 3)
    assert len(record.losses["discriminator"]) == 3
    assert record.losses["student"][-1] < record.losses["student"][0]
    kinds = {name.partition(".")[0] for name in record.gradients}
    assert kinds == {"student/student", "student/adapters", "discriminator/discriminator"}


def test_the_export_is_a_model_that_runs_alone(
    phase: StudentPhase, train: Callable[..., Any], batch: Batch, tmp_path: Path
) -> None:
    train(phase, batch, 2)
    phase.export(tmp_path)
    loaded = rssr.load_model(tmp_path)
    assert loaded.name == "slimdiffsr"
    assert loaded.architecture == phase.architecture
    with torch.no_grad():
        # Up to rounding: training runs channels last.
        torch.testing.assert_close(loaded.resolver(batch.lr, (64, 64)), phase.preview(batch), rtol=0, atol=1e-4)
    assert loaded.resolver(torch.zeros(1, 3, 5, 9), (21, 33)).shape == (1, 3, 21, 33)


def test_retained_modules_start_from_the_stand_ins(phase: StudentPhase, folders: Mapping[str, Path]) -> None:
    from rssr.weights.base import load_unet

    unet = load_unet(BaseLocations.in_folder(folders["base"])).state_dict()
    student = phase.student.state_dict()
    for name in ("down_blocks.0.attentions.0.proj_in.weight", "down_blocks.0.downsamplers.0.conv.weight"):
        assert torch.equal(student[f"unet.{name}"], unet[name])
    shortcut = "resnets.0.conv_shortcut.weight"
    assert torch.equal(student[f"unet.up_blocks.1.{shortcut}"], unet[f"up_blocks.3.{shortcut}"])


def test_half_precision_training_stays_finite(phase: StudentPhase, batch: Batch) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = phase.objectives()["student"](batch, 0, {})
    loss.total.backward()
    assert loss.total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in phase.student.parameters())


def test_validation_compares_with_bicubic(phase: StudentPhase, batch: Batch) -> None:
    metrics = phase.validate(batch)
    assert metrics.keys() == {"psnr_db", "bicubic_psnr_db"}
    assert metrics["bicubic_psnr_db"] > 10
