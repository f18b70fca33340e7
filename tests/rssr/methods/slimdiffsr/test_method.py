from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from rssr.configuration import config_digest
from rssr.errors import ConfigError, WeightsError
from rssr.methods import build_method
from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod

MakeMethod = Callable[..., SlimDiffSRMethod]
PRETRAINED = {"stable_diffusion": "/models/sd-turbo", "taesd": "/models/taesd"}
NOTHING = PhaseInputs({}, torch.device("cpu"))


def digest(method: SlimDiffSRMethod, phase: str) -> str:
    return config_digest(method.digest_config(phase))


def changed_phases(first: SlimDiffSRMethod, second: SlimDiffSRMethod) -> set[str]:
    return {phase for phase in first.phases if digest(first, phase) != digest(second, phase)}


def test_a_method_survives_its_dump(make_method: MakeMethod) -> None:
    method = make_method(teacher={"timestep": "scalar"})
    again = build_method("slimdiffsr", method.dump())
    assert isinstance(again, SlimDiffSRMethod)
    assert again.config == method.config


def test_each_phase_builds_on_the_ones_whose_outputs_it_loads(make_method: MakeMethod) -> None:
    method = make_method()
    assert {phase: method.needed_phases(phase) for phase in method.phases} == {
        "base": (),
        "uncertainty": ("base",),
        "teacher": ("base", "uncertainty"),
        "student": ("base", "uncertainty", "teacher"),
        "deviation": ("student",),
    }
    assert all(method.is_needed(phase) for phase in method.phases)


def test_pretrained_weights_replace_the_phase_base(make_method: MakeMethod) -> None:
    method = make_method(base_weights=PRETRAINED)
    assert [phase for phase in method.phases if not method.is_needed(phase)] == ["base"]
    assert method.needed_phases("uncertainty") == ()
    assert method.needed_phases("student") == ("uncertainty", "teacher")


def test_a_student_without_distillation_needs_no_teacher(make_method: MakeMethod) -> None:
    assert make_method(student={"distillation_weight": 0}).needed_phases("student") == ("base",)
    assert make_method(student={"distillation_weight": 0}, base_weights=PRETRAINED).needed_phases("student") == ()


def test_phases_read_exactly_the_folders_they_name(
    make_method: MakeMethod, folders: Mapping[str, Path], batch: Batch
) -> None:
    """Built from no other folders, so that what is fetched for a worker suffices."""
    for changes in ({}, {"student": {"distillation_weight": 0}}):
        method = make_method(**changes)
        for name in method.phases:
            needed = {earlier: folders[earlier] for earlier in method.needed_phases(name)}
            phase = method.build_phase(name, PhaseInputs(needed, torch.device("cpu")))
            with torch.no_grad():
                assert phase.preview(batch).shape == batch.hr.shape


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"teacher": {"tv_weight": 0.5}}, {"teacher"}),
        ({"uncertainty": {"channels": 9}}, {"uncertainty"}),
        ({"student": {"learning_rate": 0.5}}, {"student"}),
        ({"base": {"autoencoder_steps": 11}}, {"base"}),
        ({"base": {"min_reconstruction_db": 3}}, set()),
        ({"student": {"log_every_n_steps": 3, "checkpoint_every_n_steps": 7, "keep_checkpoints": 9}}, set()),
        ({"base_weights": PRETRAINED}, {"uncertainty", "teacher", "student"}),
        ({"base_weights": {"auxiliary": "/nowhere"}}, set()),
        ({"deviation": {"channels": 9}}, {"deviation"}),
    ],
)
def test_digests_cover_what_decides_a_phases_result(
    make_method: MakeMethod, changes: dict[str, Any], expected: set[str]
) -> None:
    """Phases that only build on a changed one are covered by its digest, which the job adds."""
    assert changed_phases(make_method(), make_method(**changes)) == expected


def test_digests_follow_the_content_of_the_losses_networks(make_method: MakeMethod, tmp_path: Path) -> None:
    def with_weights(content: bytes, lpips_weight: float) -> SlimDiffSRMethod:
        (tmp_path / "vgg16.safetensors").write_bytes(content)
        (tmp_path / "dino_vits16.safetensors").write_bytes(content)
        reconstruction = {"lpips_weight": lpips_weight, "gan_weight": 0}
        return make_method(teacher={"reconstruction": reconstruction}, base_weights={"auxiliary": str(tmp_path)})

    digests = [digest(with_weights(content, 1.0), "teacher") for content in (b"one", b"two", b"one")]
    assert digests[0] == digests[2] != digests[1]
    assert digest(with_weights(b"one", 0), "teacher") == digest(with_weights(b"two", 0), "teacher")
    used = with_weights(b"one", 1.0).digest_config("teacher")["auxiliary"]
    assert isinstance(used, dict)
    assert used.keys() == {"vgg16.safetensors"}  # DINO's file lies there too, but this loss does not read it


@pytest.mark.parametrize("phase", ["uncertainty", "teacher", "student"])
def test_a_missing_base_directory_names_id_directory_and_command(
    make_method: MakeMethod, tmp_path: Path, phase: str
) -> None:
    absent = str(tmp_path / "sd-turbo")
    method = make_method(base_weights={"stable_diffusion": absent, "taesd": absent})
    with pytest.raises(WeightsError) as raised:
        method.build_phase(phase, NOTHING)
    for part in ("stabilityai/sd-turbo", absent, f"hf download stabilityai/sd-turbo --local-dir {absent}"):
        assert part in str(raised.value)


def test_stable_diffusion_without_taesd_is_refused(make_method: MakeMethod) -> None:
    with pytest.raises(ValidationError, match=r"base_weights\.taesd"):
        make_method(base_weights={"stable_diffusion": "/models/sd-turbo"})


def test_no_weights_and_no_settings_for_stand_ins_are_refused(make_method: MakeMethod) -> None:
    values = make_method().dump() | {"base": None}
    with pytest.raises(ConfigError, match=r"base_weights\.stable_diffusion"):
        SlimDiffSRMethod.from_values(values).build_phase("base", NOTHING)


@pytest.mark.parametrize(
    ("section", "change", "named"),
    [
        ("base", {"autoencoder_steps": 20}, "autoencoder_steps"),
        ("uncertainty", {"patch_size": 60}, "patch_size"),
        ("student", {"patch_size": 72}, "patch_size"),
        ("student", {"mmd_samples": 1}, "mmd_samples"),
        ("teacher", {"fixed_timestep": 1000}, "fixed_timestep"),
        ("teacher", {"unet_lora_rank": 0}, "unet_lora_rank"),
        ("deviation", {"patch_size": 72}, "patch_size"),
        ("deviation", {"channels": 0}, "channels"),
    ],
)
def test_values_that_would_fail_in_training_are_refused_at_birth(
    make_method: MakeMethod, section: str, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        make_method(**{section: change})


def test_stand_ins_that_lose_too_much_are_refused(make_method: MakeMethod) -> None:
    from rssr.errors import DataError

    method = make_method(base={"min_reconstruction_db": 20})
    method.check("base", {"autoencoder_psnr_db": 21.0, "tiny_autoencoder_psnr_db": 20.0})
    with pytest.raises(DataError, match=r"tiny_autoencoder_psnr_db is 19\.90 dB.*base\.num_steps"):
        method.check("base", {"autoencoder_psnr_db": 21.0, "tiny_autoencoder_psnr_db": 19.9})
    method.check("student", {})


def test_training_settings_are_the_phases_own(make_method: MakeMethod) -> None:
    method = make_method()
    assert method.training_config("teacher") is method.config.teacher
    assert set(method.product_phases) <= set(method.phases)


def test_uncertainty_is_left_out_where_it_has_no_settings(make_method: MakeMethod) -> None:
    method = SlimDiffSRMethod.from_values(make_method().dump() | {"deviation": None})
    assert [phase for phase in method.phases if not method.is_needed(phase)] == ["deviation"]
    with pytest.raises(ConfigError, match=r"'deviation' has no settings.*section 'deviation'"):
        method.training_config("deviation")


def test_only_what_measures_a_finished_students_errors_learns_from_held_out_images(make_method: MakeMethod) -> None:
    method = make_method()
    assert [phase for phase in method.phases if method.training_config(phase).fits_held_out] == ["deviation"]


@pytest.mark.parametrize("name", ["base", "uncertainty", "teacher", "student", "deviation"])
def test_a_checkpoint_holds_all_that_a_phase_has_learnt(
    build: Callable[..., Phase], train: Callable[..., Any], batch: Batch, name: str
) -> None:
    """Copied into a phase built afresh, the trained state gives the same result."""
    changes = {"teacher": {"reconstruction": {"lpips_weight": 0, "gan_weight": 0}}}
    learnt, fresh = build(name, **changes), build(name, **changes)
    train(learnt, batch, 2, first_step=9)
    with torch.no_grad():
        before = fresh.preview(batch)
        for key, objective in fresh.objectives().items():
            own, trained = objective.trained_state(), learnt.objectives()[key].trained_state()
            assert own.keys() == trained.keys()
            for parameter, value in own.items():
                value.copy_(trained[parameter])
        assert not torch.equal(before, learnt.preview(batch))
        assert torch.equal(fresh.preview(batch), learnt.preview(batch))
        assert fresh.validate(batch) == learnt.validate(batch)
